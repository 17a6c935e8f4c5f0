"""A short storm of kills for CI; the long one is `python tests/acceptance/kill_storm.py`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kill_storm import rage

pytestmark = pytest.mark.crash


@pytest.mark.parametrize(
    ("delivery", "idempotent"), [("at_most_once", False), ("at_least_once", False), ("at_most_once", True)]
)
def test_a_storm_of_kills(
    tmp_path: Path, delivery: str, idempotent: bool, record_property: Callable[[str, object], None]
) -> None:
    storm = rage(tmp_path, kills=8, jobs=60, delivery=delivery, idempotent=idempotent, seed=5)
    record_property("storm", f"{delivery}{' with keys' if idempotent else ''}: {storm}")
    assert storm.kills == 8
    assert storm.lost == 0
    if delivery == "at_most_once":
        assert storm.duplicates == 0
        assert storm.possible_duplicates == 0
        assert storm.jobs - storm.held <= storm.kickoffs <= storm.jobs
    else:
        assert storm.held == 0
        assert storm.kickoffs <= storm.jobs + storm.doubts
        assert storm.possible_duplicates <= storm.doubts
    if idempotent:
        assert (storm.held, storm.kickoffs) == (0, storm.jobs)

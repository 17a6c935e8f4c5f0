"""A short storm in company for CI; the long one is `python tests/acceptance/company_storm.py`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from company_storm import BATCHES, rage

pytestmark = pytest.mark.crash


def test_a_storm_of_kills_among_readers_and_other_batches(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    storm = rage(tmp_path, kills=24, jobs=40, seed=3)
    record_property("storm", f"in company: {storm}")
    assert sum(storm.kills.values()) >= 24
    assert storm.jobs == 40 * len(BATCHES)
    assert (storm.lost, storm.duplicates, storm.possible_duplicates) == (0, 0, 0)
    assert storm.without_answer == 0
    assert storm.jobs - storm.held <= storm.kickoffs <= storm.jobs
    assert storm.integrity == "ok"

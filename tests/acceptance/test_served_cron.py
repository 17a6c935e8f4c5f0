"""A batch under cron with a crew that each run serves: runs that are too short, two Ctrl-C and a SIGKILL."""

from pathlib import Path

import pytest
from served_cron import INTERRUPTIONS, ROWS, cron

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]


@pytest.mark.parametrize("state", [True, False], ids=["with state", "without state"])
def test_every_row_succeeds_and_is_paid_for_once(tmp_path: Path, state: bool) -> None:
    story = cron(tmp_path, execution=0.8, max_runtime=1.0, state=state, hold=True)
    interrupted = story.begun.total() - story.ended.total()
    assert story.states == ["succeeded"] * ROWS
    assert set(story.ended.values()) == {1}, "an execution that ended was started again"
    assert interrupted == 3 * len(INTERRUPTIONS)
    (reasons,) = [{one: count for one, count in story.attempts.items() if one[0] != "succeeded"}]
    assert sum(reasons.values()) == interrupted
    assert all(kind == "cancelled" and "interrupted" in reason for kind, reason in reasons), reasons
    assert story.exits[-1] == 0
    assert len(story.named) == interrupted - 3, "the run that was killed could name none"
    restarted = {topic.replace("row", "job") for topic, count in story.begun.items() if count > 1}
    assert set(story.named) == restarted

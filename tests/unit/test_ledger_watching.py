"""What a tick stores about its polls: the stored names stay, whatever the code calls them."""

import json

from manual_clock import ManualClock

from batchcrew.base.clock import to_text
from batchcrew.ledger.watching import watch, watch_of
from batchcrew.model.attempt import Attempt, Watch

AT = to_text(ManualClock().now())
STORED = {"asked": 3, "absent": 1, "unclear": 2, "next_at": AT, "empty_since": None, "running_at": None}


def test_the_stored_names_are_those_of_earlier_versions() -> None:
    attempt = Attempt(
        attempt_id="run-000001",
        batch="b",
        job_id="j",
        job_key=1,
        crew="default",
        number=1,
        attempts_used=1,
        inputs={},
        meta={},
        intended_at=AT,
    )
    seen = Watch(polls=3, absent=1, unclear=2, next_at=AT)
    _, [(text, _)] = watch(attempt, seen)
    assert json.loads(str(text)) == STORED
    assert watch_of(json.dumps({**STORED, "of_a_later_version": 1})) == seen

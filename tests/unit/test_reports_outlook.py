"""When a batch probably ends, for `status`."""

from dataclasses import replace
from datetime import UTC, datetime

from batchcrew.model.run import Counts
from batchcrew.model.views import BatchLine, BatchTotals
from batchcrew.reports.outlook import outlook_line

NOW = datetime(2026, 2, 3, 14, 0, tzinfo=UTC)
LINE = BatchLine(
    batch="leads",
    counts=Counts(succeeded=600, open=20, pending=380),
    jobfile="leads.yaml",
    created_at="2026-02-03T13:00:00.000Z",
    running=True,
    totals=BatchTotals(runs=1, kickoffs=620, seconds=3600.0, kickoffs_per_minute=10.3),
)


def test_the_end_of_a_running_batch_is_a_range_with_its_times() -> None:
    assert outlook_line(LINE, NOW) == "end: 39–55 min left (14:39Z to 14:54Z)"


def test_a_batch_that_takes_days_has_dates() -> None:
    slow = replace(LINE, totals=replace(LINE.totals, kickoffs_per_minute=0.1))
    text = outlook_line(slow, NOW)
    assert text is not None
    assert "(2026-02-0" in text


def test_nothing_is_said_without_a_run_or_where_too_little_is_known() -> None:
    assert outlook_line(replace(LINE, running=False), NOW) is None
    assert outlook_line(replace(LINE, counts=Counts(succeeded=5, waiting=3)), NOW) is None
    assert outlook_line(replace(LINE, totals=BatchTotals()), NOW) is None
    few = replace(LINE.totals, kickoffs=22)
    assert outlook_line(replace(LINE, totals=few), NOW) is None
    hopeless = replace(LINE.totals, kickoffs_per_minute=0.001)
    assert outlook_line(replace(LINE, totals=hopeless), NOW) is None

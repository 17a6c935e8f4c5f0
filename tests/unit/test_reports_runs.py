"""What `runs`, `list`, `status` and `check` print at a terminal, and into a pipe."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from batchcrew.base.text import display_width
from batchcrew.model.failures import FailureGroup, FailureGroups
from batchcrew.model.run import Counts, Plan
from batchcrew.model.views import BatchLine, BatchStatus, InFlight, RunLine
from batchcrew.reports.runs_table import render_runs
from batchcrew.reports.tables import render_list, render_plan, render_status

NOW = datetime(2026, 2, 3, 4, 10, tzinfo=UTC)
WHY = (
    "10 executions in a row failed with the same reason: Your credit balance is too low to access the API;"
    " the next run starts one job as a probe"
)
RUN = RunLine(
    run_id="r",
    batch="leads-of-the-northern-region-2026-02-03",
    kind="run",
    started_at="2026-02-03T04:00:00.000Z",
    ended_at="2026-02-03T04:01:02.000Z",
    kickoffs=10,
    cost="5.00 USD",
    exit_code=3,
    stopped="stop_after_failures",
    stop_detail=WHY,
)
FINISHED = replace(RUN, exit_code=0, stopped=None, stop_detail=None)
LINE = BatchLine(
    batch="leads-of-the-northern-region-2026-02-03",
    counts=Counts(succeeded=20, failed=1, open=1, pending=2),
    jobfile="projects/of the northern region/jobs for the leads.yaml",
    created_at="2026-02-03T04:00:00.000Z",
    last_run_at="2026-02-03T04:05:00.000Z",
)


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("with_batch", [True, False])
def test_at_a_terminal_the_reason_is_below_its_run_and_breaks_between_words(width: int, *, with_batch: bool) -> None:
    lines = render_runs([RUN, FINISHED], NOW, with_batch=with_batch, width=width).splitlines()
    assert max(map(display_width, lines)) <= width
    rows = [line for line in lines if not line.startswith("  ")]
    if not with_batch:
        assert len(rows) == 3  # the header and the runs
    start = next(number for number, line in enumerate(lines) if line.startswith("  10 executions"))
    assert "run  " in lines[start - 1]
    assert " ".join(" ".join(lines[start:]).split()).startswith(WHY)


def test_a_wide_reason_breaks_by_its_columns() -> None:
    lines = render_runs([replace(RUN, stop_detail="予算 不足 " * 30)], NOW, with_batch=False, width=60).splitlines()
    assert max(map(display_width, lines[2:])) <= 60


def test_in_a_pipe_each_run_is_one_line_with_all_of_its_reason() -> None:
    lines = render_runs([RUN, FINISHED], NOW, with_batch=True).splitlines()
    assert len(lines) == 3
    assert WHY in lines[1]


def test_a_plan_at_a_terminal_breaks_between_words_and_keeps_commands_whole() -> None:
    command = "`batchcrew retry leads-of-the-northern-region-2026-02-03 --held --ledger 'of the north/l.db'`"
    note = f"delivery at_most_once: a job whose kickoff's answer is lost is put on hold; retry it with {command}"
    plan = Plan(total=1, new=1)
    lines = render_plan(plan, batch="b", jobfile="jobs.yaml", notes=[note], width=60).splitlines()
    assert lines[-1].strip() == command
    assert max(map(display_width, lines[:-1])) <= 60
    assert " ".join(" ".join(lines).split()).endswith(note)
    assert render_plan(plan, batch="b", jobfile="jobs.yaml", notes=[note]).splitlines()[-1] == f"  {note}"


def test_a_list_at_a_terminal_has_the_job_file_below() -> None:
    lines = render_list([LINE, replace(LINE, batch="b")], width=80).splitlines()
    assert max(map(display_width, lines)) <= 80
    assert [line.strip().partition("  ")[0] for line in lines] == [
        "batch",
        "leads-of-the-nor…gion-2026-02-03",  # a long name has its own line
        "24",
        LINE.jobfile,
        "b",
        LINE.jobfile,
    ]


def test_a_status_at_a_terminal_breaks_reasons_between_words() -> None:
    group = FailureGroup(fingerprint="a1", jobs=1, example_job="osaka", reason=WHY)
    watched = InFlight(
        job_id="tokyo", crew="default", kickoff_id="k", since="2026-02-03T04:09:00.000Z", unclear_answer=WHY
    )
    status = BatchStatus(
        line=LINE, in_flight=(watched, watched), failures=FailureGroups(groups=(group,), number=1, jobs=1)
    )
    lines = render_status(status, NOW, width=80).splitlines()
    assert max(display_width(line) for line in lines if "batchcrew failures" not in line) <= 80  # commands stay whole
    assert " ".join(" ".join(lines).split()).count(WHY) == 3
    assert sum(WHY in line for line in render_status(status, NOW).splitlines()) == 3


def test_a_list_that_fits_or_goes_into_a_pipe_is_one_line_a_batch() -> None:
    piped = render_list([LINE, LINE]).splitlines()
    assert len(piped) == 3
    assert LINE.jobfile in piped[1]
    assert render_list([LINE, LINE], width=200).splitlines() == piped

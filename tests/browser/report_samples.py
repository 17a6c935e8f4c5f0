"""A report with every section, and its page written from a ledger."""

import asyncio
import math
from dataclasses import replace
from pathlib import Path

from report_ledger import apart

from batchcrew.base.clock import SystemClock
from batchcrew.ledger.report_reader import ReportReader
from batchcrew.model.failures import FailureGroup, GroupDetail
from batchcrew.model.report import CrewJobs, Money, NextCommand, Report, ReportedFailures, Tokens
from batchcrew.model.report_times import (
    TIME_PARTS,
    Distribution,
    Duration,
    DurationBin,
    Mark,
    Throughput,
    TimelineBin,
    TimePart,
)
from batchcrew.model.report_times import Timeline as Line
from batchcrew.model.run import Counts
from batchcrew.model.views import RunLine
from batchcrew.reports.html.page import write_html
from batchcrew.reports.report.report_format import ReportSource

START, END = "2026-11-23T08:00:00.000Z", "2026-11-23T10:00:00.000Z"
_REASONS = (
    "RateLimitError: 429 Too many requests for model gpt-4o, retry after 20 s",
    "ValidationError: 1 validation error for LeadScore\nscore\n  Input should be less than or equal to 100",
    "timed out after 10m; the execution may still be running (and billed)",
    "the answer is empty",
)


def sample_report() -> Report:
    """Return a report of 800 jobs of which 37 have failed for four kinds of reasons."""
    counts = Counts(succeeded=763, failed=36, held=1)
    return Report(
        batch="leads",
        jobfile="leads.yaml",
        ledger="results/batchcrew.db",
        written_at=END,
        running=False,
        verdict="763 of 800 jobs succeeded; 36 failed and 1 is on hold.",
        good=False,
        counts=counts,
        without_output=1,
        crews=(
            CrewJobs(crew="research", counts=replace(counts, succeeded=400, failed=20, held=0), price="0.50 USD"),
            CrewJobs(crew="writing", counts=replace(counts, succeeded=363, failed=16), price="0.20 USD"),
        ),
        money=Money(
            kickoffs=858,
            spent="429.00 USD",
            wasted_kickoffs=95,
            wasted="47.50 USD",
            reused_answers=12,
            saved="6.00 USD",
        ),
        tokens=Tokens(total=9_870_000, wasted=812_000, attempts=858),
        duration=Duration(
            started_at=START,
            ended_at=END,
            elapsed_seconds=7200,
            ideal_seconds=4100,
            slots=20,
            working_seconds=6600,
            parts=tuple(
                TimePart(name=name, slot_seconds=20 * seconds, seconds=seconds)
                for name, seconds in zip(TIME_PARTS, (4100, 600, 250, 50, 600, 700, 600, 300), strict=True)
            ),
        ),
        throughput=Throughput(kickoffs_per_minute=7.8, answers_per_minute=6.94, best_answers_per_minute=11.2),
        timeline=_timeline(),
        durations=(
            _distribution("research", None, 400, 41.0),
            _distribution("writing", None, 363, 18.0),
            _distribution("research", "find_facts", 400, 25.0),
            _distribution("", "write_summary", 763, 12.0),
        ),
        failures=tuple(_failures(reason, jobs) for reason, jobs in zip(_REASONS, (20, 10, 5, 2), strict=True)),
        runs=tuple(
            RunLine(
                run_id=f"run-{number}",
                batch="leads",
                kind="run",
                started_at=START,
                ended_at=END,
                kickoffs=400 + number,
                cost="200.00 USD",
                exit_code=code,
                stop_detail=detail,
            )
            for number, code, detail in ((2, 1, None), (1, 3, "stopped by Ctrl-C"))
        ),
        next=(NextCommand(purpose="Retry what failed", command="batchcrew retry leads"),),
    )


def _timeline() -> Line:
    bins = []
    for place in range(120):
        busy = 0.0 if 40 <= place < 50 else min(1.0, place / 6, (120 - place) / 20)
        ended = round(7 * busy + 2 * busy * math.sin(place))
        bins.append(
            TimelineBin(
                kickoffs=ended,
                succeeded=ended,
                failed=place % 3 if busy else 0,
                in_progress=19 * busy,
                slots=0 if 40 <= place < 50 else 10 if 60 <= place < 70 else 20,
            )
        )
    return Line(
        started_at=START,
        bin_seconds=60,
        bins=tuple(bins),
        marks=(
            Mark(kind="run_started", at=START, text="run 1 started"),
            Mark(kind="run_ended", at="2026-11-23T08:40:00.000Z", text="run 1 stopped: Ctrl-C"),
            Mark(kind="run_started", at="2026-11-23T08:50:00.000Z", text="run 2 started"),
            Mark(kind="throttled", at="2026-11-23T09:00:00.000Z", until="2026-11-23T09:10:00.000Z", crew="research"),
            Mark(kind="paused", at="2026-11-23T09:30:00.000Z", until="2026-11-23T09:36:00.000Z", text="paused by ann"),
            Mark(kind="set", at="2026-11-23T09:40:00.000Z", text="set concurrency = 20 by ann@host"),
            Mark(kind="run_ended", at=END, text="run 2 ended"),
        ),
    )


def _distribution(crew: str, task: str | None, number: int, median: float) -> Distribution:
    bins, start = [], median / 5
    for place in range(30):
        end = start * 1.13
        bins.append(DurationBin(start=start, end=end, number=round(number / 9 * math.exp(-(((place - 13) / 5) ** 2)))))
        start = end
    return Distribution(
        crew=crew,
        task=task,
        number=number,
        total_seconds=number * median * 1.1,
        least=median / 5,
        p50=median,
        p90=median * 2.1,
        p99=median * 4.2,
        most=start,
        bins=tuple(bins),
    )


def _failures(reason: str, jobs: int) -> ReportedFailures:
    return ReportedFailures(
        group=FailureGroup(
            fingerprint=f"{jobs:012x}",
            jobs=jobs,
            held=int(jobs == 5),
            example_job="lead-000017",
            reason=reason,
            first_at="2026-11-23T08:12:00.000Z",
            last_at="2026-11-23T09:48:10.000Z",
            least_attempts=1,
            most_attempts=3,
        ),
        detail=GroupDetail(kinds={"failed": jobs}, kickoffs=3 * jobs, cost=f"{1.5 * jobs:.2f} USD"),
        share=jobs / 800,
        share_of_failures=jobs / 37,
        retry=f"batchcrew retry leads --reason {jobs:012x}",
        show="batchcrew show leads lead-000017",
    )


def write_page(ledger: Path, target: Path, report: Report | None = None, outputs_limit: int | None = None) -> None:
    """Write the page of the batch that ran last in a ledger."""
    apart(lambda: asyncio.run(_write(ledger, target, report or sample_report(), outputs_limit)))


async def _write(path: Path, target: Path, report: Report, outputs_limit: int | None) -> None:
    async with ReportReader(path, clock=SystemClock()) as ledger:
        batch = await ledger.latest()
        assert batch is not None
        key = await ledger.batch(batch)
        assert key is not None
        source = ReportSource(ledger=ledger, key=key, outputs_limit=outputs_limit)
        with target.open("wb") as file:
            async for piece in write_html(report, source):
                file.write(piece.encode() if isinstance(piece, str) else piece)

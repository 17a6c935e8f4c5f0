"""Compute the figures of a report from the ledger's facts."""

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from batchcrew.base.clock import to_text
from batchcrew.model.report import CrewJobs, NextCommand, Report, ReportedFailures
from batchcrew.model.report_facts import Axis, ReportFacts
from batchcrew.model.report_times import ANSWERS, Duration, Throughput, Timeline, TimePart
from batchcrew.model.run import Counts
from batchcrew.reports.commands import (
    export_command,
    failures_command,
    inbox_command,
    retry_command,
    run_command,
    show_command,
)
from batchcrew.reports.failures import FailuresView, group_retry
from batchcrew.reports.report.distributions import distributions
from batchcrew.reports.report.money import money_of, tokens_of
from batchcrew.reports.report.slot_time import Step, gaps, part_seconds, pauses, slots, steps_of
from batchcrew.reports.report.timeline import timeline_of
from batchcrew.reports.summary import count_words

MOST_GROUPS = 50
MOST_RUNS = 50
MOST_CREWS = 200
_LEAST_WORKING_SECONDS = 1.0


def build_report(facts: ReportFacts, *, batch: str, jobfile: str, ledger: str, program: str) -> Report:
    """Return the report of a batch.

    Args:
        jobfile: as the latest run was given it.
        ledger: as commands name it.
        program: the program with which printed commands begin.
    """
    view = FailuresView(batch=batch, ledger=ledger, program=program, counts=facts.counts)
    steps = [] if facts.axis is None else list(steps_of(facts, facts.axis))
    timeline = Timeline() if facts.axis is None else timeline_of(facts, facts.axis, steps)
    duration = Duration() if facts.axis is None else _duration(facts, facts.axis, steps)
    return Report(
        batch=batch,
        jobfile=jobfile,
        ledger=ledger,
        written_at=to_text(facts.now),
        running=facts.running,
        verdict=verdict_of(facts),
        good=facts.counts.succeeded == facts.counts.total > 0,
        counts=facts.counts,
        without_output=facts.without_output,
        crews=tuple(_crews(facts)),
        money=money_of(facts),
        tokens=tokens_of(facts),
        duration=duration,
        throughput=_throughput(facts, duration, timeline),
        timeline=timeline,
        durations=distributions(facts.durations),
        failures=tuple(_failures(facts, view)),
        more_failure_groups=facts.groups.more_groups,
        more_failed_jobs=facts.groups.more_jobs,
        runs=facts.runs,
        more_runs=max(0, facts.number_of_runs - len(facts.runs)),
        next=tuple(NextCommand(purpose=purpose, command=command) for purpose, command in _next(view, facts, jobfile)),
    )


def verdict_of(facts: ReportFacts) -> str:
    """Return the result of the batch, as one sentence."""
    counts, total = facts.counts, facts.counts.total
    jobs = "1 job" if total == 1 else f"{total:,} jobs"
    if not total:
        return "The batch has no jobs."
    if counts.succeeded == total:
        return "The one job succeeded." if total == 1 else f"All {jobs} succeeded."
    reasons = "1 reason" if facts.groups.number == 1 else f"{facts.groups.number} reasons"
    failed = f"{counts.failed + counts.held:,} failed or are on hold, for {reasons}"
    if not counts.held:
        failed = f"{counts.failed:,} failed, for {reasons}"
    if counts.left == total and not facts.running:
        return f"None of {jobs} has ended yet."
    if facts.running:
        sentence = f"The batch is running: {counts.ended:,} of {jobs} have ended"
        return f"{sentence}, of which {failed}." if counts.failed or counts.held else f"{sentence}."
    others = []
    if counts.failed or counts.held:
        others.append(failed)
    for number, words in ((counts.stale, "stale"), (counts.cancelled, "cancelled"), (counts.left, "left to run")):
        if number:
            others.append(f"{number:,} {'is' if number == 1 else 'are'} {words}")
    return f"{counts.succeeded:,} of {jobs} succeeded; {', '.join(others) or count_words(counts)}."


def _duration(facts: ReportFacts, axis: Axis, steps: list[Step]) -> Duration:
    seconds = part_seconds(steps)
    capacity = sum(seconds.values())
    mean = capacity / axis.seconds if axis.seconds else 0.0
    parts = tuple(
        TimePart(name=name, slot_seconds=round(each, 3), seconds=round(each / mean, 3) if mean else 0.0)
        for name, each in seconds.items()
    )
    away = sum(end - start for start, end in (*gaps(facts, axis), *pauses(facts, axis)))
    return Duration(
        started_at=to_text(axis.start),
        ended_at=_end(axis),
        elapsed_seconds=round(axis.seconds, 3),
        ideal_seconds=round(seconds[ANSWERS] / mean, 3) if mean else 0.0,
        slots=round(mean, 3),
        slots_known=slots(facts) is not None,
        working_seconds=round(max(0.0, axis.seconds - away), 3),
        parts=parts,
    )


def _end(axis: Axis) -> str:
    return to_text(axis.start + timedelta(seconds=axis.seconds))


def _throughput(facts: ReportFacts, duration: Duration, timeline: Timeline) -> Throughput:
    minutes = duration.working_seconds / 60
    if duration.working_seconds < _LEAST_WORKING_SECONDS:
        return Throughput()
    succeeded = sum(each.succeeded for each in timeline.bins)
    # the last interval is shorter, so its rate is not meaningful
    best = max((each.succeeded for each in timeline.bins), default=0) / (timeline.bin_seconds / 60)
    return Throughput(
        kickoffs_per_minute=round(sum(each.kickoffs for each in timeline.bins) / minutes, 2),
        answers_per_minute=round(succeeded / minutes, 2),
        best_answers_per_minute=round(max(best, succeeded / minutes), 2),
    )


def _crews(facts: ReportFacts) -> Iterator[CrewJobs]:
    for crew in sorted(facts.crews)[:MOST_CREWS]:
        yield CrewJobs(
            crew=crew,
            counts=Counts(**facts.crews[crew]),
            address=_without_secrets(facts.addresses.get(crew, "")),
            price=facts.prices.get(crew),
        )


def _without_secrets(address: str) -> str:
    """Return a crew's address without a user, a password or a query, which may hold a token."""
    if not address.startswith(("http://", "https://")):
        return address
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _failures(facts: ReportFacts, view: FailuresView) -> Iterator[ReportedFailures]:
    for group, detail in zip(facts.groups.groups, facts.details, strict=True):
        yield ReportedFailures(
            group=group,
            detail=detail,
            share=round(group.jobs / max(1, facts.counts.total), 4),
            share_of_failures=round(group.jobs / max(1, facts.groups.jobs), 4),
            retry=group_retry(view, group),
            show=show_command(view.batch, group.example_job, view.ledger, view.program),
        )


def _next(view: FailuresView, facts: ReportFacts, jobfile: str) -> Iterator[tuple[str, str]]:
    batch, ledger, program, counts = view.batch, view.ledger, view.program, facts.counts
    if counts.waiting:
        yield "see what waits", inbox_command(batch, ledger, program)
    if counts.left and jobfile and not facts.running:
        yield "resume", run_command(jobfile, ledger, program=program)
    if counts.failed:
        yield "retry the failed jobs", retry_command(batch, ledger, program=program)
    if counts.held:
        yield "retry the held jobs", retry_command(batch, ledger, "--held", program=program)
    if facts.groups.groups:
        yield "explain the failures", failures_command(batch, ledger, program)
    if counts.succeeded:
        yield "export the results", export_command(batch, ledger, program)

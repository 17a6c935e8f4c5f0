"""The sheets of a workbook next to its results: the summary of the batch, and its failure groups."""

from collections.abc import Iterator, Sequence
from typing import Any

from batchcrew.base.clock import from_text
from batchcrew.base.quantities import format_duration
from batchcrew.model.failures import FailureGroup, FailureGroups, GroupDetail
from batchcrew.model.views import BatchLine
from batchcrew.reports.export.table import ExtraSheet
from batchcrew.reports.failures import FailuresView, group_retry

MOST_GROUPS = 200
"""Failure groups that the sheet has."""
_STATES = ("succeeded", "failed", "held", "stale", "waiting", "open", "pending", "cancelled")


def summary_sheet(line: BatchLine) -> ExtraSheet:
    """Return the sheet with the counts and the totals of a batch."""
    return ExtraSheet(name="Summary", header=("fact", "value"), rows=tuple(_facts(line)))


def _facts(line: BatchLine) -> Iterator[tuple[str, Any]]:
    counts, totals = line.counts, line.totals
    yield "batch", line.batch
    yield "job file", line.jobfile
    yield "jobs", counts.total
    for state in _STATES:
        if number := getattr(counts, state):
            yield state, number
    if counts.removed:
        yield "no longer in the file", counts.removed
    if counts.possible_duplicates:
        yield "possible duplicates", counts.possible_duplicates
    if line.without_output:
        yield "succeeded without an output", line.without_output
    yield "runs", totals.runs
    yield "kickoffs", totals.kickoffs
    if totals.cost is not None:
        yield "cost", totals.cost
    if totals.tokens is not None:
        yield "tokens", totals.tokens
    yield "time of all runs", format_duration(totals.seconds)
    if line.last_run_at is not None:
        yield "last run", _utc(line.last_run_at)
    yield "times", "all times are UTC"


def failures_sheet(view: FailuresView, groups: FailureGroups, details: Sequence[GroupDetail]) -> ExtraSheet:
    """Return the sheet with the failure groups, the largest first.

    Args:
        details: of each group.
    """
    header = ("jobs", "held", "reason", "example", "first", "last", "kickoffs", "cost", "fingerprint", "retry")
    found = [
        _group(group, detail, group_retry(view, group)) for group, detail in zip(groups.groups, details, strict=True)
    ]
    if groups.more_groups:
        more = f"{groups.more_groups:,} more groups ({groups.more_jobs:,} jobs)"
        found.append((None, None, more, *[None] * (len(header) - 3)))
    return ExtraSheet(name="Failures", header=header, rows=tuple(found))


def _group(group: FailureGroup, detail: GroupDetail, retry: str) -> tuple[Any, ...]:
    return (
        group.jobs,
        group.held,
        group.reason or "(no reason)",
        group.example_job,
        _utc(group.first_at),
        _utc(group.last_at),
        detail.kickoffs,
        detail.cost,
        group.fingerprint,
        retry,
    )


def _utc(moment: str) -> str:
    return f"{from_text(moment):%Y-%m-%d %H:%M:%S}" if moment else ""

"""The columns that an export adds to the file's own, and how they are recognized when the export is read again."""

from collections.abc import Collection, Iterator
from itertools import chain, count

MARK = "batchcrew_state"
"""Every export has this column: where it is missing, `output` and the rest are the file's own."""
SUMMARY_SHEETS = frozenset({"Summary", "Failures"})
"""The sheets of an exported workbook that hold no jobs."""
EXPORT_COLUMNS = (
    MARK,
    "job_id",
    "output",
    "error",
    "attempts",
    "kickoff_id",
    "started_at",
    "ended_at",
    "execution_time",
)
WHERE_NEEDED = ("result_json", "possible_duplicate", "stale_output", "stale_inputs")
"""Further columns: in CSV only if a batch has stale jobs (the last two), in JSON only if they apply."""

TOKEN_COLUMNS = (
    "total_tokens",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "successful_requests",
    "cost",
    "currency",
)
"""With `--tokens`: what the job's attempts used and cost, under the names of the view `results`."""
TASK_COLUMNS = ("task_id", "task_agent", "task_output", "task_execution_time")
"""With `--tasks`."""
ATTEMPT_COLUMNS = (
    "attempt",
    "attempt_state",
    "attempt_output",
    "attempt_error",
    "attempt_kickoff_id",
    "attempt_started_at",
    "attempt_ended_at",
    "attempt_execution_time",
)
"""With `--attempts`."""
ARTIFACT_COLUMNS = ("batchcrew_artifacts",)
"""With `--artifacts`."""
FLAT_PREFIX = "output."
"""With `--flatten`: the beginning of the names of the columns of JSON answers."""


def names_of(column: str) -> Iterator[str]:
    """Yield candidate names for one of batchcrew's columns next to the file's own; the first free one is used."""
    prefixed = column if column.startswith("batchcrew_") else f"batchcrew_{column}"
    numbered = (f"{prefixed}_{number}" for number in count(2))
    return chain([column], [] if prefixed == column else [prefixed], numbered)


def free_name(column: str, taken: Collection[str]) -> str:
    """Return the name of one of batchcrew's columns, given the names that are in use."""
    return next(name for name in names_of(column) if name not in taken)


def exported(columns: Collection[str]) -> frozenset[str]:
    """Return the columns of a file that an export of batchcrew has added."""
    if MARK not in columns:
        return frozenset()
    order = list(columns)
    there = frozenset(order)
    found = set()
    for column in (*EXPORT_COLUMNS, *WHERE_NEEDED):
        last = None
        for name in names_of(column):
            if name not in there:
                break
            last = name  # the export took the first name that the file did not have
        # exports of earlier versions have no `job_id`: one that comes before the mark is the file's own
        if last is not None and (last != "job_id" or order.index(last) > order.index(MARK)):
            found.add(last)
    return frozenset(found | _requested(order))


def _requested(order: list[str]) -> set[str]:
    """Return the columns that an export had on request: they are after the file's own, and each group is complete."""
    place = order.index(MARK)
    before, after = set(order[:place]), set(order[place:])
    found = {column for column in after if column.removeprefix("batchcrew_").startswith(FLAT_PREFIX)}
    for group in (TOKEN_COLUMNS, ARTIFACT_COLUMNS, TASK_COLUMNS, ATTEMPT_COLUMNS):
        names = [free_name(column, before) for column in group]
        if after.issuperset(names):
            found.update(names)
    return found

"""A job: one set of inputs for one crew.

pending -> open -> succeeded | failed | held | cancelled        (retry: ended -> pending)
           open -> waiting (its execution waits for human input) -> open
        succeeded -> stale (its inputs in the file changed) -> succeeded (kept, or changed back) | pending
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal


class JobState(StrEnum):
    """The state of a job."""

    PENDING = "pending"  # waits for a slot, or for the time of its retry
    OPEN = "open"  # has an open attempt
    WAITING = "waiting"  # its execution waits for human input
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    HELD = "held"  # its kickoff is in doubt; it waits for the operator
    CANCELLED = "cancelled"
    STALE = "stale"  # succeeded with other inputs than the file has now


ENDED_JOB_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.HELD, JobState.CANCELLED, JobState.STALE})


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file; `line` and `column` count from 1, 0 is unknown."""

    file: str
    line: int = 0
    column: int = 0
    sheet: str = ""
    """The sheet of a workbook."""


Duplicates = Literal["error", "skip", "number"]


@dataclass(slots=True, kw_only=True)
class Job:
    """One set of inputs for one crew.

    Treat it as frozen. `frozen=True` would cost a microsecond per row, and a file may have a million rows.
    """

    job_id: str
    crew: str
    inputs: dict[str, Any]
    meta: dict[str, Any]
    row: dict[str, Any]
    """The file's columns, unchanged and in its order, which exports repeat."""
    where: Location
    duplicates: Duplicates | None = None
    """The treatment of a job that is identical to an earlier one; None: the file gives the job an id."""
    quoting: str | None = None
    """Marks of the cells of the row that are quoted in the file, `1` or `0` for each; None: as the file's layout says.
    In a
    workbook: the kind of each cell; None: all are text."""

"""A page of a batch's jobs: which jobs are wanted, in which order, and one line for each."""

from dataclasses import dataclass
from enum import StrEnum

from batchcrew.model.job import JobState


class JobOrder(StrEnum):
    """The key by which jobs are sorted."""

    FILE = "file"
    JOB = "job"
    STATE = "state"
    ATTEMPTS = "attempts"
    DURATION = "duration"
    TOKENS = "tokens"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """The jobs to read: those in the file that meet every condition."""

    states: tuple[JobState, ...] = ()
    """Empty: any state."""
    crew: str | None = None
    """None: any crew."""
    fingerprint: str | None = None
    """Fingerprint of the reason of failed and held jobs; None: any; empty: jobs without a reason."""
    search: str = ""
    """A part of the job's id, of its reason, or of a value of its row; ASCII letters match in either case."""
    order: JobOrder = JobOrder.FILE
    descending: bool = False
    skip: int = 0
    """Jobs before the page."""
    most: int = 50
    """Jobs of the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One job of a table, with its latest attempt."""

    job_id: str
    crew: str
    state: JobState
    reason: str | None = None
    """The beginning of it."""
    output: str | None = None
    """The beginning of it."""
    attempts_used: int = 0
    kicked_off_at: str | None = None
    """UTC text."""
    ended_at: str | None = None
    seconds: float | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """The jobs of one page."""

    rows: tuple[JobRow, ...] = ()
    total: int = 0
    """Of all pages."""

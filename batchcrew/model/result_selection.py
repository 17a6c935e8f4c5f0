"""Select the rows of an export."""

from dataclasses import dataclass
from enum import StrEnum

from batchcrew.model.job import JobState


class RowPer(StrEnum):
    """The unit of an export's rows: job, task or attempt."""

    JOB = "job"
    TASK = "task"
    ATTEMPT = "attempt"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultSelection:
    """Selects the jobs of an export: those that meet every condition."""

    states: tuple[JobState, ...] = ()
    """Empty: any."""
    job_ids: tuple[str, ...] = ()
    """Empty: any job."""
    reason: str | None = None
    """A pattern that the whole reason matches; None: any."""
    fingerprint: str | None = None
    """Fingerprint of a job's reason; None: any."""
    since: str | None = None
    """UTC text: only jobs whose latest attempt has ended since; None: any."""
    with_removed: bool = False
    """Whether to append the jobs that are no longer in the file."""
    artifacts: bool = False
    """Whether to read the files that tasks have written."""
    per: RowPer = RowPer.JOB
    """A job without tasks, or without attempts, has one row."""

"""Record the verdicts of `batchcrew judge` on stored answers: succeeded <-> failed."""

from collections.abc import Sequence
from dataclasses import dataclass

import aiosqlite

from batchcrew.base.errors import LedgerError
from batchcrew.base.reasons import reason_fingerprint
from batchcrew.ledger.transitions import make_latest, plain_text
from batchcrew.model.attempt import AttemptState
from batchcrew.model.job import JobState
from batchcrew.model.verdict import rejection

_SET_ATTEMPT = (
    "UPDATE attempts SET state = ?, reason = ?, reason_fingerprint = ?, answer_rejected = ? WHERE id = ? AND state = ?"
)
_SET_JOB = (
    "UPDATE jobs SET state = ?, reason = ?, reason_fingerprint = ?, not_before = '', updated_at = ?"
    " WHERE id = ? AND state = ?"
)


@dataclass(frozen=True, slots=True)
class JudgedAttempt:
    """An attempt, and the verdict on its answer before and now: why a rule rejects it, None if it is accepted."""

    attempt_id: str
    number: int
    before: str | None
    rejected: str | None


@dataclass(frozen=True, slots=True)
class JudgedJob:
    """A job with its judged attempts, the latest first; those after the first accepted one are left out."""

    job_key: int
    job_id: str
    before: JobState
    attempts: tuple[JudgedAttempt, ...]

    @property
    def accepted(self) -> JudgedAttempt | None:
        """The attempt whose answer counts now."""
        return self.attempts[-1] if self.attempts[-1].rejected is None else None

    @property
    def after(self) -> JobState:
        """The job's state after the verdict."""
        return JobState.FAILED if self.accepted is None else JobState.SUCCEEDED

    @property
    def has_changed(self) -> bool:
        """Whether any verdict has changed."""
        return any(attempt.rejected != attempt.before for attempt in self.attempts)

    @property
    def reason(self) -> str | None:
        """Why the answer of the latest attempt is rejected; None if it counts."""
        rejected = self.attempts[0].rejected
        return None if rejected is None else rejection(rejected)


async def record(connection: aiosqlite.Connection, jobs: Sequence[JudgedJob], now: str) -> None:
    """Record changed verdicts, each attempt together with its job; output, JSON, tasks and tokens are unchanged.

    Raises:
        LedgerError: a job or an attempt is in another state than its answer was read in.
    """
    for job in jobs:
        for attempt in job.attempts:
            if attempt.rejected != attempt.before:
                await _set_attempt(connection, job, attempt)
        await _set_job(connection, job, now)


async def _set_attempt(connection: aiosqlite.Connection, job: JudgedJob, attempt: JudgedAttempt) -> None:
    reason = None if attempt.rejected is None else plain_text(rejection(attempt.rejected))
    parameters = (
        _state(attempt.rejected),
        reason,
        reason_fingerprint(reason),
        plain_text(attempt.rejected),
        attempt.attempt_id,
        _state(attempt.before),
    )
    if (await connection.execute(_SET_ATTEMPT, parameters)).rowcount != 1:
        raise _changed(job)


async def _set_job(connection: aiosqlite.Connection, job: JudgedJob, now: str) -> None:
    accepted, latest = job.accepted, job.attempts[0]
    reason = None if accepted is not None else plain_text(job.reason)
    parameters = (job.after.value, reason, reason_fingerprint(reason), now, job.job_key, job.before.value)
    if job.before is JobState.FAILED and job.after is JobState.FAILED:
        if latest.before is not None:  # the job may have failed for yet another reason since
            former = plain_text(rejection(latest.before))
            await connection.execute(f"{_SET_JOB} AND reason = ?", (*parameters, former))
        return
    if (await connection.execute(_SET_JOB, parameters)).rowcount != 1:
        raise _changed(job)
    if accepted is not None:
        await make_latest(connection, job.job_key, accepted.number)


def _state(rejected: str | None) -> str:
    return (AttemptState.SUCCEEDED if rejected is None else AttemptState.FAILED).value


def _changed(job: JudgedJob) -> LedgerError:
    return LedgerError(f"job {job.job_id!r} changed while it was judged; run the same command again")

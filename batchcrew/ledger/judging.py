"""Record the verdicts of `batchcrew judge` on stored answers: succeeded <-> failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

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
    "UPDATE jobs SET state = ?, reason = ?, reason_fingerprint = ?, not_before = '', before_retry = NULL,"
    " updated_at = ? WHERE id = ? AND state = ?"
)


_fingerprint = lru_cache(maxsize=1000)(reason_fingerprint)
"""Many answers are rejected for one reason."""


@dataclass(frozen=True, slots=True)
class JudgedAttempt:
    """An attempt, and the former and the new verdict on its answer: why a rule rejects it, None if it is accepted."""

    attempt_id: str
    number: int
    before: str | None
    rejected: str | None


@dataclass(frozen=True, slots=True)
class JudgedJob:
    """A job with its judged attempts, the latest first; those after the first accepted one are omitted."""

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
    attempts = [
        _attempt_values(attempt) for job in jobs for attempt in job.attempts if attempt.rejected != attempt.before
    ]
    await _update(connection, _SET_ATTEMPT, attempts)
    # a job that still fails keeps its reason if it has failed for another one since
    still_failing = [job for job in jobs if job.before is JobState.FAILED and job.after is JobState.FAILED]
    for job in still_failing:
        if job.attempts[0].before is not None:
            former = plain_text(rejection(job.attempts[0].before))
            await connection.execute(f"{_SET_JOB} AND reason = ?", (*_job_values(job, now), former))
    ended = [job for job in jobs if not (job.before is JobState.FAILED and job.after is JobState.FAILED)]
    await _update(connection, _SET_JOB, [_job_values(job, now) for job in ended])
    for job in ended:
        if job.accepted is not None:
            await make_latest(connection, job.job_key, job.accepted.number)


async def _update(connection: aiosqlite.Connection, statement: str, values: list[tuple[Any, ...]]) -> None:
    """Run a statement that must change one row for each of the values.

    Raises:
        LedgerError: it changed fewer.
    """
    if values and (await connection.executemany(statement, values)).rowcount != len(values):
        raise LedgerError("a job changed while it was judged; run the same command again")


def _attempt_values(attempt: JudgedAttempt) -> tuple[Any, ...]:
    reason = None if attempt.rejected is None else plain_text(rejection(attempt.rejected))
    rule = plain_text(attempt.rejected)
    state, former = _state(attempt.rejected), _state(attempt.before)
    return (state, reason, _fingerprint(reason), rule, attempt.attempt_id, former)


def _job_values(job: JudgedJob, now: str) -> tuple[Any, ...]:
    reason = None if job.accepted is not None else plain_text(job.reason)
    return (job.after.value, reason, _fingerprint(reason), now, job.job_key, job.before.value)


def _state(rejected: str | None) -> str:
    return (AttemptState.SUCCEEDED if rejected is None else AttemptState.FAILED).value

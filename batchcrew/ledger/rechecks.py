"""Record the crew's new reports about attempts that timed out or were lost."""

from dataclasses import dataclass
from typing import Any

import aiosqlite

from batchcrew.base.errors import LedgerError
from batchcrew.base.reasons import reason_fingerprint
from batchcrew.ledger.fetch import one
from batchcrew.ledger.reads.rechecks import EndedAttempt
from batchcrew.ledger.transitions import make_latest, plain_text, results_of, tasks_of
from batchcrew.model.attempt import AttemptState
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.model.job import JobState
from batchcrew.model.verdict import rejection


@dataclass(frozen=True, slots=True)
class Rechecked:
    """An execution that has ended, as the crew reports now."""

    attempt: EndedAttempt
    execution: Execution
    answer_rejected: str | None = None
    """Why a rule of `accept:` rejects the answer; None: no rule does."""

    @property
    def succeeded(self) -> bool:
        """Whether the execution has succeeded with an answer that counts."""
        return self.execution.state is ExecutionState.SUCCEEDED and self.answer_rejected is None

    @property
    def reason(self) -> str | None:
        """The reason why it has not succeeded."""
        return self.execution.error if self.answer_rejected is None else rejection(self.answer_rejected)


async def record(connection: aiosqlite.Connection, found: Rechecked, now: str) -> None:
    """Record how the execution ended, and change its job with it: (timed_out | lost) -> succeeded | failed.

    A later attempt of the job may decide otherwise. A job that fails goes from held or failed to failed; one that waits
    for its retry still waits. If the job has other inputs by now, only the attempt is changed.

    Raises:
        LedgerError: the attempt or its job is in another state.
    """
    attempt = found.attempt
    job = await one(connection, "SELECT state FROM jobs WHERE id = ?", (attempt.job_key,))
    if job is None or job[0] not in {JobState.FAILED, JobState.HELD, JobState.PENDING}:
        raise _changed(attempt)
    newer = await one(
        connection,
        "SELECT 1 FROM attempts WHERE job = ? AND number > ? AND state <> 'rejected'",
        (attempt.job_key, attempt.number),
    )
    outdated = await one(
        connection, "SELECT 1 FROM attempts WHERE id = ? AND sent_inputs IS NOT NULL", (attempt.attempt_id,)
    )
    reason = await _record_attempt(connection, found, now)
    if outdated is not None:
        return
    if found.succeeded:
        await connection.execute(
            "UPDATE jobs SET state = 'succeeded', reason = NULL, reason_fingerprint = NULL, not_before = '',"
            " before_retry = NULL, updated_at = ? WHERE id = ?",
            (now, attempt.job_key),
        )
        await make_latest(connection, attempt.job_key, attempt.number)
    elif newer is None:
        await connection.execute(
            "UPDATE jobs SET state = CASE state WHEN 'pending' THEN 'pending' ELSE 'failed' END, reason = ?,"
            " reason_fingerprint = ?, updated_at = ?, before_retry = json_set(before_retry, '$.state', 'failed',"
            " '$.reason', ?, '$.fingerprint', ?, '$.updated_at', ?) WHERE id = ?",
            (*reason, now, *reason, now, attempt.job_key),
        )


async def _record_attempt(connection: aiosqlite.Connection, found: Rechecked, now: str) -> tuple[Any, ...]:
    """Write the attempt's new state and results; return its reason and the reason's fingerprint.

    Raises:
        LedgerError: the attempt is in another state.
    """
    attempt, execution = found.attempt, found.execution
    text = None if found.succeeded else plain_text(found.reason)
    reason = (text, None if text is None else reason_fingerprint(text))
    state = AttemptState.SUCCEEDED if found.succeeded else AttemptState.FAILED
    cursor = await connection.execute(
        "UPDATE attempts SET state = ?, ended_at = ?, reason = ?, reason_fingerprint = ?, output = ?, result_json = ?,"
        " token_usage = ?, execution_time = ?, answer = ?, answer_rejected = ?"
        " WHERE id = ? AND state IN ('timed_out', 'lost')",
        (
            state.value,
            now,
            *reason,
            *results_of(execution),
            plain_text(found.answer_rejected),
            attempt.attempt_id,
        ),
    )
    if cursor.rowcount != 1:
        raise _changed(attempt)
    await connection.execute("DELETE FROM task_results WHERE attempt_id = ?", (attempt.attempt_id,))
    await connection.executemany(
        "INSERT INTO task_results VALUES (?, ?, ?, ?, ?, ?)", tasks_of(attempt.attempt_id, execution)
    )
    return reason


def _changed(attempt: EndedAttempt) -> LedgerError:
    return LedgerError(f"job {attempt.job_id!r} changed during the recheck; run the same command again")

"""Record the kickoff_id of a job's execution that batchcrew did not start, or whose answer was lost."""

from dataclasses import dataclass
from typing import Any

import aiosqlite

from batchcrew.base.errors import UsageError
from batchcrew.ledger.fetch import one
from batchcrew.ledger.reads.similar import did_you_mean_job
from batchcrew.ledger.transitions import make_latest
from batchcrew.model.attempt import AttemptState
from batchcrew.model.job import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """An execution, and the job that it belongs to."""

    run_id: str
    job_id: str
    kickoff_id: str
    attempt_id: str
    """The id of its attempt, if a new one has to be written."""


async def attach(connection: aiosqlite.Connection, batch_id: int, execution: Attachment, now: str) -> None:
    """Record the execution as the job's latest attempt: (pending | held | failed | cancelled) -> open.

    An attempt that ended under this id (timed out, lost, failed) is watched again, with a fresh deadline. Otherwise an
    attempt that is in doubt, that a dead run left intended or that was attached before gets the id; otherwise a new
    attempt is written. The caller holds the batch's lock, so no run works on such an attempt.

    Raises:
        UsageError: the job cannot be attached to; the message says why.
    """
    job_id, kickoff_id = execution.job_id, execution.kickoff_id
    job = await one(
        connection,
        "SELECT id, state, attempts, charged FROM jobs WHERE batch_id = ? AND job_id = ?",
        (batch_id, job_id),
    )
    if job is None:
        hint = await did_you_mean_job(connection, batch_id, job_id)
        raise UsageError(f"job {job_id!r} not found in the batch{hint}")
    key, state, number, attempts_used = job
    doubtful = await one(
        connection,
        "SELECT id FROM attempts WHERE job = ? AND number = ?"
        " AND (state IN ('in_doubt', 'intended') OR (attached AND state IN ('kicked_off', 'lost')))",
        (key, number),
    )
    if state == JobState.SUCCEEDED or state == JobState.WAITING or (state == JobState.OPEN and doubtful is None):
        raise UsageError(f"job {job_id!r} is {state}: there is nothing to attach")
    known = await _attempt_of(connection, batch_id, kickoff_id, key)
    if known is not None:
        if known[0] != key:
            raise UsageError(f"kickoff_id {kickoff_id!r} already belongs to job {known[1]!r}")
        if state == JobState.OPEN or known[4] == AttemptState.SUCCEEDED:
            raise UsageError(f"kickoff_id {kickoff_id!r} already belongs to this job, and job {job_id!r} is {state}")
        await make_latest(connection, key, known[3])
        await _reopen(connection, known[2], now)
    elif doubtful is not None:
        await connection.execute_fetchall(
            "UPDATE attempts SET state = 'kicked_off', kickoff_id = ?, kicked_off_at = ?, ended_at = NULL,"
            " reason = NULL, reason_fingerprint = NULL, watch = NULL, progress = NULL, attached = 1 WHERE id = ?",
            (kickoff_id, now, doubtful[0]),
        )
    else:
        number, attempts_used = number + 1, attempts_used + 1
        await connection.execute_fetchall(
            "INSERT INTO attempts (id, job, number, run_id, state, kickoff_id, intended_at, kicked_off_at, attached)"
            " VALUES (?, ?, ?, ?, 'kicked_off', ?, ?, ?, 1)",
            (execution.attempt_id, key, number, execution.run_id, kickoff_id, now, now),
        )
    await connection.execute_fetchall(
        "UPDATE jobs SET state = 'open', attempts = ?, charged = ?, reason = NULL, reason_fingerprint = NULL,"
        " before_retry = NULL, updated_at = ? WHERE id = ?",
        (number, attempts_used, now, key),
    )


async def _attempt_of(
    connection: aiosqlite.Connection, batch_id: int, kickoff_id: str, job_key: int
) -> tuple[Any, ...] | None:
    """Return (job, its job_id, attempt, number, state) of an attempt with this kickoff_id, another job's first."""
    return await one(
        connection,
        "SELECT j.id, j.job_id, a.id, a.number, a.state FROM attempts AS a JOIN jobs AS j ON j.id = a.job"
        " WHERE a.kickoff_id = ? AND j.batch_id = ? ORDER BY j.id = ?, a.number DESC",
        (kickoff_id, batch_id, job_key),
    )


async def _reopen(connection: aiosqlite.Connection, attempt_id: str, now: str) -> None:
    """Record that an ended attempt is watched again from now on: ended -> kicked_off."""
    await connection.execute_fetchall("DELETE FROM task_results WHERE attempt_id = ?", (attempt_id,))
    await connection.execute_fetchall(
        "UPDATE attempts SET state = 'kicked_off', kicked_off_at = ?, ended_at = NULL, reason = NULL,"
        " reason_fingerprint = NULL, watch = NULL, progress = NULL, output = NULL, result_json = NULL,"
        " token_usage = NULL, execution_time = NULL, answer = NULL, answer_rejected = NULL WHERE id = ?",
        (now, attempt_id),
    )

"""A later look at attempts whose execution may have ended well after all: timed out, or unknown to the crew then."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import aiosqlite

from batchcrew.base.errors import LedgerError
from batchcrew.base.reasons import reason_fingerprint
from batchcrew.ledger.fetch import one
from batchcrew.ledger.json_text import encode_json
from batchcrew.ledger.transitions import make_latest, plain_text, results_of, tasks_of
from batchcrew.model.attempt import AttemptState
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.model.job import JobState

_PAGE = 200
# every state of the small index is named, so that it serves
_UNSURE = """
FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job
LEFT JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)
WHERE a.state IN ('in_doubt', 'lost', 'timed_out') AND a.state <> 'in_doubt' AND a.kickoff_id IS NOT NULL
    AND j.batch_id = :batch AND j.state IN ('failed', 'held', 'pending')
"""
_NAMED = " AND j.job_id IN (SELECT value FROM json_each(:jobs))"
_AFTER = " AND a.job >= :job AND (a.job > :job OR a.number < :number) ORDER BY a.job, a.number DESC LIMIT :page"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAttempt:
    """An attempt that timed out or was lost, of a job that has not succeeded since."""

    attempt_id: str
    job_key: int
    job_id: str
    job_state: JobState
    crew: str
    number: int
    state: AttemptState
    kickoff_id: str
    address: str | None
    """Where it was started; None where the ledger does not know."""


@dataclass(frozen=True, slots=True)
class Rechecked:
    """An execution that has ended, as the crew says now."""

    attempt: EndedAttempt
    execution: Execution


PageKey: TypeAlias = tuple[int, int]
"""The job's row number and the attempt's number of the last attempt that a page gave."""
FIRST_PAGE: PageKey = (-1, 0)


async def unsure_page(
    connection: aiosqlite.Connection, batch_id: int, job_ids: Sequence[str], after: PageKey
) -> tuple[list[EndedAttempt], PageKey | None]:
    """The next attempts, and the key of the page after them; a job that has succeeded since gives none."""
    named = _NAMED if job_ids else ""
    rows = list(
        await connection.execute_fetchall(
            "SELECT a.id, a.job, j.job_id, j.state, coalesce(a.sent_crew, j.crew), a.number, a.state, a.kickoff_id,"
            " c.url"
            f" {_UNSURE}{named}{_AFTER}",
            {
                "batch": batch_id,
                "jobs": encode_json(list(job_ids)),
                "job": after[0],
                "number": after[1],
                "page": _PAGE,
            },
        )
    )
    page = [
        EndedAttempt(
            attempt_id=row[0],
            job_key=row[1],
            job_id=row[2],
            job_state=JobState(row[3]),
            crew=row[4],
            number=row[5],
            state=AttemptState(row[6]),
            kickoff_id=row[7],
            address=row[8],
        )
        for row in rows
    ]
    return page, (rows[-1][1], rows[-1][5]) if len(rows) == _PAGE else None


async def addresses(
    connection: aiosqlite.Connection, batch_id: int, job_ids: Sequence[str]
) -> frozenset[tuple[str, str | None]]:
    """(crew, address) of these attempts."""
    named = _NAMED if job_ids else ""
    rows = await connection.execute_fetchall(
        f"SELECT DISTINCT coalesce(a.sent_crew, j.crew), c.url {_UNSURE}{named}",
        {"batch": batch_id, "jobs": encode_json(list(job_ids))},
    )
    return frozenset((crew, url) for crew, url in rows)


async def held_without_id(connection: aiosqlite.Connection, batch_id: int, job_ids: Sequence[str]) -> int:
    """Held jobs whose latest attempt has no kickoff_id."""
    named = _NAMED if job_ids else ""
    row = await one(
        connection,
        "SELECT count(*) FROM jobs AS j JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts"
        f" WHERE j.batch_id = :batch AND j.state = 'held' AND a.kickoff_id IS NULL{named}",
        {"batch": batch_id, "jobs": encode_json(list(job_ids))},
    )
    return int(row[0]) if row else 0


async def count(connection: aiosqlite.Connection, batch_id: int) -> int:
    """Jobs with such an attempt."""
    row = await one(connection, f"SELECT count(DISTINCT a.job) {_UNSURE}", {"batch": batch_id})
    return int(row[0]) if row else 0


async def take(connection: aiosqlite.Connection, found: Rechecked, now: str) -> None:
    """(timed_out | lost) -> succeeded | failed, and the job with it unless a later attempt says otherwise.

    A job that has succeeded stays as it is. One that fails goes from held or failed to failed; one that waits for its
    retry still waits. The answer to inputs that the job does not have any more is recorded with its attempt only.

    Raises:
        LedgerError: the attempt or its job is in another state.
    """
    attempt, execution = found.attempt, found.execution
    succeeded = execution.state is ExecutionState.SUCCEEDED
    reason = None if succeeded else plain_text(execution.error)
    cause = None if reason is None else reason_fingerprint(reason)
    job = await one(connection, "SELECT state FROM jobs WHERE id = ?", (attempt.job_key,))
    if job is None or job[0] not in {JobState.FAILED, JobState.HELD, JobState.PENDING}:
        raise LedgerError(f"job {attempt.job_id!r} changed during the recheck; run the same command again")
    newer = await one(
        connection,
        "SELECT 1 FROM attempts WHERE job = ? AND number > ? AND state <> 'rejected'",
        (attempt.job_key, attempt.number),
    )
    outdated = await one(
        connection, "SELECT 1 FROM attempts WHERE id = ? AND sent_inputs IS NOT NULL", (attempt.attempt_id,)
    )
    state = AttemptState.SUCCEEDED if succeeded else AttemptState.FAILED
    cursor = await connection.execute(
        "UPDATE attempts SET state = ?, ended_at = ?, reason = ?, reason_fingerprint = ?, output = ?, result_json = ?,"
        " token_usage = ?, execution_time = ?, answer = ? WHERE id = ? AND state IN ('timed_out', 'lost')",
        (state.value, now, reason, cause, *results_of(execution), attempt.attempt_id),
    )
    if cursor.rowcount != 1:
        raise LedgerError(f"job {attempt.job_id!r} changed during the recheck; run the same command again")
    await connection.execute("DELETE FROM task_results WHERE attempt_id = ?", (attempt.attempt_id,))
    await connection.executemany(
        "INSERT INTO task_results VALUES (?, ?, ?, ?, ?, ?)", tasks_of(attempt.attempt_id, execution)
    )
    if outdated is not None:
        return
    if succeeded:
        await connection.execute(
            "UPDATE jobs SET state = 'succeeded', reason = NULL, reason_fingerprint = NULL, not_before = '',"
            " updated_at = ? WHERE id = ?",
            (now, attempt.job_key),
        )
        await make_latest(connection, attempt.job_key, attempt.number)
    elif newer is None:
        await connection.execute(
            "UPDATE jobs SET state = CASE state WHEN 'pending' THEN 'pending' ELSE 'failed' END, reason = ?,"
            " reason_fingerprint = ?, updated_at = ? WHERE id = ?",
            (reason, cause, now, attempt.job_key),
        )

"""Stale jobs: they have succeeded, and the file has other inputs for them now."""

from collections.abc import Sequence

import aiosqlite

from batchcrew.base.errors import NotInLedger
from batchcrew.ledger.fetch import one
from batchcrew.ledger.staging import count

_STALE = "batch_id = ? AND present = 1 AND state = 'stale'"
# one that gave its answer to another job has nothing to keep; a failed attempt of it may be left
_ANSWER = (
    "EXISTS (SELECT 1 FROM attempts AS a WHERE a.job = jobs.id AND a.number = jobs.attempts AND a.state = 'succeeded')"
)
_KEEP = f"UPDATE jobs SET state = 'succeeded', updated_at = ? WHERE {_STALE} AND {_ANSWER}"


async def keep(connection: aiosqlite.Connection, batch_id: int, batch: str, job_ids: Sequence[str], now: str) -> int:
    """stale -> succeeded: the answer is declared valid for the inputs that the file has. Returns how many.

    What the answer was made from stays recorded with its attempt.

    Raises:
        NotInLedger: the batch has no such job.
    """
    if not job_ids:
        return (await connection.execute(_KEEP, (now, batch_id))).rowcount
    kept = 0
    for job_id in job_ids:
        if not await one(connection, "SELECT 1 FROM jobs WHERE batch_id = ? AND job_id = ?", (batch_id, job_id)):
            raise NotInLedger(f"job {job_id!r} not found in batch {batch}; nothing was changed")
        kept += (await connection.execute(f"{_KEEP} AND job_id = ?", (now, batch_id, job_id))).rowcount
    return kept


async def first(connection: aiosqlite.Connection, batch_id: int, limit: int) -> tuple[str, ...]:
    """Return the ids of the first stale jobs, in the file's order."""
    rows = await connection.execute_fetchall(
        f"SELECT job_id FROM jobs WHERE {_STALE} ORDER BY +position LIMIT ?", (batch_id, limit)
    )
    return tuple(row[0] for row in rows)


async def by_crew(connection: aiosqlite.Connection, batch_id: int) -> dict[str, int]:
    """Return the number of stale jobs of each crew."""
    rows = await connection.execute_fetchall(f"SELECT crew, count(*) FROM jobs WHERE {_STALE} GROUP BY 1", (batch_id,))
    return {row[0]: row[1] for row in rows}


async def without_answer(connection: aiosqlite.Connection, batch_id: int) -> int:
    """Return how many stale jobs gave their answer to another job: a rerun is the only way to have one again."""
    return await count(connection, f"SELECT count(*) FROM jobs WHERE {_STALE} AND NOT {_ANSWER}", (batch_id,))

"""Keep the answers of stale jobs: jobs that have succeeded, and whose inputs in the file have changed since."""

from collections.abc import Sequence

import aiosqlite

from batchcrew.base.errors import NotInLedger
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.reads.jobs import STALE, has_job
from batchcrew.ledger.reads.similar import did_you_mean_job

# a job that gave its answer to another job has none to keep; a failed attempt of it may be left
_ANSWER = (
    "EXISTS (SELECT 1 FROM attempts AS a WHERE a.job = jobs.id AND a.number = jobs.attempts AND a.state = 'succeeded')"
)
_KEEP = f"UPDATE jobs SET state = 'succeeded', updated_at = ? WHERE {STALE} AND {_ANSWER}"


async def keep(connection: aiosqlite.Connection, key: BatchKey, job_ids: Sequence[str], now: str) -> int:
    """Declare answers valid for the inputs that the file has now: stale -> succeeded. Return how many.

    The inputs that an answer was made from stay recorded with its attempt.

    Raises:
        NotInLedger: the batch has no such job.
    """
    if not job_ids:
        return (await connection.execute(_KEEP, (now, key.id))).rowcount
    kept = 0
    for job_id in job_ids:
        if not await has_job(connection, key.id, job_id):
            hint = await did_you_mean_job(connection, key.id, job_id)
            raise NotInLedger(f"job {job_id!r} not found in batch {key.batch}{hint}; nothing was changed")
        kept += (await connection.execute(f"{_KEEP} AND job_id = ?", (now, key.id, job_id))).rowcount
    return kept

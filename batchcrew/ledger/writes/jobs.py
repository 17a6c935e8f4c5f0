"""Change the states of jobs outside a run: retry, keep, rerun, and fail those without their inputs."""

from collections.abc import Iterable, Sequence

import aiosqlite

from batchcrew.base.errors import NotInLedger
from batchcrew.ledger import missing_inputs, stale
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.missing_inputs import MakeReason
from batchcrew.ledger.reads.attempts import STARTED_AT
from batchcrew.ledger.reads.jobs import has_job
from batchcrew.ledger.writes.base import Writes
from batchcrew.model.job import JobState


class JobWrites(Writes):
    """Write the states of jobs to the ledger."""

    async def retry(
        self,
        key: BatchKey,
        *,
        states: Iterable[JobState],
        job_ids: Iterable[str] = (),
        from_url: str | None = None,
    ) -> int:
        """Put ended jobs back to pending, with no attempts used. Return how many.

        Args:
            states: the states of the jobs to put back.
            job_ids: only these jobs; empty: all jobs.
            from_url: only jobs whose latest attempt was started at that address.

        Raises:
            NotInLedger: one of `job_ids` is not in the batch.
        """
        wanted = [state.value for state in states]
        ids = list(job_ids)
        now = self._now()

        async def work(connection: aiosqlite.Connection) -> int:
            marks = ", ".join("?" * len(wanted))
            again = (
                "UPDATE jobs SET state = 'pending', not_before = '', charged = 0, reason = NULL,"
                " reason_fingerprint = NULL, updated_at = ?"
                f" WHERE batch_id = ? AND present = 1 AND state IN ({marks})"
            )
            await connection.execute("UPDATE batches SET inputs_checked = NULL WHERE id = ?", (key.id,))
            if from_url is not None:
                again += f" AND id IN (SELECT j.id {STARTED_AT})"
            at = () if from_url is None else (key.id, from_url)
            if not ids:
                cursor = await connection.execute(again, (now, key.id, *wanted, *at))
                return cursor.rowcount
            put_back = 0
            for job_id in ids:
                if not await has_job(connection, key.id, job_id):
                    raise NotInLedger(f"job {job_id!r} not found in batch {key.batch}; nothing was reset")
                cursor = await connection.execute(f"{again} AND job_id = ?", (now, key.id, *wanted, *at, job_id))
                put_back += cursor.rowcount
            return put_back

        return await self._writing.call(work)

    async def rerun_stale(self, key: BatchKey) -> int:
        """Put stale jobs back to pending: they are kicked off with the inputs of the file. Return how many."""
        return await self.retry(key, states=[JobState.STALE])

    async def keep(self, key: BatchKey, job_ids: Iterable[str] = ()) -> int:
        """Declare the answers of stale jobs valid for the inputs that the file has now. Return how many.

        Args:
            job_ids: only these jobs; empty: all stale jobs.

        Raises:
            NotInLedger: one of `job_ids` is not in the batch; nothing was changed.
        """
        ids, now = list(job_ids), self._now()
        return await self._writing.call(lambda connection: stale.keep(connection, key, ids, now))

    async def fail_without_inputs(
        self, key: BatchKey, crew: str, required: Sequence[str], make_reason: MakeReason
    ) -> int:
        """Fail the crew's pending jobs that miss a required input; return how many. None of them was paid for.

        Args:
            required: the inputs that the crew requires.
            make_reason: makes a job's reason from its missing inputs and its row's columns.
        """
        now = self._now()
        return await self._writing.call(
            lambda connection: missing_inputs.fail(connection, key.id, crew, required, make_reason, now)
        )

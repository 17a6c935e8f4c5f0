"""Change the states of jobs outside a run: retry, keep, rerun, and fail those without their inputs."""

from collections.abc import Iterable, Sequence

from batchcrew.ledger import missing_inputs, retries, stale
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.missing_inputs import MakeReason
from batchcrew.ledger.retries import RetrySelection
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
        """Reset ended jobs to pending, with no attempts used. Return how many.

        Args:
            states: the states of the jobs to reset.
            job_ids: only these jobs; empty: all jobs.
            from_url: only jobs whose latest attempt was started at that address.

        Raises:
            NotInLedger: one of `job_ids` is not in the batch.
        """
        selection = RetrySelection(states=tuple(states), job_ids=tuple(job_ids), from_url=from_url)
        return await self.retry_selected(key, selection)

    async def retry_selected(self, key: BatchKey, selection: RetrySelection, *, most: int | None = None) -> int:
        """Reset the selected jobs to pending, with no attempts used. Return how many.

        Args:
            most: the jobs that you have agreed to; None: any number.

        Raises:
            NotInLedger: the batch does not have one of the jobs that the selection names.
            UsageError: the selection matches more than `most` jobs by now; nothing was changed.
        """
        now = self._now()
        return await self._writing.call(lambda connection: retries.put_back(connection, key, selection, now, most=most))

    async def cancel_retry(self, key: BatchKey, job_ids: Sequence[str] = ()) -> int:
        """Give jobs that were reset, and not kicked off since, their former state. Return how many.

        Args:
            job_ids: only these jobs; empty: all of the batch.

        Raises:
            NotInLedger: one of `job_ids` is not in the batch; nothing was changed.
        """
        return await self._writing.call(lambda connection: retries.undo(connection, key, job_ids))

    async def rerun_stale(self, key: BatchKey) -> int:
        """Reset stale jobs to pending, so that they are kicked off with the inputs of the file. Return how many."""
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

"""Record the commands of operators; also while a run of another process holds the batch."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchcrew.ledger import controlling
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.controlling import Cancelled
from batchcrew.ledger.writes.base import Writes
from batchcrew.model.control import Given


class ControlWrites(Writes):
    """Write commands to a batch. Each is one short transaction."""

    def given(self, by: str, reason: str | None) -> Given:
        """Return the operator, the time and the reason of a command."""
        return Given(by=by, at=self._now(), reason=reason)

    async def pause(self, key: BatchKey, given: Given) -> Given | None:
        """Pause the batch. Return who paused it before; then nothing is changed."""
        return await self._writing.call(lambda connection: controlling.pause(connection, key, given))

    async def unpause(self, key: BatchKey, given: Given) -> Given | None:
        """End the pause of the batch. Return who had paused it; None: it was not paused."""
        return await self._writing.call(lambda connection: controlling.unpause(connection, key, given))

    async def change_settings(self, key: BatchKey, values: Mapping[str, Any], given: Given) -> None:
        """Replace settings of the job file until they are reset."""
        await self._writing.call(lambda connection: controlling.change_settings(connection, key, values, given))

    async def reset_settings(self, key: BatchKey, names: Sequence[str], given: Given) -> list[str]:
        """Use the job file's values again, without names all of them; return the names that had been replaced."""
        return await self._writing.call(lambda connection: controlling.reset_settings(connection, key, names, given))

    async def request_stop(self, key: BatchKey, run: str | tuple[int, str], given: Given) -> None:
        """Request the end of a run (see `controlling.stop`)."""
        await self._writing.call(lambda connection: controlling.stop(connection, key, run, given))

    async def cancel(self, key: BatchKey, job_ids: Sequence[str], given: Given) -> Cancelled:
        """Cancel pending jobs, and request that those in progress are no longer watched; without ids, all of the batch.

        Raises:
            NotInLedger: the batch does not have one of the jobs; nothing was changed.
        """
        return await self._writing.call(lambda connection: controlling.cancel(connection, key, job_ids, given))

    async def let_go(self, key: BatchKey, running: Sequence[int] = ()) -> list[tuple[int, Given]]:
        """Cancel executions as requested; the caller holds the batch. Return those of its `running` jobs."""
        now = self._now()
        return await self._writing.call(lambda connection: controlling.let_go(connection, key, running, now))

"""The ledger, open for writing: one method for each transition and each query."""

import asyncio

import aiosqlite

from batchcrew.base.errors import NotInLedger
from batchcrew.ledger import upkeep
from batchcrew.ledger.connection import plain_errors
from batchcrew.ledger.fetch import one
from batchcrew.ledger.spill import spill_path
from batchcrew.ledger.writes.attempts import AttemptWrites
from batchcrew.ledger.writes.controls import ControlWrites
from batchcrew.ledger.writes.jobfiles import JobFileWrites
from batchcrew.ledger.writes.jobs import JobWrites
from batchcrew.ledger.writes.runs import RunWrites
from batchcrew.ledger.writes.waits import WaitWrites
from batchcrew.ledger.writes.webhooks import WebhookWrites


class Ledger(JobFileWrites, RunWrites, AttemptWrites, JobWrites, ControlWrites, WaitWrites, WebhookWrites):
    """One ledger, open for writing: created or upgraded where needed. Use as an async context manager.

    At the end the WAL is checkpointed and truncated: the one file is complete, unless another program reads it.
    `Writes` (writes/base.py) documents the arguments.

    Every method raises `LedgerError` when the file cannot be read or written.
    """

    async def delete(self, batch: str) -> int:
        """Delete a batch and everything that belongs to it; return how many jobs it had.

        Raises:
            NotInLedger: the ledger has no such batch.
        """

        async def work(connection: aiosqlite.Connection) -> int:
            row = await one(connection, "SELECT id FROM batches WHERE batch = ?", (batch,))
            if row is None:
                raise NotInLedger(f"batch {batch!r} not found in {self._name}")
            return await upkeep.delete_batch(connection, row[0])

        jobs = await self._writing.call(work)
        spilled = await asyncio.to_thread(spill_path, self.path, batch)
        await asyncio.to_thread(spilled.unlink, missing_ok=True)
        return jobs

    async def vacuum(self) -> upkeep.Vacuumed:
        """Rebuild the file without its unused pages.

        Call it before the first transition: it uses the writing connection itself.
        """
        connection = self._before_writer("a ledger is vacuumed")
        with plain_errors(self._name):
            return await upkeep.vacuum(connection)

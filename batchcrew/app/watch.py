"""Watch the run of another process through its records in the ledger."""

from collections.abc import AsyncIterator
from pathlib import Path

from batchcrew.app.batches import named_or_latest
from batchcrew.base.clock import Clock
from batchcrew.ledger import LedgerReader
from batchcrew.model.views import BatchStatus

WATCH_SECONDS = 1.0
"""Seconds between two looks."""


async def read_status(path: Path, batch: str | None, clock: Clock) -> BatchStatus:
    """Return the status of a batch; of the one that ran last if it is not named.

    Raises:
        NotInLedger: the batch was not found, or the ledger has none.
    """
    async with LedgerReader(path, clock=clock) as ledger:
        return await ledger.status(await named_or_latest(ledger, batch))


async def watch_status(path: Path, batch: str | None, clock: Clock) -> AsyncIterator[BatchStatus]:
    """Yield the status of a batch each second; the last one is the first without a run in progress.

    The ledger is opened again for each look, so that the run can remove its WAL when it ends.

    Raises:
        NotInLedger: the batch was not found, or the ledger has none.
    """
    while True:
        status = await read_status(path, batch, clock)
        batch = status.line.batch
        yield status
        if not status.line.running:
            return
        await clock.sleep(WATCH_SECONDS)

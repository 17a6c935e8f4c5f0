"""Find a batch in a ledger, reset its jobs, and keep its answers: use cases of a ledger without a job file."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from batchcrew.base.clock import Clock, to_text
from batchcrew.base.errors import NotInLedger
from batchcrew.ledger import BatchKey, BatchLock, Ledger, Reading
from batchcrew.model.job import JobState


async def known_batch(ledger: Reading, name: str) -> BatchKey:
    """Return the batch of that name.

    Raises:
        NotInLedger: the batch was not found; the message names those of the ledger.
    """
    found = await ledger.batch(name)
    if found is None:
        names = [line.batch for line in await ledger.batches()]
        known = f"its batches: {', '.join(names[:10])}" if names else "it has no batches yet"
        raise NotInLedger(f"batch {name!r} not found in {ledger.path} ({known})")
    return found


@asynccontextmanager
async def _held(ledger: Path, batch: str, clock: Clock) -> AsyncIterator[tuple[Ledger, BatchKey]]:
    """Open the ledger and hold the batch, so that no run can start meanwhile.

    Raises:
        NotInLedger: the batch was not found.
        BatchBusy: a run holds the batch.
    """
    async with Ledger(ledger, clock=clock) as opened:
        key = await known_batch(opened, batch)
        async with BatchLock(ledger, batch, since=to_text(clock.now())):
            yield opened, key


async def retry_jobs(
    ledger: Path, batch: str, job_ids: Sequence[str], *, states: Sequence[JobState], from_url: str | None, clock: Clock
) -> int:
    """Reset ended jobs to pending, so that the next run starts them again; return how many.

    Args:
        job_ids: the jobs; empty: all of the batch.
        states: states of the jobs to reset.
        from_url: URL of the crew whose answers to reset; None: any crew.

    Raises:
        NotInLedger: the batch was not found.
        BatchBusy: a run holds the batch.
    """
    async with _held(ledger, batch, clock) as (opened, key):
        return await opened.retry(key, states=states, job_ids=job_ids, from_url=from_url)


async def keep_answers(ledger: Path, batch: str, job_ids: Sequence[str], *, clock: Clock) -> int:
    """Accept the answers of stale jobs, which then count as succeeded again; return how many.

    Args:
        job_ids: the jobs; empty: all stale ones of the batch.

    Raises:
        NotInLedger: the batch was not found.
        BatchBusy: a run holds the batch.
    """
    async with _held(ledger, batch, clock) as (opened, key):
        return await opened.keep(key, job_ids)

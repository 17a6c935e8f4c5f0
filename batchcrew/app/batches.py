"""Find a batch in a ledger, reset its jobs, and keep its answers: use cases of a ledger without a job file."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from batchcrew.base.clock import Clock, to_text
from batchcrew.base.costs import cost_by_price
from batchcrew.base.errors import NotInLedger, UsageError
from batchcrew.base.similar import did_you_mean
from batchcrew.ledger import BatchKey, BatchLock, Ledger, Reading, RetrySelection


async def known_batch(ledger: Reading, name: str) -> BatchKey:
    """Return the batch of that name.

    Raises:
        NotInLedger: the batch was not found; the message names the similar one, or those of the ledger.
    """
    found = await ledger.batch(name)
    if found is None:
        names = await ledger.batch_names()
        known = f" (its batches: {', '.join(names[:10])})" if names else " (it has no batches yet)"
        raise NotInLedger(f"batch {name!r} not found in {ledger.path}{did_you_mean(name, names) or known}")
    return found


async def named_or_latest(ledger: Reading, name: str | None) -> BatchKey:
    """Return the batch of that name; without a name, the one that ran last.

    Raises:
        NotInLedger: the batch was not found, or the ledger has no batches.
    """
    if name is None and (name := await ledger.latest()) is None:
        raise NotInLedger(f"no batches in {ledger.path} yet")
    return await known_batch(ledger, name)


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


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """The jobs that a retry would reset, and their price."""

    selection: RetrySelection
    jobs: int
    cost: str | None = None
    """The cost of one kickoff of each job, at the latest known prices; None if none is known."""
    cost_is_complete: bool = True
    """False: the price of some of the crews is not known."""


async def plan_retry(ledger: Path, batch: str, selection: RetrySelection, *, clock: Clock) -> RetryPlan:
    """Count the jobs that a retry would reset, and what their kickoffs cost; change nothing.

    Args:
        selection: its `fingerprint` may be the beginning of one.

    Raises:
        NotInLedger: the batch was not found, or it has no such job or fingerprint.
        UsageError: several fingerprints begin with the given one.
        BatchBusy: a run holds the batch.
    """
    async with _held(ledger, batch, clock) as (opened, key):
        if selection.fingerprint is not None:
            fingerprint = await one_fingerprint(opened, key, selection.fingerprint)
            selection = replace(selection, fingerprint=fingerprint)
        by_crew, prices = await opened.selected(key, selection)
    by_price: dict[str, tuple[int, int]] = {}
    for crew, number in by_crew.items():
        if price := prices.get(crew):
            kickoffs = by_price.get(price, (0, 0))[0] + number
            by_price[price] = kickoffs, kickoffs
    return RetryPlan(
        selection, sum(by_crew.values()), cost=cost_by_price(by_price), cost_is_complete=by_crew.keys() <= prices.keys()
    )


async def one_fingerprint(ledger: Reading, key: BatchKey, prefix: str) -> str:
    """Return the fingerprint of failures that begins with `prefix`.

    Raises:
        NotInLedger: there is none.
        UsageError: there are several, or it cannot be the beginning of one.
    """
    if not re.fullmatch("[0-9a-fA-F]{1,12}", prefix):
        raise UsageError(f"invalid fingerprint: {prefix!r} (expected up to 12 hexadecimal digits)")
    found = await ledger.fingerprints(key, prefix.lower())
    if not found:
        raise NotInLedger(f"no failed or held job of {key.batch} has a reason with the fingerprint {prefix!r}")
    if len(found) > 1:
        raise UsageError(f"ambiguous fingerprint: {prefix!r} (it begins {', '.join(found)}); give more of it")
    return found[0]


async def retry_jobs(ledger: Path, batch: str, plan: RetryPlan, *, clock: Clock) -> int:
    """Reset the planned jobs to pending, so that the next run starts them again; return how many.

    Raises:
        NotInLedger: the batch was not found, or it does not have a job that the plan names.
        UsageError: more jobs match by now than the plan has.
        BatchBusy: a run holds the batch.
    """
    async with _held(ledger, batch, clock) as (opened, key):
        return await opened.retry_selected(key, plan.selection, most=plan.jobs)


async def cancel_retry(ledger: Path, batch: str, job_ids: Sequence[str], *, clock: Clock) -> int:
    """Give jobs that were reset, and not kicked off since, their former state; return how many.

    Args:
        job_ids: the jobs; empty: all of the batch.

    Raises:
        NotInLedger: the batch was not found, or it does not have one of the jobs.
        BatchBusy: a run holds the batch.
    """
    async with _held(ledger, batch, clock) as (opened, key):
        return await opened.cancel_retry(key, job_ids)


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

"""Totals of batches: their runs, kickoffs, cost, tokens and time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import aiosqlite

from batchcrew.base.clock import from_text
from batchcrew.base.costs import cost_by_price, sum_of_costs
from batchcrew.ledger.fetch import rows
from batchcrew.model.attempt import AttemptState
from batchcrew.model.views import BatchTotals

_RUNS = """
SELECT id, batch_id, kind, started_at, ended_at, kickoffs, cost, exit_code
FROM runs WHERE :batch IS NULL OR batch_id = :batch ORDER BY rowid
"""
# from the index alone: pages with answers are not read
_TOKENS = """
SELECT r.batch_id, sum(a.total_tokens) FROM runs AS r CROSS JOIN attempts AS a INDEXED BY attempts_ended
ON a.run_id = r.id AND a.state NOT IN ('intended', 'kicked_off')
WHERE :batch IS NULL OR r.batch_id = :batch GROUP BY r.batch_id
"""
_TOKENS_BY_STATE = """
SELECT a.state, count(a.total_tokens), coalesce(sum(a.total_tokens), 0)
FROM runs AS r CROSS JOIN attempts AS a INDEXED BY attempts_ended
ON a.run_id = r.id AND a.state NOT IN ('intended', 'kicked_off') WHERE r.batch_id = ? GROUP BY a.state
"""
_ENDED_OF_RUN = """
SELECT state, count(*) FROM attempts INDEXED BY attempts_ended
WHERE run_id = :run AND state NOT IN ('intended', 'kicked_off') GROUP BY state
"""
_OPEN_OF_RUN = """
SELECT state, count(*) FROM attempts INDEXED BY attempts_open
WHERE state IN ('intended', 'kicked_off') AND run_id = :run GROUP BY state
"""
_BY_PRICE = """
SELECT c.price, a.state, count(*) FROM attempts AS a JOIN jobs AS j ON j.id = a.job
JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)
WHERE a.id >= :run || '-' AND a.id < :run || '.' AND c.price IS NOT NULL GROUP BY 1, 2 -- ids begin with their run's
"""
_IN_DOUBT = frozenset({AttemptState.IN_DOUBT.value, AttemptState.INTENDED.value})


async def batch_totals(
    connection: aiosqlite.Connection,
    now: datetime,
    batch_id: int | None = None,
    *,
    running: frozenset[int] = frozenset(),
) -> dict[int, BatchTotals]:
    """Return the totals of one batch or of all, by the batch's row number.

    Args:
        now: aware; the end, for now, of a run that is still working.
        running: the batches that a run holds: the latest run of each is still working.
    """
    by_batch: dict[int, list[Sequence[Any]]] = {}
    for row in await rows(connection, _RUNS, {"batch": batch_id}):
        by_batch.setdefault(row[1], []).append(row)
    tokens = dict(await rows(connection, _TOKENS, {"batch": batch_id}))
    return {
        batch: await _totals(connection, its, tokens.get(batch), now if batch in running else None)
        for batch, its in by_batch.items()
    }


async def token_counts(connection: aiosqlite.Connection, batch_id: int) -> dict[str, tuple[int, int]]:
    """Return, by the state of ended attempts, how many reported tokens, and how many tokens."""
    found = await rows(connection, _TOKENS_BY_STATE, (batch_id,))
    return {state: (number, tokens) for state, number, tokens in found}


async def _totals(
    connection: aiosqlite.Connection, runs: Sequence[Sequence[Any]], tokens: int | None, now: datetime | None
) -> BatchTotals:
    costs: list[str] = []
    kickoffs, seconds = 0, 0.0
    timed_kickoffs, timed_seconds = 0, 0.0
    for number, (run_id, _, kind, started_at, ended_at, recorded, recorded_cost, _) in enumerate(runs, start=1):
        count, its_cost = recorded, recorded_cost
        if ended_at is None:  # its row has no numbers: it is still working, or was killed
            count, its_cost = await _unfinished(connection, run_id)
        kickoffs += count
        costs += [its_cost] if its_cost else []
        end = from_text(ended_at) if ended_at else now if number == len(runs) else None
        if end is not None:  # it is not known when a killed run ended
            its_seconds = max(0.0, (end - from_text(started_at)).total_seconds())
            seconds += its_seconds
            if kind == "run":  # the executions of ticks run between them
                timed_kickoffs, timed_seconds = timed_kickoffs + count, timed_seconds + its_seconds
    exits = [row[7] for row in runs if row[2] in {"run", "tick"}]
    return BatchTotals(
        runs=len(runs),
        kickoffs=kickoffs,
        cost=sum_of_costs(costs),
        tokens=tokens,
        seconds=round(seconds, 3),
        kickoffs_per_minute=round(timed_kickoffs / timed_seconds * 60, 1) if timed_kickoffs and timed_seconds else None,
        last_exit_code=exits[-1] if exits else None,
    )


async def _unfinished(connection: aiosqlite.Connection, run_id: str) -> tuple[int, str | None]:
    """Return the kickoffs of a run that has not recorded its end, and their cost."""
    states: dict[str, int] = {}
    for query in (_ENDED_OF_RUN, _OPEN_OF_RUN):
        states |= dict(await rows(connection, query, {"run": run_id}))
    prices = await rows(connection, "SELECT price, count(*) FROM run_crews WHERE run_id = ? GROUP BY 1", (run_id,))
    if not any(price for price, _ in prices):
        by_price: dict[str, Mapping[str, int]] = {}
    elif len(prices) == 1:
        by_price = {prices[0][0]: states}
    else:
        by_price = {}
        for price, state, number in await rows(connection, _BY_PRICE, {"run": run_id}):
            by_price[price] = {**by_price.get(price, {}), state: number}
    cost = cost_by_price({price: (_sum(its) - _sum(its, _IN_DOUBT), _sum(its)) for price, its in by_price.items()})
    return _sum(states) - states.get(AttemptState.INTENDED.value, 0), cost


def _sum(states: Mapping[str, int], only: frozenset[str] | None = None) -> int:
    """Return the number of kickoffs that were not refused, or of those in the states `only`."""
    return sum(
        number
        for state, number in states.items()
        if state != AttemptState.REJECTED.value and (only is None or state in only)
    )

"""Totals of batches: their runs, kickoffs, cost, tokens and time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import aiosqlite

from batchcrew.base.clock import from_text
from batchcrew.base.costs import read_cost
from batchcrew.ledger.fetch import rows
from batchcrew.ledger.reads.money import Tally, merged, tallies
from batchcrew.model.attempt import AttemptState
from batchcrew.model.money import Money
from batchcrew.model.views import BatchTotals

_RUNS = """
SELECT id, batch_id, kind, started_at, ended_at, kickoffs, cost, exit_code
FROM runs WHERE :batch IS NULL OR batch_id = :batch ORDER BY rowid
"""
# from the index alone: pages with answers are not read
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
_NO_KICKOFF = frozenset({AttemptState.INTENDED.value, AttemptState.REJECTED.value})


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
    spent = await tallies(connection, batch_id=batch_id)
    return {
        batch: await _totals(connection, its, spent, now if batch in running else None)
        for batch, its in by_batch.items()
    }


async def token_counts(connection: aiosqlite.Connection, batch_id: int) -> dict[str, tuple[int, int]]:
    """Return, by the state of ended attempts, how many reported tokens, and how many tokens."""
    found = await rows(connection, _TOKENS_BY_STATE, (batch_id,))
    return {state: (number, tokens) for state, number, tokens in found}


async def _totals(
    connection: aiosqlite.Connection, runs: Sequence[Sequence[Any]], spent: Mapping[str, Tally], now: datetime | None
) -> BatchTotals:
    money = Money()
    kickoffs, seconds = 0, 0.0
    timed_kickoffs, timed_seconds = 0, 0.0
    for number, (run_id, _, kind, started_at, ended_at, recorded, recorded_cost, _) in enumerate(runs, start=1):
        count = recorded
        if ended_at is None:  # its row has no number: it is still working, or was killed
            count = await _unfinished(connection, run_id)
        kickoffs += count
        its = spent[run_id].money() if run_id in spent else Money()
        # the run of an earlier version has recorded what it cost, and no prices
        money += its if its.amounts or not recorded_cost else Money(amounts=read_cost(recorded_cost))
        end = from_text(ended_at) if ended_at else now if number == len(runs) else None
        if end is not None:  # it is not known when a killed run ended
            its_seconds = max(0.0, (end - from_text(started_at)).total_seconds())
            seconds += its_seconds
            if kind == "run":  # the executions of ticks run between them
                timed_kickoffs, timed_seconds = timed_kickoffs + count, timed_seconds + its_seconds
    tokens = merged(spent[row[0]] for row in runs if row[0] in spent).tokens()
    exits = [row[7] for row in runs if row[2] in {"run", "tick"}]
    return BatchTotals(
        runs=len(runs),
        kickoffs=kickoffs,
        cost=money.text,
        costs=money.as_list(),
        without_tokens=money.without_tokens,
        tokens=tokens.total,
        prompt_tokens=tokens.prompt,
        completion_tokens=tokens.completion,
        seconds=round(seconds, 3),
        kickoffs_per_minute=round(timed_kickoffs / timed_seconds * 60, 1) if timed_kickoffs and timed_seconds else None,
        last_exit_code=exits[-1] if exits else None,
    )


async def _unfinished(connection: aiosqlite.Connection, run_id: str) -> int:
    """Return the kickoffs of a run that has not recorded its end."""
    states: dict[str, int] = {}
    for query in (_ENDED_OF_RUN, _OPEN_OF_RUN):
        states |= dict(await rows(connection, query, {"run": run_id}))
    return sum(number for state, number in states.items() if state not in _NO_KICKOFF)

"""Add up the tokens and money of attempts: what a batch, a run or a month has spent, wasted and saved.

Each kickoff counts at the price that was in force when its run began, so a later price changes nothing. The numbers of
a batch come from an index alone, so that pages with answers are not read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

import aiosqlite

from batchcrew.base.clock import from_text, to_text
from batchcrew.base.costs import PriceList, Ranges, add_amount
from batchcrew.base.local_months import month_of
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows
from batchcrew.ledger.reads.base import Reads
from batchcrew.model.attempt import AttemptState
from batchcrew.model.money import KnownAndExpected, Money, MonthLine, Spending, Tokens

_Prices: TypeAlias = tuple[str | None, str | None, str | None]
_NO_PRICES: _Prices = (None, None, None)
WASTED = frozenset({AttemptState.FAILED, AttemptState.TIMED_OUT, AttemptState.LOST, AttemptState.CANCELLED})
"""States of attempts that were charged and have no accepted answer."""
_IN_DOUBT = frozenset({AttemptState.IN_DOUBT, AttemptState.INTENDED})
_NOT_ENDED = frozenset({AttemptState.INTENDED, AttemptState.KICKED_OFF})

SUMS = """
count(*), count(coalesce(a.prompt_tokens, a.completion_tokens, a.total_tokens)),
coalesce(sum(a.prompt_tokens), 0), coalesce(sum(a.completion_tokens), 0),
coalesce(sum(CASE WHEN a.prompt_tokens IS NULL AND a.completion_tokens IS NULL THEN a.total_tokens END), 0),
coalesce(sum(coalesce(a.total_tokens, a.prompt_tokens + a.completion_tokens)), 0),
count(a.prompt_tokens), count(a.completion_tokens)
"""
"""The columns that `Sums.add` takes; `a` is the table attempts."""
_OF_RUNS = """
(:batch IS NULL OR r.batch_id = :batch) AND (:run IS NULL OR r.id = :run) AND (:since IS NULL OR r.started_at >= :since)
"""
_ENDED = f"""
SELECT a.run_id, NULL, a.state, {SUMS} FROM runs AS r CROSS JOIN attempts AS a INDEXED BY attempts_ended
ON a.run_id = r.id AND a.state NOT IN ('intended', 'kicked_off') WHERE {_OF_RUNS} GROUP BY a.run_id, a.state
"""
_ENDED_BY_CREW = f"""
SELECT a.run_id, coalesce(a.sent_crew, j.crew), a.state, {SUMS}
FROM attempts AS a INDEXED BY attempts_ended CROSS JOIN jobs AS j ON j.id = a.job
WHERE a.run_id = :run AND a.state NOT IN ('intended', 'kicked_off') GROUP BY 2, a.state
"""
_OPEN = f"""
SELECT a.run_id, coalesce(a.sent_crew, j.crew), a.state, {SUMS}
FROM attempts AS a CROSS JOIN runs AS r ON r.id = a.run_id CROSS JOIN jobs AS j ON j.id = a.job
WHERE a.state IN ('intended', 'kicked_off') AND {_OF_RUNS} GROUP BY 1, 2, 3
"""
_REUSED = f"""
SELECT a.run_id, coalesce(a.sent_crew, j.crew), a.reused, {SUMS}
FROM runs AS r CROSS JOIN attempts AS a ON a.run_id = r.id CROSS JOIN jobs AS j ON j.id = a.job
WHERE a.reused > 0 AND {_OF_RUNS} GROUP BY 1, 2, 3
"""
_PRICES = f"""
SELECT c.run_id, c.crew, c.price, c.prompt_price, c.completion_price
FROM runs AS r CROSS JOIN run_crews AS c ON c.run_id = r.id WHERE {_OF_RUNS}
"""
# of runs that began before `since`, or of one run: there are few, and their attempts are read one by one
_SPANS = """
SELECT r.id, r.started_at, coalesce(r.ended_at, (SELECT min(n.started_at) FROM runs AS n
    WHERE n.batch_id = r.batch_id AND n.rowid > r.rowid)) AS end
FROM runs AS r WHERE (:batch IS NULL OR r.batch_id = :batch)
    AND (:since IS NULL OR r.started_at >= :since OR coalesce(end, '9') >= :since)
"""
_BY_MINUTE = f"""
SELECT substr(a.intended_at, 1, 16), coalesce(a.sent_crew, j.crew), a.state, {SUMS}
FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job
WHERE a.id >= :run || '-' AND a.id < :run || '.' AND (:since IS NULL OR a.intended_at >= :since) GROUP BY 1, 2, 3
"""


@dataclass(slots=True)
class Sums:
    """Attempts of one state at one price, added up."""

    number: int = 0
    known: int = 0
    """Number of these attempts whose tokens are known."""
    prompt: int = 0
    completion: int = 0
    unsplit: int = 0
    """Tokens of which only the total is known."""
    total: int = 0
    with_prompt: int = 0
    with_completion: int = 0

    def add(self, values: Sequence[int], times: int = 1) -> None:
        """Add a row of the columns SUMS."""
        for name, value in zip(self.__dataclass_fields__, values, strict=True):
            setattr(self, name, getattr(self, name) + times * value)

    def values(self) -> list[int]:
        """Return the sums in the order of the columns SUMS."""
        return [getattr(self, name) for name in self.__dataclass_fields__]


@dataclass(slots=True)
class Tally:
    """Sums by price and state."""

    by_price: dict[tuple[_Prices, str], Sums] = field(default_factory=dict)

    def add(self, prices: _Prices, state: str, values: Sequence[int], times: int = 1) -> None:
        """Add attempts of one state."""
        self.by_price.setdefault((prices, state), Sums()).add(values, times)

    def money(self, states: Iterable[str] | None = None) -> Money:
        """Return the cost of the attempts; refused ones cost nothing.

        Args:
            states: only these; default: all.
        """
        wanted = None if states is None else frozenset(states)
        amounts: Ranges = {}
        kickoffs = without = 0
        for (texts, state), sums in self.by_price.items():
            if state == AttemptState.REJECTED or (wanted is not None and state not in wanted):
                continue
            kickoffs += sums.number
            if (prices := PriceList.read(*texts)) is None:
                continue
            tokens = prices.of_tokens(sums.prompt, sums.completion, sums.unsplit)
            if prices.per_kickoff is not None or sums.known:
                most = prices.of_kickoffs(sums.number) + tokens
                add_amount(amounts, prices.currency, Decimal(0) if state in _IN_DOUBT else most, most)
            if prices.has_token_prices and state not in _NOT_ENDED:
                without += sums.number - sums.known
        return Money(amounts=amounts, kickoffs=kickoffs, without_tokens=without)

    def expected_from(self) -> KnownAndExpected:
        """Return the known cost, and the kickoffs whose tokens must be estimated."""
        money = self.money()
        unknown: dict[PriceList, int] = {}
        for (texts, state), sums in self.by_price.items():
            prices = PriceList.read(*texts)
            if prices is not None and prices.has_token_prices and state != AttemptState.REJECTED:
                unknown[prices] = unknown.get(prices, 0) + sums.number - sums.known
        known = {currency: most for currency, (_, most) in money.amounts.items()}
        return KnownAndExpected(known, tuple(unknown.items()))

    def tokens(self) -> Tokens:
        """Return the tokens of all attempts; None where none of them has any."""
        every = Sums()
        for sums in self.by_price.values():
            every.add(sums.values())
        return Tokens(
            prompt=every.prompt if every.with_prompt else None,
            completion=every.completion if every.with_completion else None,
            total=every.total if every.known else None,
        )


class RunPrices:
    """The prices of each run, by crew."""

    def __init__(self, found: Iterable[Sequence[Any]]) -> None:
        self._by_run: dict[str, dict[str, _Prices]] = {}
        for run_id, crew, *prices in found:
            self._by_run.setdefault(run_id, {})[crew] = (prices[0], prices[1], prices[2])

    def of(self, run_id: str, crew: str | None) -> _Prices:
        """Return the prices of a crew; of any crew (None) if all have the same ones."""
        its = self._by_run.get(run_id, {})
        return next(iter(its.values()), _NO_PRICES) if crew is None else its.get(crew, _NO_PRICES)

    def of_several(self) -> list[str]:
        """Return the runs whose crews have different prices."""
        return [run_id for run_id, its in self._by_run.items() if len(set(its.values())) > 1]


async def tallies(
    connection: aiosqlite.Connection,
    *,
    batch_id: int | None = None,
    run_id: str | None = None,
    since: str | None = None,
) -> dict[str, Tally]:
    """Return the usage of the attempts of each run: of a batch's runs, of one run, or of all.

    Args:
        since: only runs that began from then on, UTC text.
    """
    parameters = {"batch": batch_id, "run": run_id, "since": since}
    prices = RunPrices(await rows(connection, _PRICES, parameters))
    several = frozenset(prices.of_several())
    found = [row for row in await rows(connection, _ENDED, parameters) if row[0] not in several]
    for run in several:
        found += await rows(connection, _ENDED_BY_CREW, {"run": run})
    found += await rows(connection, _OPEN, parameters)
    by_run: dict[str, Tally] = {}
    for run, crew, state, *values in found:
        by_run.setdefault(run, Tally()).add(prices.of(run, crew), state, values)
    return by_run


async def saved_by_reuse(connection: aiosqlite.Connection, batch_id: int) -> Money:
    """Return the cost of the kickoffs that were avoided by reusing answers, counting each reuse."""
    parameters = {"batch": batch_id, "run": None, "since": None}
    prices = RunPrices(await rows(connection, _PRICES, parameters))
    tally = Tally()
    for run, crew, times, *values in await rows(connection, _REUSED, parameters):
        tally.add(prices.of(run, crew), AttemptState.SUCCEEDED, values, times)
    return tally.money()


def merged(found: Iterable[Tally]) -> Tally:
    """Return the sum of tallies."""
    every = Tally()
    for tally in found:
        for (prices, state), sums in tally.by_price.items():
            every.add(prices, state, sums.values())
    return every


async def month_tallies(
    connection: aiosqlite.Connection, *, batch_id: int | None = None, since: datetime | None = None
) -> dict[str, dict[str, Tally]]:
    """Return the usage of attempts, by the month of their kickoff (local time) and the run.

    Args:
        since: only kickoffs from then on (aware).
    """
    text = to_text(since) if since else None
    parameters = {"batch": batch_id, "run": None, "since": text}
    by_month: dict[str, dict[str, Tally]] = {}
    spanning: list[str] = []
    months: dict[str, str] = {}
    for run, start, end in await rows(connection, _SPANS, parameters):
        month = month_of(from_text(start))
        if (text is None or start >= text) and (since is not None or (end and month_of(from_text(end)) == month)):
            months[run] = month
        else:
            spanning.append(run)
    for run, tally in (await tallies(connection, batch_id=batch_id, since=text)).items():
        if run in months:
            by_month.setdefault(months[run], {})[run] = tally
    for run in spanning:
        prices = RunPrices(await rows(connection, _PRICES, {"batch": None, "run": run, "since": None}))
        for minute, crew, state, *values in await rows(connection, _BY_MINUTE, {"run": run, "since": text}):
            its = by_month.setdefault(month_of(from_text(f"{minute}:00+00:00")), {})
            its.setdefault(run, Tally()).add(prices.of(run, crew), state, values)
    return by_month


async def deleted_costs(connection: aiosqlite.Connection) -> dict[str, Money]:
    """Return the cost of the kickoffs of deleted batches, by month."""
    by_month: dict[str, Money] = {}
    for month, currency, least, most in await rows(
        connection, "SELECT month, currency, least, most FROM deleted_costs"
    ):
        by_month[month] = by_month.get(month, Money()) + Money(amounts={currency: (Decimal(least), Decimal(most))})
    return by_month


async def keep_costs(connection: aiosqlite.Connection, batch_id: int) -> None:
    """Record the cost of a batch's kickoffs, by month, before the batch is deleted."""
    for month, runs in (await month_tallies(connection, batch_id=batch_id)).items():
        for currency, (least, most) in merged(runs.values()).money().amounts.items():
            before = await rows(
                connection,
                "SELECT least, most FROM deleted_costs WHERE month = ? AND currency = ?",
                (month, currency),
            )
            for low, high in before:
                least, most = least + Decimal(low), most + Decimal(high)
            await connection.execute(
                "INSERT OR REPLACE INTO deleted_costs (month, currency, least, most) VALUES (?, ?, ?, ?)",
                (month, currency, f"{least:f}", f"{most:f}"),
            )


def _spending(tally: Tally, saved: Money | None = None) -> Spending:
    wasted = tally.money([*WASTED, *_IN_DOUBT])
    return Spending(spent=tally.money(), wasted=wasted, saved=saved or Money(), tokens=tally.tokens())


async def batch_spending(connection: aiosqlite.Connection, batch_id: int) -> Spending:
    """Return what a batch has spent, wasted on failures and saved by reuse, and its tokens."""
    every = merged((await tallies(connection, batch_id=batch_id)).values())
    return _spending(every, await saved_by_reuse(connection, batch_id))


class MoneyReads(Reads):
    """Read the tokens and cost of batches, runs and months."""

    async def spending(self, key: BatchKey) -> Spending:
        """Return what a batch has spent, wasted on failures and saved by reuse, and its tokens."""

        return await self._query(lambda connection: batch_spending(connection, key.id))

    async def run_spending(self, run_id: str) -> Spending:
        """Return the tokens and cost of one run's kickoffs so far."""
        found = await self._query(lambda connection: tallies(connection, run_id=run_id))
        return _spending(found.get(run_id, Tally()))

    async def months(self, key: BatchKey | None = None) -> list[MonthLine]:
        """Return the tokens and cost of each month's kickoffs, the latest month first.

        Args:
            key: only this batch; None: all batches of the ledger, and what deleted ones have cost.
        """

        async def query(connection: aiosqlite.Connection) -> list[MonthLine]:
            found = await month_tallies(connection, batch_id=key.id if key else None)
            lines = {month: _spending(merged(runs.values())) for month, runs in found.items()}
            for month, money in ({} if key else await deleted_costs(connection)).items():
                its = lines.get(month, Spending())
                lines[month] = replace(its, spent=its.spent + money)
            return [MonthLine(month=month, spending=lines[month]) for month in sorted(lines, reverse=True)]

        return await self._query(query)

"""Limits of money: `max_cost` of the run, the batch and the month.

A kickoff leaves only if three amounts together are within each limit: the money spent, the expected cost of executions
without known tokens, and the expected cost of the kickoff itself. The expected cost of an execution's tokens is the
mean of the crew's latest executions, over all batches, and of those that end during the run. Until one has ended, only
the price of the kickoff is known, and the run prints a warning. So a limit can be exceeded only by the difference
between the actual and the expected cost of the executions in progress.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol, Self

from batchcrew.base.costs import PriceList, amount_text
from batchcrew.base.local_months import month_start
from batchcrew.config.limits import MaxCost
from batchcrew.config.money import cost_limits, price_lists
from batchcrew.crew import crew_address
from batchcrew.engine.context import Crews, RunContext
from batchcrew.model.attempt import Attempt, Outcome
from batchcrew.model.money import CostSoFar, KnownAndExpected, Tokens, tokens_of
from batchcrew.model.run import StopReason

OTHERS_SECONDS = 10.0
"""How often the kickoffs of other batches are read again while one of them runs."""
_REASONS = {"run": StopReason.LIMIT, "batch": StopReason.BUDGET, "month": StopReason.BUDGET}
_NOTHING = KnownAndExpected()


class CrewWork(Protocol):
    """A crew, and whether it has jobs to start."""

    @property
    def name(self) -> str: ...

    @property
    def exhausted(self) -> bool: ...


@dataclass(slots=True)
class TokenMean:
    """The mean tokens of a crew's executions."""

    executions: int = 0
    prompt: int = 0
    completion: int = 0
    unsplit: int = 0

    def add(self, tokens: Tokens) -> None:
        """Add an execution; one whose tokens are not known is ignored."""
        if tokens.known:
            self.executions += 1
            self.prompt += tokens.prompt or 0
            self.completion += tokens.completion or 0
            self.unsplit += (tokens.total or 0) if tokens.prompt is None and tokens.completion is None else 0

    def cost(self, prices: PriceList) -> Decimal:
        """Return the expected cost of the tokens of one execution; 0 if nothing is known."""
        if not self.executions:
            return Decimal(0)
        return prices.of_tokens(self.prompt, self.completion, self.unsplit) / self.executions


@dataclass(slots=True)
class _Spent:
    """Kickoffs of this run, or executions of earlier runs that have ended in it."""

    known: dict[str, Decimal] = field(default_factory=dict)
    without_tokens: Counter[str] = field(default_factory=Counter)
    """By crew: kickoffs whose tokens are not known."""

    def add(self, currency: str, amount: Decimal) -> None:
        self.known[currency] = self.known.get(currency, Decimal(0)) + amount


class CostLimits:
    """Counts the spending of a run, and decides which kickoffs are still within the limits.

    Args:
        prices: of each crew; crews without a price are missing, and are not limited.
        addresses: of each crew, as `crew_address` writes them.
    """

    def __init__(self, context: RunContext, prices: Mapping[str, PriceList], addresses: Mapping[str, str]) -> None:
        self._context = context
        self._prices = prices
        self._addresses = addresses
        self._limits: dict[str, tuple[Decimal, str]] = {}
        self._means = {name: TokenMean() for name in prices}
        self._own, self._earlier = _Spent(), _Spent()
        self._before = CostSoFar(batch=_NOTHING, month=_NOTHING, others=_NOTHING)
        self._month = month_start(context.clock.now())
        self._others_at = -math.inf
        self._learned = self._has_warned = False

    @classmethod
    def of(cls, context: RunContext, crews: Crews) -> Self:
        """Return the limits of a run with these crews."""
        addresses = {name: crew_address(crew) for name, crew in crews.settings.items()}
        return cls(context, price_lists(crews.settings), addresses)

    async def change(self, most: MaxCost | None) -> None:
        """Replace the limits; earlier spending counts."""
        single = {prices.currency for prices in self._prices.values()}
        default = next(iter(single)) if len(single) == 1 else ""
        self._limits = {name: (each.amount, each.currency or default) for name, each in cost_limits(most).items()}
        if self._limits:
            await self._read()

    async def refresh(self) -> None:
        """Read again what other batches have spent, from time to time; and everything in a new month."""
        if "month" not in self._limits:
            return
        now = self._context.clock.monotonic()
        new_month = month_start(self._context.clock.now()) != self._month
        if new_month or now - self._others_at >= OTHERS_SECONDS:
            self._others_at = now
            if new_month or await self._context.ledger.others_run(self._context.batch):
                await self._read()

    async def _read(self) -> None:
        context = self._context
        self._month = month_start(context.clock.now())
        self._before = await context.ledger.cost_so_far(context.batch, self._month, without_run=context.run_id)
        self._earlier = _Spent()
        if not self._learned:
            self._learned = True
            for name, mean in self._means.items():
                if self._prices[name].has_token_prices:
                    for past in await context.ledger.past_executions(self._addresses[name]):
                        mean.add(past.tokens)

    def spend(self, crew: str, kickoffs: int) -> None:
        """Record kickoffs that leave now."""
        prices = self._prices.get(crew)
        if prices is None or not kickoffs:
            return
        self._own.add(prices.currency, prices.of_kickoffs(kickoffs))
        if prices.has_token_prices:
            self._own.without_tokens[crew] += kickoffs
            self._warn_of_unknown_tokens(crew)

    def count(self, attempt: Attempt, outcome: Outcome, *, refused: bool) -> None:
        """Count an ended attempt, also one of an earlier run.

        Args:
            refused: its kickoff cost nothing.
        """
        prices = self._prices.get(attempt.crew)
        if prices is None:
            return
        is_own = attempt.attempt_id.startswith(f"{self._context.run_id}-")
        spent = self._own if is_own else self._earlier
        tokens = tokens_of(outcome.execution.token_usage if outcome.execution else None)
        if refused:
            spent.add(prices.currency, -prices.of_kickoffs(1))
        if prices.has_token_prices and (refused or tokens.known):
            spent.without_tokens[attempt.crew] -= 1
        if prices.has_token_prices and not refused:
            self._means[attempt.crew].add(tokens)
            unsplit = tokens.total if tokens.prompt is None and tokens.completion is None else 0
            spent.add(prices.currency, prices.of_tokens(tokens.prompt or 0, tokens.completion or 0, unsplit or 0))

    def available(self, crew: str) -> float:
        """Return the number of kickoffs of a crew that fit into every limit now."""
        prices = self._prices.get(crew)
        if prices is None:
            return math.inf
        each = self._expected(crew, prices)
        least = math.inf
        for name, (amount, currency) in self._limits.items():
            if currency == prices.currency:
                left = amount - self._projected(name, currency)
                fits = math.inf if left > 0 else 0
                least = min(least, int(left / each) if each and left > 0 else fits)
        return least

    def why_stop(self, crews: Collection[CrewWork]) -> tuple[StopReason, str] | None:
        """Return why no job can start because of money; None if one can, or if there is none to start.

        Call it while nothing is in progress, because executions may have cost less than expected.
        """
        ready = [crew.name for crew in crews if not crew.exhausted]
        if not ready or any(self.available(crew) >= 1 for crew in ready):
            return None
        return next(filter(None, map(self._over, ready)), None)

    def _over(self, crew: str) -> tuple[StopReason, str] | None:
        prices = self._prices[crew]
        each = self._expected(crew, prices)
        for name, (amount, currency) in self._limits.items():
            spent = self._projected(name, currency)
            if currency == prices.currency and (spent >= amount or spent + each > amount):
                limit, used = amount_text(amount, currency), amount_text(spent, currency)
                following = amount_text(each, currency)
                text = (
                    f"max_cost of the {name} ({limit}) is reached: {used} are spent, and the next kickoff of crew"
                    f" {crew} is expected to cost {following}; raise max_cost to continue"
                )
                return _REASONS[name], text
        return None

    def _expected(self, crew: str, prices: PriceList) -> Decimal:
        """Return the expected cost of a kickoff, tokens included."""
        return prices.of_kickoffs(1) + self._means[crew].cost(prices)

    def _projected(self, name: str, currency: str) -> Decimal:
        """Return the amount that counts against a limit: the known cost, and the expected cost of executions without
        tokens."""
        parts: list[_Spent] = [self._own] if name == "run" else [self._own, self._earlier]
        total = Decimal(0)
        for part in parts:
            total += part.known.get(currency, Decimal(0))
            for crew, number in part.without_tokens.items():
                if self._prices[crew].currency == currency:
                    total += number * self._means[crew].cost(self._prices[crew])
        before = {"batch": [self._before.batch], "month": [self._before.month, self._before.others]}.get(name, [])
        return total + sum((self._of_earlier(each, currency) for each in before), Decimal(0))

    def _of_earlier(self, before: KnownAndExpected, currency: str) -> Decimal:
        every = self._every_mean()
        expected = (
            number * every.cost(prices) for prices, number in before.without_tokens if prices.currency == currency
        )
        return before.known.get(currency, Decimal(0)) + sum(expected, Decimal(0))

    def _every_mean(self) -> TokenMean:
        means = self._means.values()
        return TokenMean(
            sum(each.executions for each in means),
            sum(each.prompt for each in means),
            sum(each.completion for each in means),
            sum(each.unsplit for each in means),
        )

    def _warn_of_unknown_tokens(self, crew: str) -> None:
        if self._limits and not self._has_warned and not self._means[crew].executions:
            self._has_warned = True
            self._context.warn(
                f"crew {crew}: how many tokens its executions use is not known yet; max_cost counts only the price of a"
                " kickoff until one has ended"
            )

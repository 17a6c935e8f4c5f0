"""Tokens and money of attempts, added up by currency."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from batchcrew.base.costs import PriceList, Ranges, add_amount, cost_text

MOST_TOKENS = 10**12
"""A larger count counts as unknown: it is a defect of the crew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Counts of one attempt, or added up; None: not known."""

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None
    cached: int | None = None
    """Prompt tokens that a cache answered."""
    successful_requests: int | None = None
    """To the language model."""

    @property
    def known(self) -> bool:
        """Whether any count decides what the tokens cost."""
        return self.prompt is not None or self.completion is not None or self.total is not None


def tokens_of(usage: Mapping[str, Any] | None) -> Tokens:
    """Return the counts in a `token_usage`, as the ledger's columns do: any other value is not known."""
    if not usage:
        return Tokens()
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    total = _count(usage.get("total_tokens"))
    if total is None and prompt is not None and completion is not None:
        total = prompt + completion
    return Tokens(
        prompt=prompt,
        completion=completion,
        total=total,
        cached=_count(usage.get("cached_prompt_tokens")),
        successful_requests=_count(usage.get("successful_requests")),
    )


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if math.isfinite(value) and 0 <= value <= MOST_TOKENS else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Tokens and cost of an attempt, or of all attempts of a job; None: unknown."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    """Prompt tokens that a cache answered."""
    successful_requests: int | None = None
    """To the language model."""
    cost: Decimal | None = None
    """The known part of the cost; None without a price, for a kickoff in doubt, and in several currencies."""
    currency: str | None = None
    """The currency of `cost`; several are separated by commas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """The cost of kickoffs, by currency: the minimum, and the maximum if all kickoffs in doubt were charged."""

    amounts: Ranges = field(default_factory=dict)
    kickoffs: int = 0
    """Kickoffs that were not refused, those without a price included."""
    without_tokens: int = 0
    """Executions that have ended, whose tokens have a price and are not known: only their kickoff is counted."""

    def __add__(self, other: "Money") -> "Money":
        amounts = dict(self.amounts)
        for currency, (least, most) in other.amounts.items():
            add_amount(amounts, currency, least, most)
        return Money(
            amounts=amounts,
            kickoffs=self.kickoffs + other.kickoffs,
            without_tokens=self.without_tokens + other.without_tokens,
        )

    @property
    def text(self) -> str | None:
        """The amounts as text, `12.50 USD`; None if no price is known."""
        return cost_text(self.amounts)

    def as_list(self) -> list[dict[str, str]]:
        """Return the exact amounts for JSON: `[{"currency", "least", "most"}]`."""
        return [
            {"currency": currency, "least": plain_amount(least), "most": plain_amount(most)}
            for currency, (least, most) in self.amounts.items()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Tokens and cost of the attempts of a batch, a run or a month."""

    spent: Money = field(default_factory=Money)
    """All kickoffs, failed ones included."""
    wasted: Money = field(default_factory=Money)
    """Kickoffs that brought no answer that counts: failed, lost, timed out, cancelled, in doubt."""
    saved: Money = field(default_factory=Money)
    """The cost of kickoffs that were avoided by reusing an earlier answer."""
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthLine:
    """Tokens and cost of the kickoffs of one month."""

    month: str
    """The month in local time: `2026-11`."""
    spending: Spending


def plain_amount(amount: Decimal) -> str:
    """Return a decimal number without an exponent and without zeros at its end: `12.5`."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True, kw_only=True)
class PastExecution:
    """One execution of a crew that has ended."""

    succeeded: bool
    seconds: float | None = None
    """From its kickoff to its end, without the time in which it waited for human input; None: not known."""
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True, slots=True)
class KnownAndExpected:
    """The known cost of kickoffs, and the kickoffs whose tokens are not known."""

    known: Mapping[str, Decimal] = field(default_factory=dict)
    """By currency; kickoffs in doubt count as charged."""
    without_tokens: tuple[tuple[PriceList, int], ...] = ()
    """Prices of tokens, and the number of kickoffs whose tokens are not known (yet)."""

    def plus(self, money: Money) -> "KnownAndExpected":
        """Return the sum with a cost that is final."""
        known = dict(self.known)
        for currency, (_, most) in money.amounts.items():
            known[currency] = known.get(currency, Decimal(0)) + most
        return KnownAndExpected(known, self.without_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSoFar:
    """The cost of earlier kickoffs, for the limits of a run."""

    batch: KnownAndExpected
    month: KnownAndExpected
    """Spending of this batch."""
    others: KnownAndExpected
    """Spending of the other batches of the ledger, in the same month."""

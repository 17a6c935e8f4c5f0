"""Costs as text: `12.50 USD`, the range `12.50 to 13.50 USD`, and several currencies, `12.50 USD + 3.00 EUR`.

Amounts are exact decimal numbers; only the text is rounded. Different currencies are never added up. The module imports
no settings, so that commands that only read the ledger start quickly.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Self, TypeAlias

Ranges: TypeAlias = dict[str, tuple[Decimal, Decimal]]
"""Least and most amount by currency."""
_COST = re.compile(r"(\d+\.\d\d+)(?: to (\d+\.\d\d+))?(?: (\S+))?")
_PRICE = re.compile(r"(\d+(?:\.\d+)?)(?: (\S+))?")
_DIGITS = 60
"""Digits of amounts: enough for every sum of tokens and prices that the settings allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """The prices of a crew: of a kickoff, and of 1,000 tokens; None: unknown."""

    currency: str = ""
    per_kickoff: Decimal | None = None
    per_1k_prompt_tokens: Decimal | None = None
    per_1k_completion_tokens: Decimal | None = None

    @classmethod
    def read(cls, kickoff: str | None, prompt: str | None = None, completion: str | None = None) -> Self | None:
        """Return the prices that the ledger has recorded as texts, `0.50 USD`; None if it has none."""
        found = [None if text is None else _PRICE.fullmatch(text) for text in (kickoff, prompt, completion)]
        currency = next((match[2] or "" for match in found if match), None)
        if currency is None:
            return None
        amounts = [Decimal(match[1]) if match else None for match in found]
        return cls(
            currency=currency,
            per_kickoff=amounts[0],
            per_1k_prompt_tokens=amounts[1],
            per_1k_completion_tokens=amounts[2],
        )

    def texts(self) -> tuple[str | None, str | None, str | None]:
        """Return the prices of a kickoff, of 1,000 prompt and of 1,000 completion tokens, as the ledger has them."""
        prices = (self.per_kickoff, self.per_1k_prompt_tokens, self.per_1k_completion_tokens)
        kickoff, prompt, completion = (
            None if price is None else f"{price:f} {self.currency}".rstrip() for price in prices
        )
        return kickoff, prompt, completion

    @property
    def has_token_prices(self) -> bool:
        """Whether a price of tokens is known."""
        return self.per_1k_prompt_tokens is not None or self.per_1k_completion_tokens is not None

    @property
    def has_one_token_price(self) -> bool:
        """Whether prompt and completion tokens have the same price, so that their total is sufficient."""
        return self.per_1k_prompt_tokens is not None and self.per_1k_prompt_tokens == self.per_1k_completion_tokens

    def of_kickoffs(self, number: int) -> Decimal:
        """Return what kickoffs cost without their tokens."""
        with localcontext(prec=_DIGITS):
            return (self.per_kickoff or Decimal(0)) * number

    def of_tokens(self, prompt: int | Decimal, completion: int | Decimal, unsplit: int | Decimal = 0) -> Decimal:
        """Return what tokens cost.

        Args:
            unsplit: tokens of which only the total is known; they have a cost only if both prices are equal.
        """
        with localcontext(prec=_DIGITS):
            of_prompt, of_completion = self.per_1k_prompt_tokens, self.per_1k_completion_tokens
            thousands = (of_prompt or Decimal(0)) * prompt + (of_completion or Decimal(0)) * completion
            if of_prompt is not None and self.has_one_token_price:
                thousands += of_prompt * unsplit
            return thousands / 1000


def cost_text(ranges: Mapping[str, tuple[Decimal, Decimal]]) -> str | None:
    """Return the amounts as text; None if there are none."""
    return " + ".join(_amounts(*amounts, currency) for currency, amounts in ranges.items()) or None


def amount_text(amount: Decimal, currency: str) -> str:
    """Return one amount as text: `12.50 USD`, `0.0042 USD`."""
    return _amounts(amount, amount, currency)


def cost_by_price(kickoffs: Mapping[str, tuple[int, int]]) -> str | None:
    """Return the cost of kickoffs; None if no price is known.

    Args:
        kickoffs: the least and the most number of kickoffs by the price of one, `0.50 USD`.
    """
    ranges: Ranges = {}
    for text, (least, most) in kickoffs.items():
        if match := _PRICE.fullmatch(text):
            amount = Decimal(match[1])
            add_amount(ranges, match[2] or "", amount * least, amount * most)
    return cost_text(ranges)


def read_cost(text: str) -> Ranges:
    """Return the amounts in the text of a cost; parts that cannot be parsed are omitted."""
    ranges: Ranges = {}
    for part in text.split(" + "):
        if match := _COST.fullmatch(part):
            add_amount(ranges, match[3] or "", Decimal(match[1]), Decimal(match[2] or match[1]))
    return ranges


def sum_of_costs(costs: Iterable[str]) -> str | None:
    """Return the sum of costs, by currency; None if there are none."""
    ranges: Ranges = {}
    for text in costs:
        for currency, amounts in read_cost(text).items():
            add_amount(ranges, currency, *amounts)
    return cost_text(ranges)


def add_amount(ranges: Ranges, currency: str, least: Decimal, most: Decimal) -> None:
    """Add an amount, or a range, to the sum of its currency."""
    with localcontext(prec=_DIGITS):
        low, high = ranges.get(currency, (Decimal(0), Decimal(0)))
        ranges[currency] = (low + least, high + most)


def _amounts(low: Decimal, high: Decimal, currency: str) -> str:
    digits = _places(low, high)
    least, most = f"{low:.{digits}f}", f"{high:.{digits}f}"
    return (least if least == most else f"{least} to {most}") + f" {currency}".rstrip()


def _places(low: Decimal, high: Decimal) -> int:
    """Return the decimal places to show: two, or up to four for amounts below 1 that need them."""
    if high >= 1:
        return 2
    for digits in (2, 3):
        if all(amount == round(amount, digits) for amount in (low, high)):
            return digits
    return 4

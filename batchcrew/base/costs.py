"""Costs as text: `12.50 USD`, the range `12.50 to 13.50 USD`, and several currencies, `12.50 USD + 3.00 EUR`.

It imports no settings, so that commands that only read the ledger start quickly.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TypeAlias

Ranges: TypeAlias = dict[str, tuple[Decimal, Decimal]]
"""Least and most amount by currency."""
_COST = re.compile(r"(\d+\.\d\d)(?: to (\d+\.\d\d))?(?: (\S+))?")
_PRICE = re.compile(r"(\d+(?:\.\d+)?)(?: (\S+))?")


def cost_text(ranges: Mapping[str, tuple[Decimal, Decimal]]) -> str | None:
    """Return the amounts as text; None if there are none."""
    return " + ".join(_amounts(*amounts, currency) for currency, amounts in ranges.items()) or None


def cost_by_price(kickoffs: Mapping[str, tuple[int, int]]) -> str | None:
    """Return the cost of kickoffs; None if no price is known.

    Args:
        kickoffs: the least and the most number of kickoffs by the price of one, `0.50 USD`.
    """
    ranges: Ranges = {}
    for text, (least, most) in kickoffs.items():
        if match := _PRICE.fullmatch(text):
            amount = Decimal(match[1])
            _add(ranges, match[2] or "", amount * least, amount * most)
    return cost_text(ranges)


def sum_of_costs(costs: Iterable[str]) -> str | None:
    """Return the sum of costs, by currency; None of nothing."""
    ranges: Ranges = {}
    for text in costs:
        for part in text.split(" + "):
            if match := _COST.fullmatch(part):
                _add(ranges, match[3] or "", Decimal(match[1]), Decimal(match[2] or match[1]))
    return cost_text(ranges)


def _add(ranges: Ranges, currency: str, least: Decimal, most: Decimal) -> None:
    low, high = ranges.get(currency, (Decimal(0), Decimal(0)))
    ranges[currency] = (low + least, high + most)


def _amounts(low: Decimal, high: Decimal, currency: str) -> str:
    return (f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}") + f" {currency}".rstrip()

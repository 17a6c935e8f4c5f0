"""What kickoffs cost."""

from collections.abc import Mapping
from decimal import Decimal

from batchcrew.config.values import Price


def cost(
    prices: Mapping[str, Price | None], kickoffs: Mapping[str, int], most: Mapping[str, int] | None = None
) -> str | None:
    """Return what the kickoffs of each crew cost, by currency; None where no price is known.

    Args:
        most: kickoffs by crew if more than `kickoffs` are possible; the cost is then a range, `25.00 to 75.00 USD`.
    """
    ranges: dict[str, tuple[Decimal, Decimal]] = {}
    for crew, price in prices.items():
        if price is not None:
            low, high = ranges.get(price.currency, (Decimal(0), Decimal(0)))
            number = kickoffs.get(crew, 0)
            upper = number if most is None else max(number, most.get(crew, 0))
            ranges[price.currency] = (low + price.amount * number, high + price.amount * upper)
    return " + ".join(_amounts(*amounts, currency) for currency, amounts in ranges.items()) or None


def _amounts(low: Decimal, high: Decimal, currency: str) -> str:
    return (f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}") + f" {currency}".rstrip()

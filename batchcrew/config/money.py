"""What kickoffs cost."""

from collections.abc import Mapping
from decimal import Decimal

from batchcrew.base.costs import Ranges, cost_text
from batchcrew.config.crews import CrewSettings
from batchcrew.config.values import Price


def cost(
    prices: Mapping[str, Price | None], kickoffs: Mapping[str, int], most: Mapping[str, int] | None = None
) -> str | None:
    """Return what the kickoffs of each crew cost, by currency; None where no price is known.

    Args:
        most: kickoffs by crew if more than `kickoffs` are possible; the cost is then a range, `25.00 to 75.00 USD`.
    """
    ranges: Ranges = {}
    for crew, price in prices.items():
        if price is not None:
            low, high = ranges.get(price.currency, (Decimal(0), Decimal(0)))
            number = kickoffs.get(crew, 0)
            upper = number if most is None else max(number, most.get(crew, 0))
            ranges[price.currency] = (low + price.amount * number, high + price.amount * upper)
    return cost_text(ranges)


def price_texts(crews: Mapping[str, CrewSettings]) -> dict[str, str]:
    """Return the price of one kickoff of each crew as text, `0.50 USD`; crews without a price are missing."""
    prices = ((name, crew.price_per_kickoff) for name, crew in crews.items())
    return {name: f"{price.amount:f} {price.currency}".rstrip() for name, price in prices if price is not None}

"""What kickoffs cost."""

from collections.abc import Mapping

from batchcrew.base.costs import PriceList, Ranges, add_amount, cost_text
from batchcrew.config.crews import CrewSettings


def cost(
    prices: Mapping[str, PriceList | None], kickoffs: Mapping[str, int], most: Mapping[str, int] | None = None
) -> str | None:
    """Return what the kickoffs of each crew cost without their tokens, by currency; None where no price is known.

    Args:
        most: kickoffs by crew if more than `kickoffs` are possible; the cost is then a range, `25.00 to 75.00 USD`.
    """
    ranges: Ranges = {}
    for crew, price in prices.items():
        if price is not None and price.per_kickoff is not None:
            number = kickoffs.get(crew, 0)
            upper = number if most is None else max(number, most.get(crew, 0))
            add_amount(ranges, price.currency, price.of_kickoffs(number), price.of_kickoffs(upper))
    return cost_text(ranges)


def price_lists(crews: Mapping[str, CrewSettings]) -> dict[str, PriceList]:
    """Return the prices of each crew; crews without a price are missing."""
    return {name: prices for name, crew in crews.items() if (prices := crew.price_list) is not None}


def price_text(prices: PriceList | None) -> str | None:
    """Return the price of one kickoff, and of tokens, as text; None if no price is known."""
    if prices is None:
        return None
    kickoff, prompt, completion = prices.texts()
    parts = [] if kickoff is None else [kickoff]
    parts += [f"{prompt} per 1,000 prompt tokens"] if prompt else []
    parts += [f"{completion} per 1,000 completion tokens"] if completion else []
    return ", ".join(parts)

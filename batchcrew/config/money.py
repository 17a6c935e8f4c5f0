"""Compute the cost of kickoffs from prices."""

from collections.abc import Mapping

from batchcrew.base.costs import PriceList, Ranges, add_amount, cost_text
from batchcrew.base.errors import UsageError
from batchcrew.config.crews import CrewSettings
from batchcrew.config.limits import MaxCost
from batchcrew.config.values import Price


def cost(
    prices: Mapping[str, PriceList | None], kickoffs: Mapping[str, int], most: Mapping[str, int] | None = None
) -> str | None:
    """Return the cost of the kickoffs of each crew without their tokens, by currency; None if no price is known.

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


def check_max_cost(most: MaxCost | None, crews: Mapping[str, CrewSettings]) -> None:
    """Check that `max_cost` can be kept: that crews have prices in its currency.

    Raises:
        UsageError: no crew has.
    """
    for name, limit in cost_limits(most).items():
        currencies = {prices.currency for prices in price_lists(crews).values()}
        if not currencies:
            raise UsageError("max_cost needs a price: set `price_per_kickoff` or `prices` of the crew")
        if limit.currency not in currencies and (limit.currency or len(currencies) > 1):
            known = ", ".join(sorted(currency or "none" for currency in currencies))
            given = limit.currency or "no currency"
            raise UsageError(
                f"invalid max_cost of the {name}: {given} (expected the currency of a crew's prices: {known})"
            )


def cost_limits(most: MaxCost | None) -> dict[str, Price]:
    """Return the limits of `max_cost` by their scope: `run`, `batch`, `month`."""
    found = {} if most is None else {"run": most.run, "batch": most.batch, "month": most.month}
    return {name: limit for name, limit in found.items() if limit is not None}

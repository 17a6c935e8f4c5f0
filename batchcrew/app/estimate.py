"""Estimate the kickoffs and the cost until every job of a batch has ended."""

from collections import Counter
from collections.abc import Mapping

from batchcrew.app.consent import attempts_of
from batchcrew.base.costs import PriceList
from batchcrew.config.money import cost
from batchcrew.config.settings import RunSettings
from batchcrew.ledger import ToStart


def estimate(
    starts: Mapping[str, ToStart],
    prices: Mapping[str, PriceList | None],
    settings: RunSettings,
    *,
    rerun: bool,
    kickoffs_used: int,
) -> tuple[tuple[int, int], str | None]:
    """Return the least and the most kickoffs that the batch still takes, and their cost as text.

    Args:
        starts: the jobs that a run would start, by crew.
        prices: of one kickoff, by crew.
        rerun: stale jobs run again, and so do jobs whose inputs changed while they are in progress.
        kickoffs_used: the kickoffs of the batch so far, which count against `max_kickoffs`.
    """
    return _limited(_kickoffs(starts, settings, rerun=rerun), prices, settings, kickoffs_used)


def _kickoffs(
    starts: Mapping[str, ToStart], settings: RunSettings, *, rerun: bool
) -> tuple[Counter[str], Counter[str]]:
    """Return the least and the most kickoffs of each crew until every job has ended; see `estimate`."""
    attempts = attempts_of(settings)
    least, most = Counter[str](), Counter[str]()
    for name, start in starts.items():
        least[name] = start.pending - start.missing + (start.outdated if rerun else 0)
        most[name] = -start.missing * attempts
        for (state, used), number in start.used.items():
            most[name] += number * max(1 if state == "pending" else 0, attempts - used)
        most[name] = max(least[name], most[name])
    return least, most


def _limited(
    kickoffs: tuple[Counter[str], Counter[str]],
    prices: Mapping[str, PriceList | None],
    settings: RunSettings,
    kickoffs_used: int,
) -> tuple[tuple[int, int], str | None]:
    """Return the kickoffs that `max_kickoffs` of the batch allows, and their cost."""
    least, most = kickoffs
    totals = least.total(), most.total()
    if settings.max_kickoffs is not None and settings.max_kickoffs.batch is not None:
        left = max(0, settings.max_kickoffs.batch - kickoffs_used)
        if totals[1] > left:
            totals = min(totals[0], left), left
            if len(prices) > 1 and left:  # it is not known which crews receive them
                return totals, None
            least, most = (Counter(dict.fromkeys(prices, number)) for number in totals)
    return totals, cost(prices, least, most)

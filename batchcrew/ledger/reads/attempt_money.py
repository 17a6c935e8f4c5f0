"""Tokens and money of single attempts and jobs. `money.py` adds up whole runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import aiosqlite

from batchcrew.base.costs import PriceList, Ranges, add_amount, cost_text
from batchcrew.ledger.fetch import rows
from batchcrew.ledger.json_text import encode_json
from batchcrew.model.attempt import AttemptState
from batchcrew.model.money import Tokens

_ATTEMPTS = """
SELECT a.job, a.id, a.state, a.prompt_tokens, a.completion_tokens,
       coalesce(a.total_tokens, a.prompt_tokens + a.completion_tokens), a.cached_tokens, a.successful_requests,
       c.price, c.prompt_price, c.completion_price
FROM json_each(:jobs) AS wanted CROSS JOIN attempts AS a ON a.job = wanted.value
CROSS JOIN jobs AS j ON j.id = a.job
LEFT JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)
ORDER BY a.job, a.number
"""
_UNKNOWN_COST = frozenset({AttemptState.INTENDED, AttemptState.IN_DOUBT})


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptMoney:
    """Tokens and cost of one attempt."""

    attempt_id: str
    tokens: Tokens
    cost: Decimal | None = None
    """None: no price is known, or it may not have been charged (in doubt)."""
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class JobMoney:
    """Tokens and cost of the attempts of one job."""

    attempts: tuple[AttemptMoney, ...] = ()

    @property
    def amounts(self) -> Mapping[str, Decimal]:
        """The known part of the cost, by currency."""
        ranges: Ranges = {}
        for attempt in self.attempts:
            if attempt.cost is not None:
                add_amount(ranges, attempt.currency or "", attempt.cost, attempt.cost)
        return {currency: least for currency, (least, _) in ranges.items()}

    @property
    def text(self) -> str | None:
        """The cost as text, `0.50 USD`; None if no price is known."""
        return cost_text({currency: (amount, amount) for currency, amount in self.amounts.items()})

    def columns(self) -> dict[str, Any]:
        """Return the fields of a `ResultRow` about tokens and money, in the names of the view `results`."""
        amounts = self.amounts
        return {
            **{name: _sum(getattr(attempt.tokens, field) for attempt in self.attempts) for name, field in FIELDS},
            "cost": next(iter(amounts.values())) if len(amounts) == 1 else None,
            "currency": ",".join(amounts) if amounts else None,
        }


FIELDS = (
    ("prompt_tokens", "prompt"),
    ("completion_tokens", "completion"),
    ("total_tokens", "total"),
    ("cached_tokens", "cached"),
    ("successful_requests", "successful_requests"),
)
"""The public names of the counts, and those of `Tokens`."""


async def money_of_jobs(connection: aiosqlite.Connection, job_keys: Sequence[int]) -> dict[int, JobMoney]:
    """Return tokens and cost of the attempts of these jobs; jobs without an attempt are missing."""
    found: dict[int, list[AttemptMoney]] = {}
    for job, *row in await rows(connection, _ATTEMPTS, {"jobs": encode_json(list(job_keys))}):
        found.setdefault(job, []).append(_attempt(row))
    return {job: JobMoney(tuple(attempts)) for job, attempts in found.items()}


def _attempt(row: Sequence[Any]) -> AttemptMoney:
    attempt_id, state, prompt, completion, total, cached, requests, *texts = row
    tokens = Tokens(prompt=prompt, completion=completion, total=total, cached=cached, successful_requests=requests)
    prices = _prices(*texts)
    cost = None if prices is None else cost_of(AttemptState(state), prices, tokens)
    currency = None if prices is None else prices.currency
    return AttemptMoney(attempt_id=attempt_id, tokens=tokens, cost=cost, currency=currency)


@lru_cache(maxsize=256)
def _prices(kickoff: str | None, prompt: str | None, completion: str | None) -> PriceList | None:
    """Return the prices of an attempt; many attempts have the same ones."""
    return PriceList.read(kickoff, prompt, completion)


def cost_of(state: AttemptState, prices: PriceList, tokens: Tokens) -> Decimal | None:
    """Return the known part of an attempt's cost: unknown tokens cost nothing."""
    if state in _UNKNOWN_COST:
        return None
    if state is AttemptState.REJECTED:
        return Decimal(0)
    of_tokens = tokens_cost(prices, tokens)
    if prices.per_kickoff is None:
        return of_tokens
    return prices.per_kickoff + (of_tokens or 0)


def tokens_cost(prices: PriceList, tokens: Tokens) -> Decimal | None:
    """Return the cost of an attempt's tokens; None if they have no price, or if the priced ones are not known."""
    unsplit = tokens.total if tokens.prompt is None and tokens.completion is None else None
    counted = (
        (prices.per_1k_prompt_tokens is not None and tokens.prompt is not None)
        or (prices.per_1k_completion_tokens is not None and tokens.completion is not None)
        or (unsplit is not None and prices.has_one_token_price)
    )
    return prices.of_tokens(tokens.prompt or 0, tokens.completion or 0, unsplit or 0) if counted else None


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None

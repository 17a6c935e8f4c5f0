"""What the kickoffs of a batch cost, by the prices that its runs recorded."""

from batchcrew.base.costs import cost_by_price
from batchcrew.model.attempt import AttemptState
from batchcrew.model.report import Money, Tokens
from batchcrew.model.report_facts import ReportFacts

_NOT_PAID = {AttemptState.REJECTED.value, AttemptState.INTENDED.value, "throttled"}
_NO_LOSS = {*_NOT_PAID, AttemptState.SUCCEEDED.value, AttemptState.KICKED_OFF.value}


def money_of(facts: ReportFacts) -> Money:
    """Return what was spent, wasted and saved; `spent` is what `status` says."""
    wasted: dict[str, tuple[int, int]] = {}
    wasted_kickoffs = unpriced = 0
    for count in facts.attempts:
        if count.state in _NOT_PAID:
            continue
        if count.price is None:
            unpriced += count.number
        if count.state in _NO_LOSS:
            continue
        wasted_kickoffs += count.number
        if count.price is not None:
            least, most = wasted.get(count.price, (0, 0))
            certain = count.number if count.state != AttemptState.IN_DOUBT else 0
            wasted[count.price] = least + certain, most + count.number
    saved: dict[str, tuple[int, int]] = {}
    for crew, answers in facts.reused.items():
        if price := facts.prices.get(crew):
            number = saved.get(price, (0, 0))[0] + answers
            saved[price] = number, number
    return Money(
        kickoffs=facts.totals.kickoffs,
        spent=facts.totals.cost,
        wasted_kickoffs=wasted_kickoffs,
        wasted=cost_by_price(wasted),
        reused_answers=sum(facts.reused.values()),
        saved=cost_by_price(saved),
        unpriced_kickoffs=unpriced,
    )


def tokens_of(facts: ReportFacts) -> Tokens:
    """Return the tokens that the crews reported."""
    others = [counts for state, counts in facts.tokens.items() if state != AttemptState.SUCCEEDED]
    return Tokens(
        total=facts.totals.tokens,
        wasted=sum(tokens for _, tokens in others) if any(number for number, _ in others) else None,
        attempts=sum(number for number, _ in facts.tokens.values()),
    )

"""Compute the cost of a batch's kickoffs, by the prices that its runs recorded."""

from batchcrew.model.attempt import AttemptState
from batchcrew.model.report import Money, Tokens
from batchcrew.model.report_facts import ReportFacts

_NOT_PAID = {AttemptState.REJECTED.value, AttemptState.INTENDED.value, "throttled"}


def money_of(facts: ReportFacts) -> Money:
    """Return the money that was spent, wasted and saved; `spent` is the amount that `status` shows."""
    unpriced = sum(one.number for one in facts.attempts if one.state not in _NOT_PAID and one.price is None)
    spending = facts.spending
    return Money(
        kickoffs=facts.totals.kickoffs,
        spent=spending.spent.text,
        wasted_kickoffs=spending.wasted.kickoffs,
        wasted=spending.wasted.text,
        reused_answers=spending.saved.kickoffs,
        saved=spending.saved.text,
        unpriced_kickoffs=unpriced,
    )


def tokens_of(facts: ReportFacts) -> Tokens:
    """Return the tokens that the crews reported."""
    others = [counts for state, counts in facts.tokens.items() if state != AttemptState.SUCCEEDED]
    return Tokens(
        total=facts.spending.tokens.total,
        wasted=sum(tokens for _, tokens in others) if any(number for number, _ in others) else None,
        attempts=sum(number for number, _ in facts.tokens.values()),
    )

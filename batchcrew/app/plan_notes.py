"""Sentences about a plan, to read before the run."""

from collections.abc import Iterable, Iterator

from batchcrew.app.staging import InputsAnswer
from batchcrew.base.costs import amount_text
from batchcrew.config.money import cost_limits
from batchcrew.config.settings import Delivery, RunSettings
from batchcrew.model.crew_answers import CrewInputs


def spending(kickoffs: tuple[int, int], money: str | None, *, with_tokens: bool = False) -> str:
    """Return the kickoffs that the batch still takes, and their cost.

    Args:
        with_tokens: tokens cost money as well; their number is not known yet.
    """
    least, most = kickoffs
    number = f"{least}" if least == most else f"{least} to {most} (with retries)"
    return f"kickoffs: {number}" + (f", {money}{' without tokens' if with_tokens else ''}" if money else "")


def next_run(to_kick_off: int, running: int, concurrency: int) -> str:
    """Return how many jobs a run would start, and how many executions it would resume."""
    jobs = "1 job" if to_kick_off == 1 else f"{to_kick_off} jobs"
    resumed = f" and resume {'1 execution' if running == 1 else f'{running} executions'}" if running else ""
    return f"a run would start {jobs}{resumed}, at most {concurrency} at a time"


def limits(settings: RunSettings, kickoffs_used: int, limit: int | None) -> Iterator[str]:
    """Yield the limits that can stop a run before its last job."""
    if limit is not None:
        kickoffs = "1 kickoff" if limit == 1 else f"{limit} kickoffs"
        yield f"at most {kickoffs} in this run (--limit)" if limit else "no kickoff (--watch-only)"
    if settings.adaptive:
        yield (
            "concurrency auto: 10 executions at first, then as many as the crew can run,"
            f" at most {settings.max_concurrency}"
        )
    elif settings.concurrency == RunSettings.model_fields["concurrency"].default:
        yield "concurrency 10 is the default; `concurrency: auto` finds out how many executions the crew can run"
    if settings.canary is not None:
        share = f"{float(settings.canary.succeed * 100):g}%"
        jobs = "1 job" if settings.canary.jobs == 1 else f"{settings.canary.jobs} jobs"
        yield f"canary: {jobs} first, of which {share} must succeed before the rest starts"
    most = settings.max_kickoffs
    if most is not None and most.run is not None:
        yield f"at most {most.run} kickoffs per run (max_kickoffs)"
    if most is not None and most.batch is not None:
        yield f"at most {most.batch} kickoffs in the batch (max_kickoffs), {kickoffs_used} used so far"
    for name, each in cost_limits(settings.max_cost).items():
        amount = amount_text(each.amount, each.currency)
        scope = {"run": "per run", "batch": "in the batch", "month": "in a calendar month, over all batches"}[name]
        yield f"at most {amount} {scope} (max_cost)"


def delivery_note(delivery: Delivery, answers: Iterable[InputsAnswer], retry: str) -> str:
    """Return the effect of `delivery` on a kickoff whose answer is lost."""
    known = list(answers)
    if known and all(isinstance(answer, CrewInputs) and answer.idempotent_kickoff for answer in known):
        return "a kickoff whose answer is lost is sent again with the same idempotency key, so nothing runs twice"
    if delivery == "at_most_once":
        return f"delivery at_most_once: a job whose kickoff's answer is lost is put on hold; retry it with `{retry}`"
    return "delivery at_least_once: a job whose kickoff's answer is lost is kicked off again, so it may run twice"

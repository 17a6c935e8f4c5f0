"""Tokens and money of a ledger: every way to read them gives the same sums as a model that is kept by hand."""

import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from manual_clock import ManualClock

from batchcrew.base.costs import PriceList
from batchcrew.ledger import BatchKey, Ledger
from batchcrew.model.attempt import AttemptState, Outcome
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.model.job import Job, JobState, Location
from batchcrew.model.money import tokens_of

PRICES = (
    PriceList(currency="USD", per_kickoff=Decimal("0.1")),
    PriceList(currency="USD", per_1k_prompt_tokens=Decimal("0.0025"), per_1k_completion_tokens=Decimal("0.01")),
    PriceList(currency="EUR", per_kickoff=Decimal("0.033"), per_1k_completion_tokens=Decimal("0.0000007")),
    PriceList(per_1k_prompt_tokens=Decimal("1.5"), per_1k_completion_tokens=Decimal("1.5")),
    None,
)
USAGES: tuple[dict[str, Any] | None, ...] = (
    {"prompt_tokens": 1234, "completion_tokens": 77, "total_tokens": 1311, "successful_requests": 3},
    {"prompt_tokens": 3, "completion_tokens": 4},
    {"total_tokens": 1000},
    {"prompt_tokens": -1, "completion_tokens": "9", "total_tokens": 1e308},
    {"prompt_tokens": {"a": 1}, "completion_tokens": [2], "total_tokens": None},
    {"prompt_tokens": 12.0, "completion_tokens": True, "cached_prompt_tokens": 5},
    {"prompt_tokens": 10**12, "completion_tokens": 10**12 + 1},
    {},
    None,
)
ENDS = {
    AttemptState.SUCCEEDED: JobState.SUCCEEDED,
    AttemptState.FAILED: JobState.PENDING,
    AttemptState.TIMED_OUT: JobState.FAILED,
    AttemptState.IN_DOUBT: JobState.PENDING,
    AttemptState.REJECTED: JobState.FAILED,
    AttemptState.LOST: JobState.HELD,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[Ledger]:
    async with Ledger(path, clock=ManualClock(), uptime=lambda: None) as opened:
        yield opened


def job(job_id: str, crew: str) -> Job:
    inputs = {"n": job_id}
    return Job(job_id=job_id, crew=crew, inputs=inputs, meta={}, row=inputs, where=Location("jobs.csv", 2))


def outcome(state: AttemptState, usage: dict[str, Any] | None) -> Outcome:
    execution = Execution(state=ExecutionState.FAILED, word="x", output="o", token_usage=usage)
    reason = None if state is AttemptState.SUCCEEDED else "no luck"
    return Outcome(attempt_state=state, job_state=ENDS[state], reason=reason, execution=execution)


def cost(prices: PriceList | None, state: AttemptState, usage: dict[str, Any] | None) -> Decimal | None:
    """What an attempt costs, written as the documentation says it."""
    if prices is None or state is AttemptState.IN_DOUBT:
        return None
    if state is AttemptState.REJECTED:
        return Decimal(0)
    given = usage or {}
    count = {name: given.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    known = {
        name: int(number)
        for name, number in count.items()
        if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= 10**12
    }
    parts = [] if prices.per_kickoff is None else [prices.per_kickoff]
    if prices.per_1k_prompt_tokens is not None and "prompt_tokens" in known:
        parts.append(prices.per_1k_prompt_tokens * known["prompt_tokens"] / 1000)
    if prices.per_1k_completion_tokens is not None and "completion_tokens" in known:
        parts.append(prices.per_1k_completion_tokens * known["completion_tokens"] / 1000)
    alike = prices.per_1k_prompt_tokens is not None and prices.per_1k_prompt_tokens == prices.per_1k_completion_tokens
    if alike and known.keys() == {"total_tokens"} and prices.per_1k_prompt_tokens is not None:
        parts.append(prices.per_1k_prompt_tokens * known["total_tokens"] / 1000)
    return sum(parts, Decimal(0)) if parts else None


async def batch(ledger: Ledger, rng: random.Random) -> tuple[BatchKey, list[tuple[str, str, str, Decimal | None]]]:
    """Make a batch of some runs at random prices. Return (run, job, currency, cost) of each attempt."""
    jobs = [job(f"j{n}", rng.choice("ab")) for n in range(12)]
    await ledger.stage("b", jobs)
    key = await ledger.ingest("b", jobfile="jobs.yaml", digest=None, columns=("n",))
    attempts = []
    for _ in range(3):
        chosen = {crew: rng.choice(PRICES) for crew in "ab"}
        prices = {crew: its for crew, its in chosen.items() if its is not None}
        urls = {crew: f"http://{crew}" for crew in "ab"}
        run_id = await ledger.open_run(key.id, pid=1, host="h", version="v", urls=urls, prices=prices)
        for crew in "ab":
            for attempt in (await ledger.claim(key, run_id, crew=crew, limit=rng.randint(1, 6))).attempts:
                state, usage = rng.choice(list(ENDS)), rng.choice(USAGES)
                if state is not AttemptState.REJECTED:
                    await ledger.kicked_off(attempt, f"k-{attempt.attempt_id}")
                await ledger.ended(attempt, outcome(state, usage))
                its = prices.get(crew)
                found = cost(its, state, usage)
                attempts.append((run_id, attempt.job_id, "" if its is None else its.currency, found))
        if rng.random() < 0.7:
            await ledger.close_run(run_id, kickoffs=1, stopped=None, exit_code=0)
    return key, attempts


def sums(attempts: list[tuple[str, Decimal | None]]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for currency, amount in attempts:
        if amount is not None:
            found[currency] = found.get(currency, Decimal(0)) + amount
    return {currency: amount for currency, amount in found.items() if amount}


def least(amounts: Any) -> dict[str, Decimal]:
    return {currency: amount[0] for currency, amount in amounts.items() if amount[0]}


def exact(costs: Any) -> dict[str, Decimal]:
    return {each["currency"]: Decimal(each["least"]) for each in costs if Decimal(each["least"])}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.crash) for seed in range(1, 25))])
async def test_every_way_to_read_money_gives_the_same_exact_sums(ledger: Ledger, path: Path, seed: int) -> None:
    key, attempts = await batch(ledger, random.Random(seed))
    every = sums([each[2:] for each in attempts])
    assert least((await ledger.spending(key)).spent.amounts) == every
    assert exact((await ledger.status(key)).line.totals.costs) == every
    assert least((await ledger.months())[0].spending.spent.amounts) == every
    for line in await ledger.runs(key, 10):
        assert exact(line.costs) == sums([each[2:] for each in attempts if each[0] == line.run_id])
        assert least((await ledger.run_spending(line.run_id)).spent.amounts) == exact(line.costs)
    by_job: Counter[str] = Counter()
    async for row in ledger.results(key):
        its = sums([each[2:] for each in attempts if each[1] == row.job_id])
        detail = await ledger.job(key, row.job_id)
        assert sums([(each.currency or "", each.cost) for each in detail.attempts]) == its
        if len(its) == 1 and row.cost is not None:
            assert {row.currency: row.cost} == its
        by_job[row.job_id] += 1
    with closing(sqlite3.connect(path)) as connection:
        for view in ("attempt_history", "spending"):
            found = connection.execute(
                f"SELECT currency, sum(cost) FROM {view} WHERE cost > 0 GROUP BY 1"  # noqa: S608 - a name from above
            ).fetchall()
            assert dict(found) == {currency: pytest.approx(float(amount)) for currency, amount in every.items()}


async def test_the_ledger_and_the_engine_count_the_same_tokens(ledger: Ledger, path: Path) -> None:
    await ledger.stage("b", [job(f"j{n}", "a") for n in range(len(USAGES))])
    key = await ledger.ingest("b", jobfile="jobs.yaml", digest=None, columns=("n",))
    run_id = await ledger.open_run(key.id, pid=1, host="h", version="v", urls={"a": "http://a"})
    for attempt, usage in zip((await ledger.claim(key, run_id, crew="a", limit=99)).attempts, USAGES, strict=True):
        await ledger.kicked_off(attempt, f"k-{attempt.job_id}")
        await ledger.ended(attempt, outcome(AttemptState.SUCCEEDED, usage))
    counted = [tokens_of(usage) for usage in USAGES]
    expected = [(each.prompt, each.completion, each.total, each.cached, each.successful_requests) for each in counted]
    assert expected[3:5] == [(None,) * 5] * 2  # no value of these is a count
    columns = "prompt_tokens, completion_tokens, total_tokens, cached_tokens, successful_requests"
    with closing(sqlite3.connect(path)) as connection:
        for view in ("results", "attempt_history"):
            found = connection.execute(f"SELECT {columns} FROM {view} ORDER BY job_id").fetchall()  # noqa: S608 - above
            assert found == expected
    rows = [row async for row in ledger.results(key)]
    used = [(row.prompt_tokens, row.completion_tokens, row.total_tokens, row.cached_tokens) for row in rows]
    assert used == [each[:4] for each in expected]


async def test_what_failed_is_wasted_and_an_answer_that_is_taken_over_is_saved(ledger: Ledger, path: Path) -> None:
    await ledger.stage("b", [job("a", "a"), job("b", "a")])
    key = await ledger.ingest("b", jobfile="jobs.yaml", digest=None, columns=("n",))
    prices = {"a": PriceList(currency="USD", per_kickoff=Decimal("0.5"), per_1k_prompt_tokens=Decimal(1))}
    run_id = await ledger.open_run(key.id, pid=1, host="h", version="v", urls={"a": "http://a"}, prices=prices)
    for attempt in (await ledger.claim(key, run_id, crew="a", limit=2)).attempts:
        await ledger.kicked_off(attempt, f"k-{attempt.job_id}")
        state = AttemptState.SUCCEEDED if attempt.job_id == "a" else AttemptState.TIMED_OUT
        await ledger.ended(attempt, outcome(state, {"prompt_tokens": 100 if attempt.job_id == "a" else 300}))
    async with Ledger(path, clock=ManualClock(), uptime=lambda: None) as other:  # another id for the same inputs
        renamed = Job(job_id="c", crew="a", inputs={"n": "a"}, meta={}, row={}, where=Location("jobs.csv", 2))
        await other.stage("b", [renamed, job("b", "a")])
        await other.ingest("b", jobfile="jobs.yaml", digest=None, columns=("n",))
    found = await ledger.spending(key)
    assert (found.spent.text, found.wasted.text, found.saved.text) == ("1.40 USD", "0.80 USD", "0.60 USD")
    assert found.tokens.prompt == 400

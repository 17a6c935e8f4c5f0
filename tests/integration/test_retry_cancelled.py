"""Retries that are cancelled, for everything that may happen to a job before; and groups and totals of the ledger."""

import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from manual_clock import ManualClock

from batchcrew.base.costs import PriceList
from batchcrew.base.errors import NotInLedger, UsageError
from batchcrew.base.reasons import reason_fingerprint
from batchcrew.ledger import SHOWN_GROUPS, BatchKey, Ledger, Rechecked, RetrySelection
from batchcrew.ledger.attaching import Attachment, attach
from batchcrew.ledger.spill import SpilledKickoff
from batchcrew.ledger.transitions import recover
from batchcrew.model.attempt import Attempt, AttemptState, Outcome
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.model.job import ENDED_JOB_STATES, Job, JobState, Location

WHY = "no\0luck: row 7\nof 50"
DONE = Outcome(
    attempt_state=AttemptState.SUCCEEDED,
    job_state=JobState.SUCCEEDED,
    execution=Execution(
        state=ExecutionState.SUCCEEDED, word="completed", output="an answer", token_usage={"total_tokens": 300}
    ),
)
LOST = Outcome(attempt_state=AttemptState.LOST, job_state=JobState.HELD, reason="the crew lost it")
TIMED_OUT = Outcome(attempt_state=AttemptState.TIMED_OUT, job_state=JobState.FAILED, reason="timed out")


def failed(reason: str | None = WHY) -> Outcome:
    return Outcome(attempt_state=AttemptState.FAILED, job_state=JobState.FAILED, reason=reason)


def job(job_id: str, **inputs: Any) -> Job:
    inputs = inputs or {"n": job_id}
    return Job(job_id=job_id, crew="default", inputs=inputs, meta={}, row=inputs, where=Location("jobs.csv", 2))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
async def ledger(path: Path, clock: ManualClock) -> AsyncIterator[Ledger]:
    async with Ledger(path, clock=clock, uptime=lambda: None) as opened:
        yield opened


async def taken_in(ledger: Ledger, *jobs: Job) -> BatchKey:
    await ledger.stage("b", jobs)
    return await ledger.ingest("b", jobfile="jobs.yaml", digest=None, columns=("n",))


async def again(path: Path, clock: ManualClock, *jobs: Job) -> None:
    """Another process ingests the file again."""
    async with Ledger(path, clock=clock, uptime=lambda: None) as other:
        await taken_in(other, *jobs)


async def started(ledger: Ledger, key: BatchKey, price: str | None = "0.50 USD") -> list[Attempt]:
    prices = {} if (found := PriceList.read(price)) is None else {"default": found}
    run_id = await ledger.open_run(key.id, pid=1, host="h", version="v", urls={"default": "http://crew"}, prices=prices)
    attempts = (await ledger.claim(key, run_id, crew="default", limit=1000)).attempts
    for attempt in attempts:
        await ledger.kicked_off(attempt, f"k-{attempt.attempt_id}")
    return attempts


async def ended(ledger: Ledger, key: BatchKey, outcomes: Iterable[Outcome]) -> list[Attempt]:
    attempts = await started(ledger, key)
    for attempt, outcome in zip(attempts, outcomes, strict=True):
        await ledger.ended(attempt, outcome)
    return attempts


def jobs_of(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(
            "SELECT job_id, state, reason, reason_fingerprint, charged, attempts, updated_at, before_retry FROM jobs"
        ).fetchall()


EVERY_STATE = RetrySelection(states=tuple(sorted(ENDED_JOB_STATES)))


async def test_every_ended_job_gets_its_former_state_reason_and_attempts_back(
    ledger: Ledger, path: Path, clock: ManualClock
) -> None:
    key = await taken_in(ledger, *(job(name) for name in "abcd"))
    await ended(ledger, key, [failed(), LOST, DONE, failed(None)])
    before = jobs_of(path)
    clock.advance(60)
    assert await ledger.retry_selected(key, EVERY_STATE) == 4
    assert {row[1:5] for row in jobs_of(path)} == {("pending", None, None, 0)}
    assert await ledger.cancel_retry(key, ["b", "c"]) == 2
    assert (await ledger.counts(key)).pending == 2
    assert await ledger.cancel_retry(key) == 2
    assert jobs_of(path) == before
    assert await ledger.cancel_retry(key) == 0
    with pytest.raises(NotInLedger):
        await ledger.cancel_retry(key, ["nobody"])


async def test_a_job_that_was_kicked_off_keeps_what_became_of_it(ledger: Ledger, path: Path) -> None:
    key = await taken_in(ledger, job("a"), job("b"))
    await ended(ledger, key, [failed(), failed()])
    await ledger.retry(key, states=[JobState.FAILED], job_ids=["a"])
    (attempt,) = await started(ledger, key)
    assert await ledger.cancel_retry(key) == 0
    await ledger.ended(attempt, Outcome(attempt_state=AttemptState.REJECTED, job_state=JobState.PENDING, reason="429"))
    assert await ledger.cancel_retry(key) == 0
    assert [row[1] for row in jobs_of(path)] == ["pending", "failed"]


async def test_jobs_that_changed_in_the_file_stay_pending(ledger: Ledger, path: Path, clock: ManualClock) -> None:
    key = await taken_in(ledger, job("same"), job("edited"), job("gone"), job("back"))
    await ended(ledger, key, [failed()] * 4)
    await ledger.retry(key, states=[JobState.FAILED])
    await again(path, clock, job("same"), job("edited", n="other"))
    await again(path, clock, job("same"), job("edited", n="other"), job("back"))
    assert await ledger.cancel_retry(key) == 3
    assert {row[0]: row[1] for row in jobs_of(path)} == {
        "same": "failed",
        "edited": "pending",
        "gone": "failed",
        "back": "failed",
    }


async def test_a_job_whose_answer_went_to_another_one_does_not_succeed_again(
    ledger: Ledger, path: Path, clock: ManualClock
) -> None:
    key = await taken_in(ledger, job("a", n="1"))
    await ended(ledger, key, [DONE])
    await again(path, clock, job("a", n="2"))  # stale: its answer was made from other inputs
    assert await ledger.retry(key, states=[JobState.STALE]) == 1
    await again(path, clock, job("a", n="2"), job("b", n="1"))  # and these inputs are another job's now
    assert {row[0]: row[1] for row in jobs_of(path)} == {"a": "pending", "b": "succeeded"}
    assert await ledger.cancel_retry(key) == 0


async def test_a_stale_job_that_was_to_run_again_is_stale_again(ledger: Ledger, path: Path, clock: ManualClock) -> None:
    key = await taken_in(ledger, job("a", n="1"))
    await ended(ledger, key, [DONE])
    await again(path, clock, job("a", n="2"))
    await ledger.rerun_stale(key)
    assert await ledger.cancel_retry(key) == 1
    assert await ledger.keep(key) == 1


async def test_an_attached_job_is_watched(ledger: Ledger, path: Path) -> None:
    key = await taken_in(ledger, job("a"))
    await ended(ledger, key, [failed()])
    await ledger.retry(key, states=[JobState.FAILED])
    run_id = await ledger.open_run(key.id, pid=1, host="h", version="v", kind="attach")
    found = Attachment(run_id=run_id, job_id="a", kickoff_id="found", attempt_id="x-000001")
    await ledger._writing.call(lambda connection: attach(connection, key.id, found, "2026-01-01T00:00:00.000Z"))
    assert await ledger.cancel_retry(key) == 0
    assert jobs_of(path)[0][1] == "open"


async def test_a_kickoff_id_from_the_spill_file_ends_the_way_back(ledger: Ledger, path: Path) -> None:
    key = await taken_in(ledger, job("a"))
    run_id = await ledger.open_run(key.id, pid=1, host="h", version="v")
    (attempt,) = (await ledger.claim(key, run_id, crew="default", limit=1)).attempts
    doubt = Outcome(attempt_state=AttemptState.IN_DOUBT, job_state=JobState.HELD, reason="no answer")
    await ledger.ended(attempt, doubt)
    await ledger.retry(key, states=[JobState.HELD])
    spilled = SpilledKickoff(attempt=attempt.attempt_id, kickoff_id="k", at="2026-01-01T00:00:00.000Z")
    assert await ledger._writing.call(lambda connection: recover(connection, spilled))
    assert await ledger.cancel_retry(key) == 0
    assert jobs_of(path)[0][1] == "open"


async def test_a_job_without_its_required_inputs_fails_for_that_reason(ledger: Ledger, path: Path) -> None:
    key = await taken_in(ledger, job("a"))
    await ended(ledger, key, [failed()])
    await ledger.retry(key, states=[JobState.FAILED])
    assert await ledger.fail_without_inputs(key, "default", ["budget"], lambda missing, _: f"missing {missing}") == 1
    assert await ledger.cancel_retry(key) == 0
    assert jobs_of(path)[0][2] == "missing ['budget']"


@pytest.mark.parametrize(
    ("state", "now", "undone"),
    [(ExecutionState.SUCCEEDED, "succeeded", 0), (ExecutionState.FAILED, "pending", 1)],
)
async def test_what_a_recheck_finds_is_not_undone(
    ledger: Ledger, path: Path, state: ExecutionState, now: str, undone: int
) -> None:
    key = await taken_in(ledger, job("a"))
    await ended(ledger, key, [TIMED_OUT])
    await ledger.retry(key, states=[JobState.FAILED])
    (unsure,) = [attempt async for attempt in ledger.unsure(key)]
    await ledger.recheck(Rechecked(unsure, Execution(state=state, word="x", output="o", error="crashed")))
    assert jobs_of(path)[0][1] == now
    assert await ledger.cancel_retry(key) == undone
    if undone:
        assert jobs_of(path)[0][1:4] == ("failed", "crashed", reason_fingerprint("crashed"))


async def test_more_jobs_than_were_agreed_to_are_not_reset(ledger: Ledger) -> None:
    key = await taken_in(ledger, job("a"), job("b"))
    await ended(ledger, key, [failed(), failed()])
    with pytest.raises(UsageError):
        await ledger.retry_selected(key, RetrySelection(states=(JobState.FAILED,)), most=1)
    assert (await ledger.counts(key)).failed == 2


async def test_groups_are_bounded_and_have_their_kinds_and_money(ledger: Ledger) -> None:
    key = await taken_in(ledger, *(job(f"j{number}") for number in range(9)))
    alike = [failed(f"row {number} of 50") for number in range(4)]
    await ended(ledger, key, [*alike, TIMED_OUT, LOST, failed(None), failed("other"), DONE])
    await ledger.retry(key, states=[JobState.FAILED], job_ids=["j0"])
    doubt = Outcome(attempt_state=AttemptState.IN_DOUBT, job_state=JobState.FAILED, reason="row 3 of 50")
    await ended(ledger, key, [doubt])
    found = await ledger.failure_groups(key, 2)
    assert [(group.jobs, group.held, group.example_job) for group in found.groups] == [(4, 0, "j0"), (1, 0, "j4")]
    assert (found.number, found.jobs, found.more_groups, found.more_jobs) == (5, 8, 3, 3)
    largest = found.groups[0]
    assert (largest.least_attempts, largest.most_attempts, largest.retried) == (1, 2, 1)
    detail = await ledger.group_detail(key, largest)
    assert (detail.kinds, detail.kickoffs, detail.cost) == (
        {"failed": 3, "in_doubt": 1},
        5,
        "2.00 to 2.50 USD",
    )
    assert len((await ledger.status(key)).failures.groups) == SHOWN_GROUPS
    assert await ledger.fingerprints(key, largest.fingerprint or "") == (largest.fingerprint,)
    assert len(await ledger.fingerprints(key, "")) == 4


async def test_jobs_without_an_attempt_and_refused_kickoffs_cost_nothing(ledger: Ledger) -> None:
    key = await taken_in(ledger, job("a"), job("b"))
    refused = Outcome(attempt_state=AttemptState.REJECTED, job_state=JobState.FAILED, reason="422", uses_attempt=True)
    await ended(ledger, key, [refused, failed()])
    await ledger.retry(key, states=[JobState.FAILED], job_ids=["b"])
    await again(Path(ledger.path), ManualClock(), job("a"), job("b"), job("c"))
    await ledger.fail_without_inputs(key, "default", ["budget"], lambda *_: "missing")
    groups = (await ledger.failure_groups(key, 10)).groups
    details = {group.example_job: await ledger.group_detail(key, group) for group in groups}
    assert (details["a"].kinds, details["a"].kickoffs, details["a"].cost) == ({"rejected": 1}, 0, None)
    assert details["b"].kinds == {"failed": 1, "not_kicked_off": 1}


async def test_totals_of_ended_killed_and_running_runs(ledger: Ledger, clock: ManualClock) -> None:
    key = await taken_in(ledger, *(job(f"j{number}") for number in range(5)))
    first = await started(ledger, key)
    clock.advance(60)
    for attempt in first[:3]:
        await ledger.ended(attempt, DONE)
    run_id = first[0].attempt_id.rpartition("-")[0]
    await ledger.close_run(run_id, kickoffs=5, stopped="signal", exit_code=3, cost="2.50 USD")
    await ledger.ended(first[3], failed())
    doubt = Outcome(attempt_state=AttemptState.IN_DOUBT, job_state=JobState.FAILED, reason="no answer")
    await ledger.ended(first[4], doubt)
    await ledger.retry(key, states=[JobState.FAILED])
    second = await started(ledger, key)  # a run that is killed
    await ledger.ended(second[0], doubt)
    totals = (await ledger.status(key)).line.totals
    assert (totals.runs, totals.kickoffs, totals.cost) == (2, 7, "2.50 to 3.50 USD")
    assert (totals.tokens, totals.seconds, totals.kickoffs_per_minute) == (900, 60.0, 5.0)
    assert totals.last_exit_code is None
    assert [line.totals for line in await ledger.batches()] == [totals]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"total_tokens": 7.0}, 7),
        ({"total_tokens": "7"}, None),
        ({"total_tokens": -1}, None),
        ({"total_tokens": 2**80}, None),
        ({"total_tokens": {"a": [1]}}, None),
        ({"total_tokens": None}, None),
        ({"other": 1}, None),
    ],
)
async def test_whatever_a_crew_reports_as_tokens_is_recorded(
    ledger: Ledger, usage: dict[str, Any], tokens: int | None
) -> None:
    key = await taken_in(ledger, job("a"))
    execution = Execution(state=ExecutionState.SUCCEEDED, word="x", output="o", token_usage=usage)
    await ended(
        ledger, key, [Outcome(attempt_state=AttemptState.SUCCEEDED, job_state=JobState.SUCCEEDED, execution=execution)]
    )
    assert (await ledger.status(key)).line.totals.tokens == tokens

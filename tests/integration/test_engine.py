"""Whole batches: the real engine, ledger and client against the real embedded server, with faults scripted."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from engine_bench import Bench, Faults, RateClock, bench, jobs, serving
from manual_clock import ManualClock
from pydantic import SecretStr

from batchcrew.base.clock import SystemClock
from batchcrew.config.crews import RemoteCrew
from batchcrew.config.limits import FailureLimit
from batchcrew.config.settings import PollSettings, RetrySettings
from batchcrew.config.values import Rate
from batchcrew.crew import CrewClient
from batchcrew.engine import Stop
from batchcrew.ledger import Ledger
from batchcrew.model.events import AttemptEnded, KickedOff, Progressed, Stopping, Warned
from batchcrew.model.job import JobState
from batchcrew.model.run import StopReason
from batchcrew.server import CrewServer, Spread


async def attempts_of(made: Bench, job_id: str) -> list[str]:
    return [attempt.state.value for attempt in (await made.job(job_id)).attempts]


@pytest.mark.parametrize("dialect", ["guide", "live", "legacy"])
async def test_a_batch_ends_in_every_dialect_and_never_passes_its_concurrency(tmp_path: Path, dialect: Any) -> None:
    async with CrewServer(serving(dialect=dialect)) as server:
        made = bench(tmp_path, server, concurrency=4)
        await made.take_in(jobs(30))
        result = await made.run()
        assert result.kickoffs == 30
        assert server.stats["peak_running"] <= 4
        assert server.stats["max_kickoffs_per_job"] == 1
    counts = await made.counts()
    assert (counts.succeeded, counts.total) == (30, 30)
    rows = await made.rows()
    assert all(row.output and "demo crew" in row.output for row in rows)
    assert all(row.kicked_off_at and row.ended_at and row.execution_time is not None for row in rows)


@pytest.mark.parametrize("dialect", ["guide", "live", "legacy"])
async def test_with_everything_going_wrong_every_job_still_ends(tmp_path: Path, dialect: Any) -> None:
    options = serving(dialect=dialect, fail_rate=0.2, http_error_rate=0.1, drop_rate=0.05, max_running=5)
    async with CrewServer(options) as server:
        made = bench(tmp_path, server, concurrency=8)
        made.clock = RateClock(20)
        await made.take_in(jobs(60))
        await made.run()
    counts = await made.counts()
    assert counts.left == 0
    assert counts.succeeded > 40
    assert counts.possible_duplicates == 0  # the embedded server honours Idempotency-Key


async def test_concurrency_is_used_up(tmp_path: Path) -> None:
    clock = ManualClock()
    async with CrewServer(serving(execution_time=Spread(10)), now=clock.epoch) as server, asyncio.TaskGroup() as group:
        made = bench(tmp_path, server, concurrency=6)
        await made.take_in(jobs(12))
        group.create_task(made.run())
        for kickoffs in (6, 12):
            await made.until(lambda: len(made.of(KickedOff)) == kickoffs)  # noqa: B023 - it is awaited at once
            assert server.stats["running"] == 6
            clock.advance(10)


async def test_a_crew_has_its_own_slots(tmp_path: Path) -> None:
    clock = ManualClock()
    slow = serving(execution_time=Spread(10))
    async with CrewServer(slow, now=clock.epoch) as one, CrewServer(serving()) as two, asyncio.TaskGroup() as group:
        made = bench(tmp_path, one, concurrency=5)
        made.crews = {
            "a": RemoteCrew(url="http://unused", token=SecretStr(one.token), concurrency=2),
            "b": RemoteCrew(url="http://unused", token=SecretStr(two.token)),
        }
        made.urls = {"b": two.url}
        await made.take_in([*jobs(8, crew="a", prefix="a"), *jobs(8, crew="b", prefix="b")])
        group.create_task(made.run())
        await made.until(lambda: two.stats["kickoffs"] == 8)  # the other crew's slots do not wait for this crew
        for kickoffs in (2, 4, 6, 8):
            await made.until(lambda: one.stats["kickoffs"] == kickoffs)  # noqa: B023 - it is awaited at once
            assert one.stats["running"] == 2
            clock.advance(10)
    assert (await made.counts()).succeeded == 16


async def test_kickoffs_keep_to_the_batchs_rate_and_to_the_crews(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        for number, (run, crew) in enumerate([("10/s", None), (None, "10/s")]):
            made = bench(tmp_path / str(number), server, **({"rate": run} if run else {}))
            token = server.token
            made.crews = {"default": RemoteCrew.model_validate({"url": "http://unused", "token": token, "rate": crew})}
            await made.take_in(jobs(6))
            began = made.clock.monotonic()
            await made.run()
            assert made.clock.monotonic() - began >= 0.5 - 0.05
    assert Rate(count=10, period_seconds=1).interval_seconds == 0.1


async def test_a_failed_execution_is_retried_as_often_as_configured(tmp_path: Path) -> None:
    async with CrewServer(serving(fail_rate=1.0)) as server:
        made = bench(tmp_path, server, retry=RetrySettings(attempts=3, backoff=0.01, max=0.01))
        await made.take_in(jobs(2))
        result = await made.run()
        assert (result.kickoffs, server.stats["max_kickoffs_per_job"]) == (6, 3)
    assert await attempts_of(made, "job-0") == ["failed", "failed", "failed"]
    assert all(row.state is JobState.FAILED and "rehearsed failure" in (row.reason or "") for row in await made.rows())


async def test_failures_that_retry_does_not_list_are_not_retried(tmp_path: Path) -> None:
    async with CrewServer(serving(fail_rate=1.0)) as server:
        made = bench(tmp_path, server, retry=RetrySettings(on=("lost",)))
        await made.take_in(jobs(1))
        assert (await made.run()).kickoffs == 1


async def test_a_kickoff_in_doubt_is_sent_again_under_its_key(tmp_path: Path) -> None:
    faults = Faults(kickoff=["drop_after_accept", 500, "error_after_accept", "drop_before_accept"])
    async with CrewServer(serving(), faults=faults) as server:
        made = bench(tmp_path, server, delivery="at_most_once")
        await made.take_in(jobs(4))
        await made.run()
        assert server.stats["kickoffs"] == 4
        assert server.stats["max_kickoffs_per_job"] == 1
    assert (await made.counts()).succeeded == 4
    assert await attempts_of(made, "job-0") == ["succeeded"]


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
@pytest.mark.parametrize("later", [429, 503, "drop_before_accept", 500])
async def test_a_refusal_of_a_key_that_was_sent_before_ends_no_attempt(
    tmp_path: Path, later: Any, delivery: Any
) -> None:
    """The crew already runs an execution under this key: a new attempt would be paid for in addition."""
    async with CrewServer(serving(), faults=Faults(kickoff=["drop_after_accept", later, later])) as server:
        made = bench(tmp_path, server, delivery=delivery)
        made.clock = RateClock(20)
        await made.take_in(jobs(1))
        await made.run()
        assert server.stats["kickoffs"] == 1
    assert await attempts_of(made, "job-0") == ["succeeded"]


async def test_a_401_for_a_key_that_was_sent_before_leaves_it_for_the_next_run(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(kickoff=["drop_after_accept", 401])) as server:
        made = bench(tmp_path, server)
        made.clock = RateClock(20)
        await made.take_in(jobs(1))
        await made.run()
        assert made.stop.reason is StopReason.CREW_UNUSABLE
        assert await attempts_of(made, "job-0") == ["intended"]
        made.stop = Stop()
        await made.run()
        assert server.stats["kickoffs"] == 1
    assert await attempts_of(made, "job-0") == ["succeeded"]


async def test_in_doubt_at_least_once_kicks_off_again_and_counts_it(tmp_path: Path) -> None:
    faults = Faults(kickoff=["drop_after_accept"])
    async with CrewServer(serving(idempotency=False), faults=faults) as server:
        made = bench(tmp_path, server, delivery="at_least_once")
        await made.take_in(jobs(1))
        await made.run()
        assert server.stats["kickoffs"] == 2
    counts = await made.counts()
    assert (counts.succeeded, counts.possible_duplicates) == (1, 1)
    assert await attempts_of(made, "job-0") == ["in_doubt", "succeeded"]


async def test_in_doubt_at_most_once_is_held(tmp_path: Path) -> None:
    faults = Faults(kickoff=["drop_after_accept"])
    async with CrewServer(serving(idempotency=False), faults=faults) as server:
        made = bench(tmp_path, server, delivery="at_most_once", concurrency=1)
        await made.take_in(jobs(2))
        await made.run()
        assert server.stats["kickoffs"] == 2
    counts = await made.counts()
    assert (counts.held, counts.succeeded, counts.possible_duplicates) == (1, 1, 0)


async def test_a_429_uses_up_no_attempt(tmp_path: Path) -> None:
    clock, step = ManualClock(), 0.0

    def now() -> float:
        clock.advance(step)
        return clock.epoch()

    options = serving(max_running=1, execution_time=Spread(10))
    async with CrewServer(options, now=now) as server, asyncio.TaskGroup() as group:
        made = bench(tmp_path, server, concurrency=4, retry=RetrySettings(attempts=1))
        made.clock = RateClock(20)
        await made.take_in(jobs(6))
        group.create_task(made.run())
        await made.until(lambda: server.stats["refused"] > 0)
        step = 1.0  # now the one that runs ends, and so do the others
    assert (await made.counts()).succeeded == 6
    assert any("is busy (" in event.message for event in made.of(Warned))


async def test_wrong_inputs_fail_the_job_with_the_servers_words(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server)
        wrong, right = jobs(2)
        del wrong.inputs["age"]
        await made.take_in([wrong, right])
        await made.run()
        assert server.stats["kickoffs"] == 1
    rows = await made.rows()
    assert [row.state for row in rows] == [JobState.FAILED, JobState.SUCCEEDED]
    assert "age" in (rows[0].reason or "")
    assert rows[0].attempts_used == 0


async def test_a_wrong_token_stops_the_run_and_fails_no_job(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server)
        made.crews = {"default": RemoteCrew(url="http://unused", token=SecretStr("wrong"))}
        await made.take_in(jobs(3))
        await made.run()
        assert server.stats["kickoffs"] == 0
    assert made.stop.reason is StopReason.CREW_UNUSABLE
    assert "401" in made.stop.detail
    assert (await made.counts()).pending == 3


@pytest.mark.parametrize("code", [401, 403, 404, 405])
async def test_a_crew_that_turns_unusable_at_kickoff_stops_the_run(tmp_path: Path, code: int) -> None:
    async with CrewServer(serving(), faults=Faults(kickoff=[200, code])) as server:
        made = bench(tmp_path, server, concurrency=1)
        await made.take_in(jobs(4))
        await made.run()
    counts = await made.counts()
    assert made.stop.reason is StopReason.CREW_UNUSABLE
    assert (counts.failed, counts.pending, counts.succeeded) == (0, 3, 1)


async def test_a_401_at_status_leaves_the_attempt_for_the_next_run(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(status=[401])) as server:
        made = bench(tmp_path, server, concurrency=1)
        await made.take_in(jobs(2))
        await made.run()
        assert made.stop.reason is StopReason.CREW_UNUSABLE
        assert (await made.counts()).open == 1
        made.stop = Stop()
        await made.run()
        assert server.stats["max_kickoffs_per_job"] == 1
    assert (await made.counts()).succeeded == 2


async def test_a_crew_that_cannot_be_reached_is_given_up_and_fails_no_job(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server)
    made.clock = RateClock(20)
    await made.take_in(jobs(3))
    await made.run(unreachable=10)
    assert made.stop.reason is StopReason.CREW_UNUSABLE
    assert "could not be reached" in made.stop.detail
    assert (await made.counts()).pending == 3


async def test_status_answers_that_are_none_never_fail_a_job(tmp_path: Path) -> None:
    faults = Faults(status=[500, 502, "drop_before_accept", 503, 418])
    async with CrewServer(serving(), faults=faults) as server:
        made = bench(tmp_path, server)
        await made.take_in(jobs(1))
        await made.run()
    assert await attempts_of(made, "job-0") == ["succeeded"]


async def test_an_execution_over_its_timeout_is_timed_out(tmp_path: Path) -> None:
    async with CrewServer(serving(execution_time=Spread(60))) as server:
        made = bench(tmp_path, server, timeout=0.2)
        await made.take_in(jobs(1))
        await made.run()
    (row,) = await made.rows()
    assert row.state is JobState.FAILED
    assert "0.2s" in (row.reason or "")
    assert await attempts_of(made, "job-0") == ["timed_out"]


class EarlyClock(SystemClock):
    """Wakes too early, as event loops do that round to milliseconds."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds - 0.02 if seconds > 0.1 else seconds)


async def test_a_poll_just_before_the_deadline_does_not_put_off_the_timeout_to_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The poll is sent before the deadline, and answered after it."""
    original = CrewClient.status

    async def slow(client: CrewClient, kickoff_id: str) -> Any:
        await asyncio.sleep(0.05)
        return await original(client, kickoff_id)

    monkeypatch.setattr(CrewClient, "status", slow)
    async with CrewServer(serving(execution_time=Spread(60))) as server:
        made = bench(tmp_path, server, timeout=0.2, poll=PollSettings(strategy="fixed", initial=600, max=600))
        made.clock = EarlyClock()
        await made.take_in(jobs(1))
        await made.run()
    assert await attempts_of(made, "job-0") == ["timed_out"]


@pytest.mark.parametrize(
    ("delivery", "attempts", "duplicates"),
    [("at_least_once", ["lost", "succeeded"], 1), ("at_most_once", ["lost"], 0)],
)
async def test_an_execution_that_the_crew_forgot_is_tried_again_or_held(
    tmp_path: Path, delivery: Any, attempts: list[str], duplicates: int
) -> None:
    async with CrewServer(serving(execution_time=Spread(60))) as first:
        made = bench(tmp_path, first, delivery=delivery)
        made.stop_after_kickoffs = 1
        await made.take_in(jobs(1))
        await made.run()
    async with CrewServer(serving(token=first.token)) as second:
        made.server, made.stop, made.stop_after_kickoffs = second, Stop(), None
        made.clock = RateClock(100)
        await made.run()
    assert await attempts_of(made, "job-0") == attempts
    counts = await made.counts()
    assert counts.possible_duplicates == duplicates
    assert (counts.succeeded, counts.held) == ((1, 0) if duplicates else (0, 1))


async def test_progress_is_reported(tmp_path: Path) -> None:
    clock = ManualClock()
    async with CrewServer(serving(execution_time=Spread(10)), now=clock.epoch) as server, asyncio.TaskGroup() as group:
        made = bench(tmp_path, server)
        await made.take_in(jobs(1))
        group.create_task(made.run())
        for tasks in (1, 2):
            await made.until(lambda: len(made.of(Progressed)) == tasks)  # noqa: B023 - it is awaited at once
            clock.advance(5)
    names = [event.execution.current_task for event in made.of(Progressed)]
    assert names == ["research_task", "planning_task"]
    assert len(made.of(AttemptEnded)) == 1


async def test_the_next_run_resumes_the_executions_of_an_interrupted_run(tmp_path: Path) -> None:
    clock = ManualClock()
    async with CrewServer(serving(execution_time=Spread(10)), now=clock.epoch) as server:
        made = bench(tmp_path, server, concurrency=5)
        await made.take_in(jobs(10))
        made.stop_after_kickoffs = 5
        await made.run()
        counts = await made.counts()
        assert (counts.open, counts.pending) == (5, 5)
        assert made.of(Stopping)
        clock.advance(10)
        made.stop, made.stop_after_kickoffs = Stop(), 10
        await made.run()
        assert [event.taken_up for event in made.of(KickedOff)] == [True] * 5 + [False] * 5
        assert (await made.counts()).open == 5
        clock.advance(10)
        made.stop, made.stop_after_kickoffs = Stop(), None
        await made.run()
        assert [event.taken_up for event in made.of(KickedOff)] == [True] * 5
        assert server.stats["kickoffs"] == 10
        assert server.stats["max_kickoffs_per_job"] == 1
    assert (await made.counts()).succeeded == 10


@pytest.mark.parametrize(
    ("idempotency", "delivery", "states", "kickoffs"),
    [
        (True, "at_most_once", ["succeeded"], 1),
        (False, "at_least_once", ["in_doubt", "succeeded"], 1),
        (False, "at_most_once", ["in_doubt"], 0),
    ],
)
async def test_attempts_that_a_killed_run_intended_are_settled(
    tmp_path: Path, idempotency: bool, delivery: str, states: list[str], kickoffs: int
) -> None:
    async with CrewServer(serving(idempotency=idempotency)) as server:
        made = bench(tmp_path, server, delivery=delivery)
        await made.take_in(jobs(1))
        async with Ledger(made.path, clock=made.clock) as ledger:  # a run that died right after its commit
            key = await made._key(ledger)
            run_id = await ledger.open_run(key.id, pid=1, host="h", version="v")
            await ledger.claim(key, run_id, crew="default", limit=1)
        await made.run()
        assert server.stats["kickoffs"] == kickoffs
    assert await attempts_of(made, "job-0") == states


async def test_the_limit_of_kickoffs_is_kept(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(kickoff=[200, 503])) as server:
        made = bench(tmp_path, server)
        await made.take_in(jobs(9))
        await made.run(limit=4)  # a refusal does not count as a kickoff
        assert server.stats["kickoffs"] == 4
    counts = await made.counts()
    assert (counts.succeeded, counts.pending) == (4, 5)
    assert made.stop.reason is StopReason.LIMIT


@pytest.mark.parametrize("limit", [FailureLimit(count=3), FailureLimit(share=Decimal("0.5"))])
async def test_a_run_stops_after_its_failures_once_its_executions_have_ended(
    tmp_path: Path, limit: FailureLimit
) -> None:
    async with CrewServer(serving(fail_rate=1.0)) as server:
        made = bench(tmp_path, server, concurrency=2, retry=RetrySettings(attempts=1), stop_after_failures=limit)
        await made.take_in(jobs(40))
        await made.run()
    counts = await made.counts()
    assert made.stop.reason is StopReason.STOP_AFTER_FAILURES
    assert counts.open == 0
    assert 3 <= counts.failed < 20
    assert counts.pending > 0


async def test_max_runtime_ends_a_run_in_time_for_the_next(tmp_path: Path) -> None:
    clock = ManualClock()
    async with CrewServer(serving(execution_time=Spread(30))) as server, asyncio.TaskGroup() as group:
        made = bench(tmp_path, server, max_runtime=60)
        made.clock = clock
        await made.take_in(jobs(10))
        group.create_task(made.run())
        await made.until(lambda: len(made.of(KickedOff)) == 5)
        await clock.settle()
        clock.advance(60)
    counts = await made.counts()
    assert made.stop.reason is StopReason.MAX_RUNTIME
    assert (counts.open, counts.pending) == (5, 5)

"""Kickoffs that are answered with the result: one transaction, no status request, and nothing paid twice."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crew_wire import Request, WireServer, http
from engine_bench import Bench, Faults, RateClock, bench, jobs, serving

from batchcrew.base.errors import JobFileError, LedgerError
from batchcrew.config.crews import RemoteCrew
from batchcrew.config.settings import RetrySettings
from batchcrew.engine import Stop
from batchcrew.engine.in_progress import GRACE_SECONDS
from batchcrew.ledger import Ledger
from batchcrew.model.attempt import AttemptState, Outcome
from batchcrew.model.events import KickedOff, KickoffSent, Polled, Understood, Warned
from batchcrew.model.execution import Execution, ExecutionState, TaskResult
from batchcrew.model.job import JobState, Location
from batchcrew.model.run import StopReason
from batchcrew.model.views import AttemptDetail
from batchcrew.server import CrewServer
from batchcrew.server.faults import Fault

SOON = RetrySettings(attempts=2, backoff=0.01, max=0.01)
DUMP = {"raw": "Tokyo", "json_dict": None, "tasks_output": [{"name": "plan", "raw": "a plan"}], "token_usage": {"t": 1}}


def answered(body: Any) -> Fault:
    """Return the answer of a crew that has run: the server counts the kickoff."""
    return Fault(status=200, started=True, body=body if isinstance(body, str) else json.dumps(body))


def synchronous(made: Bench) -> Bench:
    made.crews = {"default": RemoteCrew(url="http://unused", token=made.server.token, sync=True)}  # type: ignore[arg-type]
    return made


async def only_attempt(made: Bench, job_id: str = "job-0") -> AttemptDetail:
    (attempt,) = (await made.job(job_id)).attempts
    return attempt


async def test_a_result_without_an_id_is_recorded_without_a_poll(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(kickoff=[answered({"result": DUMP})])) as server:
        made = bench(tmp_path, server)
        await made.take_in(jobs(1))
        result = await made.run()
        assert (result.kickoffs, server.stats["kickoffs"]) == (1, 1)
    assert made.of(Polled) == []
    attempt = await only_attempt(made)
    assert (attempt.state, attempt.kickoff_id, attempt.output) == (AttemptState.SUCCEEDED, None, "Tokyo")
    assert ([task.output for task in attempt.tasks], attempt.token_usage) == (["a plan"], {"t": 1})
    assert json.loads(attempt.answer or "") == {"result": DUMP}
    (row,) = await made.rows()
    assert (row.state, row.output, row.kickoff_id, row.attempts_used) == (JobState.SUCCEEDED, "Tokyo", None, 1)
    assert row.kicked_off_at == attempt.kicked_off_at is not None
    assert row.execution_time is not None


async def test_a_failure_without_an_id_is_an_executions_failure(tmp_path: Path) -> None:
    faults = Faults(kickoff=[answered({"status": "failed", "error": "no tool"})] * 2)
    async with CrewServer(serving(), faults=faults) as server:
        made = bench(tmp_path, server, retry=SOON, delivery="at_most_once")
        await made.take_in(jobs(1))
        await made.run()
        assert server.stats["kickoffs"] == 2  # both attempts are used up
    (row,) = await made.rows()
    assert (row.state, row.reason, row.attempts_used) == (JobState.FAILED, "no tool", 2)
    assert [attempt.state.value for attempt in (await made.job("job-0")).attempts] == ["failed", "failed"]


@pytest.mark.parametrize(("retried", "kickoffs"), [(("crew_error",), 2), (("timeout", "lost"), 1)])
async def test_an_error_of_a_synchronous_crew_uses_up_an_attempt(tmp_path: Path, retried: Any, kickoffs: int) -> None:
    """It is retried as other executions that failed, and never counts as a kickoff that started nothing."""
    faults = Faults(kickoff=[answered({"error": "Insufficient light"})] * 3)
    async with CrewServer(serving(), faults=faults) as server:
        made = synchronous(bench(tmp_path, server, retry=SOON.model_copy(update={"on": retried}), concurrency=1))
        await made.take_in(jobs(1))
        await made.run()
        assert server.stats["kickoffs"] == kickoffs
    assert made.stop.reason is None
    (row,) = await made.rows()
    assert (row.state, row.attempts_used) == (JobState.FAILED, kickoffs)
    assert {attempt.state for attempt in (await made.job("job-0")).attempts} == {AttemptState.FAILED}


async def test_a_synchronous_crew_is_never_polled(tmp_path: Path) -> None:
    faults = Faults(kickoff=[answered({"kickoff_id": f"k-{n}", "result": f"trip {n}"}) for n in range(20)])
    async with CrewServer(serving(), faults=faults) as server:
        made = synchronous(bench(tmp_path, server))
        await made.take_in(jobs(20))
        await made.run()
        assert (server.stats["kickoffs"], server.stats["max_kickoffs_per_job"]) == (20, 1)
    assert made.of(Polled) == []
    rows = await made.rows()
    assert {row.state for row in rows} == {JobState.SUCCEEDED}
    assert {row.output for row in rows} == {f"trip {n}" for n in range(20)}
    assert {row.kickoff_id for row in rows} == {f"k-{n}" for n in range(20)}


async def test_a_result_after_a_kickoff_in_doubt_is_a_possible_duplicate(tmp_path: Path) -> None:
    faults = Faults(kickoff=["drop_after_accept", answered({"result": "Tokyo"})])
    async with CrewServer(serving(idempotency=False), faults=faults) as server:
        made = bench(tmp_path, server, retry=SOON)
        await made.take_in(jobs(1))
        await made.run()
        assert server.stats["kickoffs"] == 2
    counts = await made.counts()
    assert (counts.succeeded, counts.possible_duplicates) == (1, 1)


async def test_attach_and_recheck_find_nothing_to_do(tmp_path: Path) -> None:
    faults = Faults(kickoff=[answered({"result": "Tokyo"}), answered({"status": "failed", "error": "no tool"})])
    async with CrewServer(serving(), faults=faults) as server:
        made = bench(tmp_path, server, retry=SOON.model_copy(update={"attempts": 1}), concurrency=1)
        await made.take_in(jobs(2))
        await made.run()
    async with Ledger(made.path, clock=made.clock) as ledger:
        key = await ledger.batch("b")
        assert key is not None
        assert (await ledger.unsure_count(key), await ledger.held_without_id(key), await ledger.kickoffs(key)) == (
            0,
            0,
            2,
        )
        # the failed job gets a new attempt, which is watched
        run_id = await ledger.open_run(key.id, pid=1, host="h", version="v", urls={}, kind="attach")
        assert await ledger.attach(key, run_id, [(Location("ids.csv", 2), "job-1", "k-1")]) == 1
        with pytest.raises(JobFileError):
            await ledger.attach(key, run_id, [(Location("ids.csv", 1), "job-0", "k-2")])
    failed, attached = (await made.job("job-1")).attempts
    assert (failed.state, failed.kickoff_id) == (AttemptState.FAILED, None)
    assert (attached.state, attached.kickoff_id) == (AttemptState.KICKED_OFF, "k-1")


async def test_a_result_is_written_although_the_rest_of_its_commit_fails(tmp_path: Path) -> None:
    """No poll can return it again, so it is tried once more, alone."""
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server)
        await made.take_in(jobs(2))
    async with Ledger(made.path, clock=made.clock) as ledger:
        key = await ledger.batch("b")
        assert key is not None
        run_id = await ledger.open_run(key.id, pid=1, host="h", version="v", urls={})
        first, second = (await ledger.claim(key, run_id, crew="default", limit=2)).attempts
        execution = Execution(state=ExecutionState.SUCCEEDED, word="", output="Tokyo", tasks=(TaskResult(task_id="t"),))
        outcome = Outcome(attempt_state=AttemptState.SUCCEEDED, job_state=JobState.SUCCEEDED, execution=execution)
        unknown = replace(first, attempt_id="of no attempt")
        result = replace(second, kicked_off_at=second.intended_at, answered_at_once=True)
        ended = [ledger.ended(unknown, outcome), ledger.ended(result, outcome, failure_streaks="{}")]
        failed, written = await asyncio.gather(*ended, return_exceptions=True)
        assert (type(failed), written) == (LedgerError, None)
    rows = await made.rows()
    assert [(row.state, row.output) for row in rows] == [(JobState.OPEN, None), (JobState.SUCCEEDED, "Tokyo")]
    assert [task.task_id for task in (await only_attempt(made, "job-1")).tasks] == ["t"]


async def test_a_result_that_cannot_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any, **__: Any) -> None:
        raise LedgerError("the disk is full")

    async with CrewServer(serving(idempotency=False), faults=Faults(kickoff=[answered({"result": "Tokyo"})])) as server:
        made = bench(tmp_path, server, delivery="at_most_once")
        await made.take_in(jobs(1))
        with monkeypatch.context() as patched:
            patched.setattr(Ledger, "ended", fails)
            with pytest.raises(LedgerError):
                await made.run()
        (warning,) = [event.message for event in made.of(Warned)]
        assert "job-0" in warning
        made.stop = Stop()
        await made.run()
        assert server.stats["kickoffs"] == 1
    assert (await made.counts()).held == 1


async def test_a_run_that_leaves_waits_for_the_result_that_is_paid_for(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def slow(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.method == "GET":
            writer.write(http(404, b"{}"))
            return
        await release.wait()
        writer.write(http(200, b'{"result": "Tokyo"}'))

    clock = RateClock(500.0)
    async with CrewServer(serving()) as server, WireServer(slow) as wire:
        made = synchronous(bench(tmp_path, server, concurrency=2))
        made.clock, made.urls = clock, {"default": wire.url}
        await made.take_in(jobs(5))
        running = asyncio.create_task(made.run())
        await made.until(lambda: len(made.of(KickoffSent)) == 2)
        made.stop.request(StopReason.SIGNAL, "stopped by a test", leave=True)
        await clock.sleep(3 * GRACE_SECONDS)
        assert not running.done()
        release.set()
        await running
        assert wire.heard.count("POST /kickoff") == 2
    counts = await made.counts()
    assert (counts.succeeded, counts.pending, counts.open) == (2, 3, 0)


async def test_what_was_understood_is_reported_once(tmp_path: Path) -> None:
    faults = Faults(kickoff=[answered({"data": {"output": "Tokyo"}})] * 2)
    async with CrewServer(serving(), faults=faults) as server:
        made = bench(tmp_path, server, concurrency=1)
        await made.take_in(jobs(5))
        await made.run()
    assert {(event.crew, event.what, event.place) for event in made.of(Understood)} == {
        ("default", "output", "data.output"),
        ("default", "kickoff id", "kickoff_id"),
        ("default", "status", "status"),
        ("default", "output", "result.output"),
    }
    assert len(made.of(Understood)) == 4
    assert len(made.of(KickoffSent)) == len(made.of(KickedOff)) == 5


# Answers that are not understood


async def test_the_first_answer_that_was_not_understood_is_kept(tmp_path: Path) -> None:
    faults = Faults(status=[Fault(status=200, body='{"first": 1}'), Fault(status=200, body='{"second": 2}')])
    async with CrewServer(serving(), faults=faults) as server:
        made = bench(tmp_path, server, concurrency=1)
        await made.take_in(jobs(2))
        await made.run()
    first, second = (await made.job("job-0")).attempts + (await made.job("job-1")).attempts
    assert (first.state, first.first_answer) == (AttemptState.SUCCEEDED, '{"first": 1}')
    assert second.first_answer is None


async def test_ticks_keep_the_first_answer_of_all(tmp_path: Path) -> None:
    faults = Faults(status=[Fault(status=200, body=json.dumps({"tick": n})) for n in range(3)])
    async with CrewServer(serving(), faults=faults) as server:
        made = bench(tmp_path, server)
        await made.take_in(jobs(1))
        await made.tick_to_the_end()
    assert (await only_attempt(made)).first_answer == '{"tick": 0}'


async def test_the_answer_to_a_kickoff_in_doubt_is_kept(tmp_path: Path) -> None:
    faults = Faults(kickoff=[answered({"message": "\u4f60\u597d", "what": "is this"})])
    async with CrewServer(serving(idempotency=False), faults=faults) as server:
        made = bench(tmp_path, server, delivery="at_most_once")
        await made.take_in(jobs(1))
        await made.run()
    attempt = await only_attempt(made)
    assert attempt.state is AttemptState.IN_DOUBT
    assert json.loads(attempt.first_answer or "") == {"message": "\u4f60\u597d", "what": "is this"}

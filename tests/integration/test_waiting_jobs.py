"""Executions that wait for human input: their state, their slot, their clock, and how an answer is noticed."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from engine_bench import Bench, bench, jobs, serving

from batchcrew.config.human import HumanSettings
from batchcrew.crew import CrewClient
from batchcrew.engine import people as people_module
from batchcrew.ledger import BatchKey, Ledger
from batchcrew.model.attempt import Attempt
from batchcrew.model.crew_answers import Resumed
from batchcrew.model.events import WaitEnded, WaitStarted
from batchcrew.model.run import StopReason
from batchcrew.model.waits import AnswerState, Decision, Wait
from batchcrew.server import CrewServer

QUICK = HumanSettings(poll=0.02)


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_module, "LOOK_SECONDS", 0.02)


@pytest.fixture
async def server() -> AsyncIterator[CrewServer]:
    async with CrewServer(serving(human_rate=1.0)) as running:
        yield running


def people(path: Path, server: CrewServer, **settings: Any) -> Bench:
    return bench(path, server, **{"human": QUICK, **settings})


async def waits_of(made: Bench) -> list[Wait]:
    async with Ledger(made.path, clock=made.clock) as ledger:
        key = await made._key(ledger)
        ids = [line.wait_id async for line in ledger.inbox(key)]
        return list((await ledger.waits_by_id(key, ids)).values())


async def resume(made: Bench, wait: Wait, decision: Decision) -> None:
    """Answer elsewhere: the ledger learns nothing of it."""
    crew = made.crews["default"]
    client = CrewClient("x", crew, url=made.server.url, concurrency=1, clock=made.clock, warn=print)
    async with client:
        answer = await client.resume(wait.attempt, wait.question.task_id, decision)
    assert isinstance(answer, Resumed), answer


def has_waits(made: Bench, number: int) -> bool:
    return len(made.of(WaitStarted)) == number


async def next_question(made: Bench, *before: Wait) -> Wait:
    """Return the first open wait that is not among those of before; it is looked for after each event of the run."""
    while True:
        made.changed.clear()
        for wait in await waits_of(made):
            if wait.wait_id not in {each.wait_id for each in before}:
                return wait
        await made.changed.wait()


async def test_waiting_jobs_give_back_their_slots_and_the_run_ends_when_only_they_are_left(
    tmp_path: Path, server: CrewServer
) -> None:
    made = people(tmp_path, server, concurrency=1)
    await made.take_in(jobs(4))
    await made.run()
    counts = await made.counts()
    assert (counts.waiting, counts.open, counts.left) == (4, 0, 4)
    assert made.stop.reason is StopReason.WAITING
    assert server.stats["kickoffs"] == 4
    waits = await waits_of(made)
    assert [wait.question.task_id for wait in waits] == ["research_task"] * 4
    assert all("fits best" in (wait.question.output or "") for wait in waits)
    assert len({wait.wait_id for wait in waits}) == 4


@pytest.mark.parametrize("once", [False, True])
async def test_answers_that_were_given_elsewhere_are_noticed_and_nothing_is_kicked_off_again(
    tmp_path: Path, server: CrewServer, once: bool
) -> None:
    made = people(tmp_path, server)
    await made.take_in(jobs(3))
    await made.run()
    for wait in await waits_of(made):
        await resume(made, wait, Decision(approve=True))
    made.stop.reason = None
    if once:
        await made.tick_to_the_end()
    else:
        await made.run()
    assert (await made.counts()).succeeded == 3
    assert server.stats["kickoffs"] == 3


async def test_with_wait_the_run_stays_until_the_last_answer(tmp_path: Path, server: CrewServer) -> None:
    made = people(tmp_path, server)
    made.wait = True
    await made.take_in(jobs(2))
    running = asyncio.create_task(made.run())
    await made.until(lambda: len(made.of(WaitStarted)) == 2)
    first, second = await waits_of(made)
    await resume(made, first, Decision(approve=True))
    await made.until(lambda: len(made.of(WaitEnded)) == 1)
    assert not running.done()
    await resume(made, second, Decision(approve=False, feedback="cheaper"))
    third = await next_question(made, first, second)
    assert (third.question.output or "").endswith("cheaper")
    await resume(made, third, Decision(approve=True))
    await running
    assert made.stop.reason is None
    assert (await made.counts()).succeeded == 2
    assert server.stats["kickoffs"] == 2


async def test_a_run_resumes_at_once_what_the_ledger_has_an_answer_for(tmp_path: Path, server: CrewServer) -> None:
    made = people(tmp_path, server, human=HumanSettings(poll=3600))
    made.wait = True
    await made.take_in(jobs(1))
    running = asyncio.create_task(made.run())
    await made.until(lambda: len(made.of(WaitStarted)) == 1)
    (wait,) = await waits_of(made)
    decision = Decision(approve=True)
    async with Ledger(made.path, clock=made.clock) as ledger:
        assert await ledger.intend_answer(wait.wait_id, decision)
        assert not await ledger.intend_answer(wait.wait_id, decision)
        await resume(made, wait, decision)
        await ledger.answered(wait.wait_id, AnswerState.DELIVERED)
    await running
    assert (await made.counts()).succeeded == 1


async def test_a_run_does_not_end_while_it_resumes_what_was_answered(
    tmp_path: Path, server: CrewServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is in progress and nothing waits between the commit and the task, however long the ledger takes."""
    made = people(tmp_path, server, human=HumanSettings(poll=3600))
    made.wait = True
    open_attempt, begin, woken = Ledger.open_attempt, people_module.WaitingJobs.begin, []

    async def begin_here(self: people_module.WaitingJobs) -> None:
        woken.append(self._changed)
        await begin(self)

    async def slowly(self: Ledger, key: BatchKey, attempt_id: str) -> Attempt | None:
        for _ in range(50):
            woken[0].set()
            await self.counts(key)
        return await open_attempt(self, key, attempt_id)

    monkeypatch.setattr(Ledger, "open_attempt", slowly)
    monkeypatch.setattr(people_module.WaitingJobs, "begin", begin_here)
    await made.take_in(jobs(1))
    running = asyncio.create_task(made.run())
    await made.until(lambda: len(made.of(WaitStarted)) == 1)
    (wait,) = await waits_of(made)
    async with Ledger(made.path, clock=made.clock) as ledger:
        assert await ledger.intend_answer(wait.wait_id, Decision(approve=True))
        await resume(made, wait, Decision(approve=True))
        await ledger.answered(wait.wait_id, AnswerState.DELIVERED)
    await running
    assert (await made.counts()).succeeded == 1


async def test_hold_slot_keeps_the_slot_of_a_waiting_execution(tmp_path: Path, server: CrewServer) -> None:
    made = people(tmp_path, server, concurrency=1, human=HumanSettings(poll=0.02, hold_slot=True))
    made.wait = True
    await made.take_in(jobs(2))
    running = asyncio.create_task(made.run())
    for number in (1, 2):
        await made.until(partial(has_waits, made, number))
        assert server.stats["kickoffs"] == number
        wait = await next_question(made)
        await resume(made, wait, Decision(approve=True))
    await running
    assert (await made.counts()).succeeded == 2


async def test_the_clock_of_an_execution_stops_while_it_waits(tmp_path: Path, server: CrewServer) -> None:
    made = people(tmp_path, server, timeout=5.0)
    await made.take_in(jobs(1))
    await made.run()
    (wait,) = await waits_of(made)
    async with Ledger(made.path, clock=made.clock) as ledger:
        await ledger._writing.call(
            lambda connection: connection.execute_fetchall(
                "UPDATE attempts SET kicked_off_at = strftime('%Y-%m-%dT%H:%M:%fZ', kicked_off_at, '-2 days')"
            )
        )
        await ledger._writing.call(
            lambda connection: connection.execute_fetchall(
                "UPDATE waits SET since = strftime('%Y-%m-%dT%H:%M:%fZ', since, '-2 days')"
            )
        )
    await resume(made, wait, Decision(approve=True))
    made.stop.reason = None
    await made.run()
    assert (await made.counts()).succeeded == 1


async def test_human_timeout_ends_an_execution_without_an_answer(tmp_path: Path, server: CrewServer) -> None:
    made = people(tmp_path, server, human=HumanSettings(poll=0.02, timeout=0.05))
    made.wait = True
    await made.take_in(jobs(1))
    await made.run()
    (row,) = await made.rows()
    assert row.state == "failed"
    assert "human.timeout" in (row.reason or "")
    assert server.stats["kickoffs"] == 1

"""Commands to a batch in the ledger, while a run writes to it."""

import asyncio
import os
import socket
from datetime import timedelta
from pathlib import Path

from manual_clock import ManualClock

from batchcrew.app.control import ControlRequest, Stopped, stop
from batchcrew.base.clock import to_text
from batchcrew.engine import retry
from batchcrew.ledger import BatchKey, BatchLock, Ledger
from batchcrew.model.control import Given
from batchcrew.model.execution import Question
from batchcrew.model.job import Job, JobState, Location


async def batch_of(ledger: Ledger, number: int) -> BatchKey:
    jobs = [
        Job(job_id=f"j{n}", crew="default", inputs={}, meta={}, row={}, where=Location("jobs.csv", n))
        for n in range(number)
    ]
    staged = await ledger.stage("b", jobs)
    return await ledger.ingest("b", jobfile="jobs.yaml", digest="d", columns=staged.plan.columns)


async def run_of(ledger: Ledger, key: BatchKey) -> str:
    return await ledger.open_run(key.id, pid=1, host="h", version="v")


async def test_a_limit_that_was_lifted_is_read_as_none(tmp_path: Path) -> None:
    async with Ledger(tmp_path / "l.db", clock=ManualClock()) as ledger:
        key = await batch_of(ledger, 1)
        await ledger.change_settings(key, {"max_cost": None, "rate": "1/s"}, ledger.given("a@b", None))
        assert (await ledger.control(key)).overrides == {"max_cost": None, "rate": "1/s"}


async def test_a_job_that_is_cancelled_while_it_waits_for_its_retry_is_not_claimed(tmp_path: Path) -> None:
    async with Ledger(tmp_path / "l.db", clock=ManualClock()) as ledger:
        key = await batch_of(ledger, 2)
        run = await run_of(ledger, key)
        claimed = (await ledger.claim(key, run, crew="default", limit=1)).attempts
        done = await ledger.cancel(key, ["j0"], ledger.given("a@b", None))
        assert (done.pending, done.in_progress) == (0, (claimed[0].job_key,))
        assert [job for job, _ in await ledger.let_go(key, [claimed[0].job_key])] == [claimed[0].job_key]
        await ledger.ended(claimed[0], retry.rejected("busy"))
        assert await ledger.next_start(key, "default") == ""  # of the other job
        again = (await ledger.claim(key, run, crew="default", limit=5)).attempts
        assert [attempt.job_id for attempt in again] == ["j1"]
        assert await ledger.next_start(key, "default") is None
        await ledger.let_go(key)
        assert (await ledger.counts(key)).cancelled == 1
        assert await ledger.letting_go(key) == 0


async def test_a_request_for_a_job_that_has_ended_does_not_cancel_its_retry(tmp_path: Path) -> None:
    async with Ledger(tmp_path / "l.db", clock=ManualClock()) as ledger:
        key = await batch_of(ledger, 1)
        run = await run_of(ledger, key)
        claimed = (await ledger.claim(key, run, crew="default", limit=1)).attempts
        await ledger.cancel(key, [], ledger.given("a@b", None))
        await ledger.ended(claimed[0], retry.rejected("wrong inputs", for_good=True))
        assert await ledger.retry(key, states=[JobState.FAILED]) == 1
        await ledger.let_go(key)
        assert (await ledger.counts(key)).pending == 1


async def test_stop_ends_a_run_that_still_reads_its_job_file_and_no_later_one(tmp_path: Path) -> None:
    path, clock = tmp_path / "l.db", ManualClock(jumps=True)
    this, host = os.getpid(), socket.gethostname()
    async with Ledger(path, clock=clock) as ledger:
        key = await batch_of(ledger, 1)
        request = ControlRequest(ledger=path, batch="b", clock=clock, reason="deploy")
        assert await stop(request) is Stopped.NOTHING
        async with BatchLock(path, "b", since=to_text(clock.now())):
            assert await stop(request) is Stopped.WHEN_IT_HAS_READ
            run = await ledger.open_run(key.id, pid=this, host=host, version="v")
            given = (await ledger.control(key, run)).stop
            assert given is not None
            assert given.reason == "deploy"
        later = await ledger.open_run(key.id, pid=this, host=host, version="v")
        assert (await ledger.control(key, later)).stop is None


async def test_a_stop_for_a_process_that_has_ended_stops_no_other(tmp_path: Path) -> None:
    async with Ledger(tmp_path / "l.db", clock=ManualClock()) as ledger:
        key = await batch_of(ledger, 1)
        await ledger.request_stop(key, (99, "h"), ledger.given("a@b", None))
        for pid in (1, 99):  # the second has its number by chance
            run = await ledger.open_run(key.id, pid=pid, host="h", version="v")
            assert (await ledger.control(key, run)).stop is None


async def test_a_waiting_job_is_cancelled_and_leaves_the_inbox(tmp_path: Path) -> None:
    clock = ManualClock()
    async with Ledger(tmp_path / "l.db", clock=clock) as ledger:
        key = await batch_of(ledger, 2)
        run = await run_of(ledger, key)
        for attempt in (await ledger.claim(key, run, crew="default", limit=2)).attempts:
            await ledger.kicked_off(attempt, f"k-{attempt.job_id}")
            await ledger.wait_began(
                attempt.attempt_id, Question(task_id="t"), requested_at=clock.now(), next_poll=clock.now()
            )
        done = await ledger.cancel(key, ["j0"], ledger.given("a@b", None))
        assert (done.pending, len(done.in_progress)) == (0, 1)
        assert await ledger.let_go(key) == []  # no run watches it
        counts = await ledger.counts(key)
        assert (counts.cancelled, counts.waiting) == (1, 1)
        assert await ledger.wait_of_job(key, "j0") is None
        assert await ledger.wait_of_job(key, "j1") is not None


async def test_the_clocks_of_operators_decide_nothing(tmp_path: Path) -> None:
    """A pause of 2099 and an unpause of 2001 have effect in the order in which they were given."""
    clock = ManualClock()
    async with Ledger(tmp_path / "l.db", clock=clock) as ledger:
        key = await batch_of(ledger, 1)
        run = await run_of(ledger, key)
        later, earlier = (to_text(clock.now() + timedelta(days=365 * years)) for years in (73, -25))
        assert await ledger.pause(key, Given(by="a@b", at=later)) is None
        assert (await ledger.control(key)).pause is not None
        assert await ledger.unpause(key, Given(by="a@b", at=earlier)) is not None
        assert (await ledger.control(key)).pause is None
        await ledger.change_settings(key, {"rate": "1/s"}, Given(by="a@b", at=later))
        await ledger.change_settings(key, {"rate": "2/s"}, Given(by="a@b", at=earlier))
        assert (await ledger.control(key)).overrides == {"rate": "2/s"}
        (line,) = await ledger.runs(key, 5)
        assert [each.command for each in line.commands] == ["set", "set", "unpause", "pause"]
        assert (await ledger.control(key, run)).stop is None
        await ledger.request_stop(key, "another run", Given(by="a@b", at=later))
        assert (await ledger.control(key, run)).stop is None


async def test_two_processes_write_commands_while_a_run_writes(tmp_path: Path) -> None:
    async with Ledger(tmp_path / "l.db", clock=ManualClock()) as ledger:
        key = await batch_of(ledger, 200)
        run = await run_of(ledger, key)

        async def operator(name: str) -> None:
            async with Ledger(tmp_path / "l.db", clock=ManualClock()) as other:
                for number in range(5):
                    await other.change_settings(key, {name: str(number + 1)}, other.given(name, None))

        async def claims() -> None:
            for _ in range(20):
                await ledger.claim(key, run, crew="default", limit=10)

        await asyncio.gather(operator("concurrency"), operator("max_concurrency"), claims())
        assert (await ledger.control(key)).overrides == {"concurrency": "5", "max_concurrency": "5"}
        assert (await ledger.counts(key)).open == 200


async def test_a_deleted_batch_leaves_no_commands(tmp_path: Path) -> None:
    async with Ledger(tmp_path / "l.db", clock=ManualClock()) as ledger:
        key = await batch_of(ledger, 2)
        await ledger.claim(key, await run_of(ledger, key), crew="default", limit=1)
        given = ledger.given("a@b", None)
        await ledger.pause(key, given)
        await ledger.change_settings(key, {"rate": "1/s"}, given)
        await ledger.cancel(key, [], given)
        assert await ledger.delete("b") == 2
        assert await ledger.batches() == []

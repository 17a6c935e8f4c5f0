"""How long executions are kept, and that they survive a restart."""

import asyncio
import contextlib
import sqlite3
import uuid
from pathlib import Path

import pytest
from crews_stage import Gate, crew_stage
from server_stage import Receiver, manual_clock

from batchcrew.base.errors import UsageError
from batchcrew.server.crews.outputs import delete_outputs
from batchcrew.server.crews.store import ExecutionStore, Order
from batchcrew.server.report import Report, StepReport, TaskReport

META = {"batchcrew": {"batch": "b", "job": "j"}}


async def test_a_restart_keeps_ended_executions_and_interrupts_running_ones(tmp_path: Path) -> None:
    state, gate = tmp_path / "state.db", Gate(tmp_path)
    async with Receiver() as receiver:
        crew_url = {"crewWebhookUrl": f"{receiver.url}/crew", "meta": META}
        async with crew_stage(tmp_path, state=state, threads=1) as on:
            ended = await on.start("tasks", topic="kept", key="k1")
            (before,) = await on.ended(ended)
            running = await on.start("hold", pipe=str(gate.path), key="k2", body=crew_url)
            await gate.waited_at()
            waiting = await on.start("echo", topic="waited", key="k3", body=crew_url)
        async with crew_stage(tmp_path, state=state, threads=1) as on:
            assert await on.status(ended) == before
            found = await on.status(running)
            assert (found["status"], found["error"]) == ("error", "interrupted by a restart")
            told = [await receiver.heard.get() for _ in range(2)]
            assert {body["kickoff_id"]: (body["status"], body["meta"]) for _, body in told} == {
                running: ("error", META),
                waiting: ("completed", META),
            }
            assert (await on.status(waiting))["result"]["output"] == "waited"
            assert await on.start("tasks", topic="kept", key="k1") == ended
            assert await on.start("hold", pipe=str(gate.path), key="k2") == running
            assert await on.start("echo", topic="waited", key="k3") == waiting
            assert (await on.get("/stats")).body["max_kickoffs_per_job"] == 2
            assert on.server.kickoffs_of("j") == 2
    gate.open()


async def test_one_server_has_a_state_at_a_time(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    async with crew_stage(tmp_path, state=state):
        with pytest.raises(UsageError, match=r"state\.db is in use by another server; name another file"):
            async with crew_stage(tmp_path, state=state):
                pass
    async with crew_stage(tmp_path, state=state) as on:
        assert (await on.run("echo"))["status"] == "completed"
    assert state.stat().st_mode & 0o777 == 0o600


async def test_files_of_something_else_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    for path, message in (
        (other, "is another kind of database"),
        (tmp_path, "cannot be used: "),
    ):
        with pytest.raises(UsageError, match=message):
            ExecutionStore(path, now=0.0)
    newer = tmp_path / "newer.db"
    ExecutionStore(newer, now=0.0).close()
    with contextlib.closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UsageError, match="is of another version of batchcrew"):
        ExecutionStore(newer, now=0.0)


def keep(archive: ExecutionStore, name: str, *, at: float, ends: bool = True) -> None:
    report = Report(kickoff_id=name, phase="waiting")
    order = Order(kickoff_id=name, inputs={"secret": "of the client"}, callbacks={})
    archive.add(report, key=None, job=None, order=order, now=at)
    if ends:
        archive.save(Report(kickoff_id=name, phase="succeeded", output=name), now=at)


def test_retention_by_age_and_by_count() -> None:
    archive = ExecutionStore(None, now=0.0)
    keep(archive, "running", at=0.0, ends=False)
    for number in range(5):
        keep(archive, f"e{number}", at=float(number))

    def kept() -> list[str]:
        return [name for name in ("running", *(f"e{number}" for number in range(5))) if archive.report(name)]

    archive.delete(ended_before=1.0, kept=100)
    assert kept() == ["running", "e1", "e2", "e3", "e4"]
    archive.delete(ended_before=0.0, kept=2)
    assert kept() == ["running", "e3", "e4"]
    assert archive.kickoffs() == 6
    archive.close()


async def test_retention_is_kept_up(tmp_path: Path) -> None:
    clock = manual_clock()
    async with crew_stage(tmp_path, clock=clock, keep_seconds=100.0, keep_count=1) as on:
        first, second = await on.start("echo"), await on.start("echo")
        await on.ended(first, second)
        await clock.sleep_requested(600.0)
        clock.advance(600)
        await clock.sleep_requested(600.0)  # the next round waits: the first one is done
        assert (await on.get(f"/status/{first}")).status == 404
        assert (await on.get(f"/status/{second}")).status == 404


async def test_large_outputs_are_deleted_with_their_executions(tmp_path: Path) -> None:
    clock, state = manual_clock(), tmp_path / "state.db"
    folder = tmp_path / "state.db.crewai-outputs"
    async with crew_stage(tmp_path, clock=clock, state=state, keep_seconds=100.0) as on:
        first = await on.start("huge")
        await on.ended(first)
        (folder / "notes.txt").touch()
        await clock.sleep_requested(600.0)
        clock.advance(50)
        second = await on.start("huge")
        await on.ended(second)
        assert {file.stem for file in folder.iterdir()} == {first, second, "notes"}
        clock.advance(550)
        await clock.sleep_requested(600.0)  # the next round waits: the first one is done
        assert {file.stem for file in folder.iterdir()} == {"notes"}


def test_only_outputs_of_executions_that_are_not_stored_are_deleted(tmp_path: Path) -> None:
    ids = [str(uuid.UUID(int=number)) for number in range(2)]
    for name in ("notes.txt", *(f"{one}.{suffix}" for one in ids for suffix in ("txt", "json"))):
        (tmp_path / name).touch()
    delete_outputs(tmp_path, lambda one: one == ids[0])
    assert {file.name for file in tmp_path.iterdir()} == {"notes.txt", f"{ids[0]}.txt", f"{ids[0]}.json"}
    delete_outputs(tmp_path / "missing", lambda one: False)


async def test_a_disk_that_is_full_takes_no_result_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock, state, gate = manual_clock(), tmp_path / "state.db", Gate(tmp_path)
    async with crew_stage(tmp_path, clock=clock, state=state) as on:
        await clock.sleep_requested(600.0)
        kickoff_id = await on.start("hold", pipe=str(gate.path), topic="paid", body={"crewWebhookUrl": None})
        await gate.waited_at()
        executor = on.server._executor
        assert executor is not None
        connection = executor._store._connection  # type: ignore[attr-defined]
        connection.execute("PRAGMA query_only = ON")
        gate.open()
        while (found := await on.status(kickoff_id))["status"] != "completed":
            pass
        assert found["result"]["output"] == "paid"
        assert "could not be written and is only in memory" in caplog.text
        assert (await on.kickoff({"inputs": {"do": "echo"}})).status == 500  # it could not be recorded
        connection.execute("PRAGMA query_only = OFF")
        clock.advance(600)
        await clock.sleep_requested(600.0)
    async with crew_stage(tmp_path, state=state) as on:
        assert await on.status(kickoff_id) == found


def test_inputs_are_forgotten_when_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    archive = ExecutionStore(path, now=0.0)
    keep(archive, "a", at=0.0, ends=False)
    assert archive.order("a").inputs == {"secret": "of the client"}
    archive.save(Report(kickoff_id="a", phase="failed", error="no"), now=1.0)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("SELECT inputs, wishes FROM executions").fetchall() == [(None, None)]
    connection.close()
    archive.close()


def test_a_report_comes_back_as_it_was_kept() -> None:
    task = TaskReport(task_id="t", agent="a", output="\ud800", execution_time=1.5, output_json={"x": [1]})
    step = StepReport(task_id="t", agent="a", prompt="p", thought="", tool="search", tool_input="q", result="r")
    report = Report(
        kickoff_id="k",
        phase="succeeded",
        done=1,
        total=1,
        tasks=(task,),
        output="o",
        result_json=[1, None],
        execution_time=2.5,
        token_usage={"total_tokens": 3},
        last_step=step,
    )
    archive = ExecutionStore(None, now=0.0)
    order = Order(kickoff_id="k", inputs={}, callbacks={})
    archive.add(report, key=None, job=None, order=order, now=0.0)
    archive.save(report, now=1.0)
    assert archive.report("k") == report
    archive.close()


async def test_draining_waits_for_running_executions_and_refuses_kickoffs(tmp_path: Path) -> None:
    gate, state = Gate(tmp_path), tmp_path / "state.db"
    async with crew_stage(tmp_path, state=state, threads=1) as on:
        running = await on.start("hold", pipe=str(gate.path), topic="in time")
        await gate.waited_at()
        waiting = await on.start("echo")
        draining = asyncio.create_task(on.server.drain())
        answer = await on.kickoff({"inputs": {"do": "echo"}})
        while answer.status == 200:  # the drain has not begun yet
            answer = await on.kickoff({"inputs": {"do": "echo"}})
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        gate.open()
        await draining
        assert (await on.status(running))["result"]["output"] == "in time"
        assert (await on.status(waiting))["status"] == "pending"
    async with crew_stage(tmp_path, state=state) as on:
        assert (await on.status(running))["status"] == "completed"


async def test_draining_ends_after_its_time(tmp_path: Path) -> None:
    gate, clock = Gate(tmp_path), manual_clock()
    async with crew_stage(tmp_path, clock=clock, stop_timeout=20.0, execution_timeout=None) as on:
        await on.start("hold", pipe=str(gate.path))
        await gate.waited_at()
        draining = asyncio.create_task(on.server.drain())
        await clock.sleep_requested(20.0)
        assert not draining.done()
        clock.advance(20)
        await draining
    gate.open()

"""Executions in worker processes: their results, their failures, and that a failure does not affect the others."""

import asyncio
import json
import os
import select
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from crews_stage import Gate, crew_stage, target
from server_stage import manual_clock

from batchcrew.base.errors import UsageError
from batchcrew.server import CrewOptions, ServeOptions
from batchcrew.server.api import app
from batchcrew.server.workers import processes

pytestmark = pytest.mark.crash  # takes long


async def test_a_kickoff_and_its_end(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        assert (await on.get("/inputs")).body == {"inputs": ["do"], "optional_inputs": ["topic"]}
        found = await on.run("echo", topic="food")
        seconds = found.pop("execution_time")
        assert seconds >= 0
        assert found == {
            "status": "completed",
            "state": "SUCCESS",
            "result": {"output": "food", "tasks": []},
            "result_json": {"topic": "food"},
            "token_usage": {"total_tokens": 3, "prompt_tokens": 2, "completion_tokens": 1},
        }


async def test_semantic_kernel_gets_the_words_that_it_accepts(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    headers = {"user_agent": "semantic-kernel-python/1.36.0"}
    async with crew_stage(tmp_path) as on:

        async def state(kickoff_id: str) -> Any:
            body = (await on.get(f"/status/{kickoff_id}", headers=headers)).body
            assert body["result"] is None or isinstance(body["result"], str)
            assert body["last_step"] is None or isinstance(body["last_step"], dict)
            return body["state"], body["result"]

        assert (await on.get("/inputs", headers=headers)).body["inputs"] == {"do": "string"}
        held = await on.start("tasks", pipe=str(gate.path))
        await gate.waited_at()
        assert await state(held) == ("STARTED", None)
        gate.open()
        await on.ended(held)
        ended = await on.start("echo", topic="food")
        failed = await on.start("fail")
        await on.ended(ended, failed)
        assert await state(ended) == ("SUCCESS", "food")
        assert (await state(failed))[0] == "FAILED"
        assert await state("nobody") == ("NOT FOUND", None)
        asking = await on.start("ask", body={"humanInputWebhook": {"url": f"{on.receiver.url}/ask"}})
        while (await on.receiver.heard.get())[0] != "/ask":
            pass
        assert await state(asking) == ("STARTED", None)


async def test_missing_inputs_are_named(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        answer = await on.kickoff({"inputs": {"topic": "x"}})
        assert (answer.status, answer.body["details"]) == (422, {"missing_inputs": ["do"]})


async def test_declared_inputs_are_given_to_kickoffs_that_do_not_name_them(tmp_path: Path) -> None:
    declared = {"do": "echo", "topic": "by default", "year": None}
    async with crew_stage(tmp_path, inputs=declared) as on:
        assert (await on.get("/inputs")).body == {"inputs": [], "optional_inputs": ["do", "topic", "year"]}
        first, second = [await on.started({"inputs": inputs, "crewWebhookUrl": f"{on.receiver.url}/end"})
                         for inputs in ({}, {"topic": "mine"})]  # fmt: skip
        found = await on.ended(first, second)
        assert [one["result"]["output"] for one in found] == ["by default", "mine"]


async def test_forty_at_once_get_their_own_answers(tmp_path: Path) -> None:
    async with crew_stage(tmp_path, workers=2, threads=4) as on:
        ids = await asyncio.gather(*(on.start("echo", topic=f"topic {number}") for number in range(40)))
        found = await on.ended(*ids)
        assert [one["result"]["output"] for one in found] == [f"topic {number}" for number in range(40)]
        assert (await on.get("/stats")).body["succeeded"] == 40


async def test_progress_is_live(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    async with crew_stage(tmp_path) as on:
        kickoff_id = await on.start("tasks", pipe=str(gate.path))
        await gate.waited_at()
        assert await on.status(kickoff_id) == {
            "status": "running",
            "state": "STARTED",
            "current_task": "planning",
            "progress": {"completed_tasks": 1, "total_tasks": 2},
        }
        gate.open()
        (found,) = await on.ended(kickoff_id)
        assert found["result"]["tasks"] == [
            {"task_id": "research", "agent": "Researcher", "output": "found", "execution_time": 1.5},
            {"task_id": "planning", "agent": "Researcher", "output": "planned", "execution_time": 1.5},
        ]


async def test_a_flow_progresses_by_its_methods(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    async with crew_stage(tmp_path) as on:
        kickoff_id = await on.start("flow", pipe=str(gate.path))
        await gate.waited_at()
        found = await on.status(kickoff_id)
        assert (found["current_task"], found["progress"]) == ("research", {"completed_tasks": 1, "total_tasks": 2})
        gate.open()
        (found,) = await on.ended(kickoff_id)
        assert [task["task_id"] for task in found["result"]["tasks"]] == ["research"]


@pytest.mark.parametrize(
    ("do", "error"),
    [
        ("fail", "ValueError: no luck"),
        ("leave", "SystemExit: enough"),
        ("starve", "it ran out of memory (MemoryError)"),
        ("exit", "its worker process exited with code 7"),
        ("die", "its worker process was killed by SIGKILL (the machine may have run out of memory)"),
        ("input", "input() was called, and a worker has no terminal; take the value from"),
        ("import", "ModuleNotFoundError: No module named 'no_such_package'"),
    ],
)
async def test_a_failure_says_why_and_the_next_one_runs(tmp_path: Path, do: str, error: str) -> None:
    async with crew_stage(tmp_path) as on:
        found = await on.run(do)
        assert found["status"] == "error"
        assert found["error"].startswith(error)
        assert (await on.run("echo", topic="next"))["result"]["output"] == "next"
        assert (await on.get("/stats")).body["workers_lost"] == (do in {"exit", "die"})


async def test_a_worker_that_is_killed_ends_its_own_executions_only(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    async with crew_stage(tmp_path, workers=2, threads=1) as on:
        held = await on.start("hold", pipe=str(gate.path), topic="lives")
        await gate.waited_at()
        died = await on.start("die")
        (found,) = await on.ended(died)
        assert found["status"] == "error"
        gate.open()
        (found,) = await on.ended(held)
        assert found["result"]["output"] == "lives"


def framed(body: bytes, length: int | None = None) -> str:
    return ((len(body) if length is None else length).to_bytes(4) + body).hex()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (framed(b"", length=2**31), "it is larger than 8388608 bytes"),
        (framed(b"nonsense"), "it is not JSON, or nested too deeply (JSONDecodeError)"),
        (framed(b"\xff"), "it is not JSON, or nested too deeply (UnicodeDecodeError)"),
        (framed(b"[" * 100_000), "it is not JSON, or nested too deeply (RecursionError)"),
        (framed(b"[]"), "its kind is unknown"),
        (framed(b'{"kind": "Start", "kickoff_id": "k", "inputs": {}, "events": []}'), "its kind is unknown"),
        (framed(b'{"kind": "Note", "kickoff_id": "k", "text": 1}'), "a field is not text"),
        (framed(b'{"kind": "LoadFailed", "message": "no"}'), "LoadFailed is only valid before a worker is ready"),
    ],
)
async def test_a_crew_that_writes_to_its_pipe_costs_its_worker_only(tmp_path: Path, frame: str, reason: str) -> None:
    gate = Gate(tmp_path)
    async with crew_stage(tmp_path, workers=2, threads=1) as on:
        other = await on.start("hold", pipe=str(gate.path), topic="continues")
        await gate.waited_at()
        found = await on.run("forge", frame=frame)
        assert found["error"] == f"its worker process sent a malformed message: {reason}"
        gate.open()
        (found,) = await on.ended(other)
        assert found["result"]["output"] == "continues"
        assert (await on.run("echo", topic="next"))["result"]["output"] == "next"
        assert (await on.get("/stats")).body["workers_lost"] == 1


async def test_a_message_about_another_execution_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with crew_stage(tmp_path, workers=1, threads=2) as on:
        known = await on.start("echo", topic="first")
        await on.ended(known)
        body = f'{{"kind": "Ended", "kickoff_id": "{known}", "output": "forged"}}'.encode()
        found = await on.run("forge", frame=framed(body), topic="second")
        assert found["result"]["output"] == "second"
        assert (await on.status(known))["result"]["output"] == "first"
    assert "\\x1b[31mforged" in caplog.text  # a note cannot act on the terminal


async def test_a_second_pause_changes_nothing(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    async with crew_stage(tmp_path, threads=1) as on:
        webhooks = {"humanInputWebhook": {"url": f"{on.receiver.url}/ask"}, "stepWebhookUrl": f"{on.receiver.url}/step"}
        kickoff_id = await on.start("pause_twice", body=webhooks, pipe=str(gate.path))
        assert {(await on.receiver.heard.get())[0] for _ in range(2)} == {"/ask", "/step"}
        word = {"execution_id": kickoff_id, "task_id": "planning", "is_approve": True}
        urls = {"crewWebhookUrl": f"{on.receiver.url}/end"}
        assert (await on.call("POST", "/resume", json={**word, **urls})).status == 200
        await gate.waited_at()
        assert (await on.get("/stats")).body["running"] == 1
        gate.open()
        (found,) = await on.ended(kickoff_id)
        assert found["status"] == "completed"
        assert on.receiver.heard.empty()


@pytest.mark.parametrize("levels", [300, 100_000])
async def test_a_deeply_nested_result_is_stored_or_left_out(tmp_path: Path, levels: int) -> None:
    async with crew_stage(tmp_path, state=tmp_path / "s.db") as on:
        found = await on.run("deep", levels=levels)
        if levels == 300:
            value = found["result_json"]
            for _ in range(levels):
                (value,) = value
            assert value == "deep"
        else:
            assert (found["result"]["output"], found["result_json"]) == ("x", None)


async def test_output_that_json_has_no_form_for(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        found = await on.run("odd")
        assert found["result"]["output"] == "\ud800 and \x00"
        assert found["result_json"] == {"nan": None, "1": "one", "path": "/x", "half": "\ud800"}


async def test_crews_print_to_the_log_and_read_nothing(tmp_path: Path) -> None:
    async with crew_stage(tmp_path, log=tmp_path / "crew.log") as on:
        assert (await on.run("print"))["result"]["output"] == "read ''"
    assert "said by a crew" in (tmp_path / "crew.log").read_text()


async def test_a_worker_finds_its_folder_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("OF_ENV=1\nOTEL_SDK_DISABLED=of-env\n")
    monkeypatch.setenv("CREWAI_TRACING_ENABLED", "of-the-user")
    async with crew_stage(tmp_path, state=tmp_path / "s.db") as on:
        found = await on.run("where")
    assert found["result"]["output"] == str(tmp_path)
    assert found["result_json"] | {"path": []} == {
        "CREWAI_DISABLE_TELEMETRY": "true",
        "CREWAI_TRACING_ENABLED": "of-the-user",
        "CREWAI_STORAGE_DIR": f"{tmp_path}/s.db.crewai/worker-1",
        "OTEL_SDK_DISABLED": "of-env",
        "OF_ENV": "1",
        "path": [],
    }


async def test_nothing_is_left_running(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        found = await on.run("pid")
        worker, child = map(int, found["result"]["output"].split())
    await gone(worker)
    await gone(child)


async def gone(pid: int) -> None:
    """Wait until this process has ended; it need not be a child of this one."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    await asyncio.to_thread(select.select, [watched], [], [])
    os.close(watched)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("refused", "the stage is closed; open it"),
        ("raises", "the stage cannot be loaded: KeyError: 'missing'"),
        ("exits", "the stage cannot be served: its worker exited with code 3 while loading it"),
    ],
)
async def test_a_target_that_cannot_be_loaded(tmp_path: Path, attribute: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        async with crew_stage(tmp_path, attribute=attribute):
            pass
    assert str(caught.value).endswith(message)


async def test_beyond_the_queue_is_429(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    async with crew_stage(tmp_path, threads=1, max_queue=1) as on:
        running = await on.start("hold", pipe=str(gate.path))
        await gate.waited_at()
        waiting = await on.start("echo", topic="waited")
        assert (await on.status(waiting))["status"] == "pending"
        refused = await on.kickoff({"inputs": {"do": "echo"}})
        assert refused.status == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert "(--max-queue)" in refused.body["message"]
        gate.open()
        found = await on.ended(running, waiting)
        assert found[1]["result"]["output"] == "waited"
        assert (await on.kickoff({"inputs": {"do": "echo"}})).status == 200


async def test_a_repeated_key_is_the_same_execution(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        first = await on.start("echo", key="k")
        await on.ended(first)
        assert await on.start("echo", key="k") == first
        again = await on.kickoff({"inputs": {"do": "echo"}, "meta": {"a": 1}}, headers={"Idempotency-Key": "k"})
        assert again.body == {"kickoff_id": first}
        assert await on.start("echo", key="other") != first
        stats = (await on.get("/stats")).body
        assert (stats["kickoffs"], stats["repeated"]) == (2, 2)
        assert (await on.get("/inputs")).headers["Idempotency-Key"] == "supported"


async def test_an_overdue_execution_is_ended_and_others_in_its_worker_continue(tmp_path: Path) -> None:
    clock, slow, other = manual_clock(), Gate(tmp_path, "slow"), Gate(tmp_path, "other")
    async with crew_stage(tmp_path, clock=clock, threads=2, execution_timeout=60) as on:
        overdue = await on.start("hold", pipe=str(slow.path))
        await slow.waited_at()
        await clock.settle()
        clock.advance(30)
        neighbour = await on.start("hold", pipe=str(other.path), topic="goes on")
        await other.waited_at()
        await clock.settle()
        clock.advance(30)
        (found,) = await on.ended(overdue)
        slow.open()
        assert found["error"] == "it took longer than 60 s (--execution-timeout) and was ended"
        assert (await on.run("echo", topic="in the new worker"))["status"] == "completed"
        other.open()
        (found,) = await on.ended(neighbour)
        assert found["result"]["output"] == "goes on"


async def test_a_worker_that_cannot_start_again_is_tried_ever_less_often(tmp_path: Path) -> None:
    clock = manual_clock()
    async with crew_stage(tmp_path, clock=clock, attribute="once") as on:
        await on.run("die")
        for wait in (1.0, 2.0, 5.0):
            await clock.sleep_requested(wait)
            clock.advance(wait)
        waiting = await on.start("echo", topic="patient")
        await clock.sleep_requested(15.0)
        (tmp_path / "loaded").unlink()
        clock.advance(15)
        (found,) = await on.ended(waiting)
        assert found["result"]["output"] == "patient"


async def test_a_log_that_has_grown_large_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "logs" / "crew.log"
    for text in ("first", "second"):
        async with crew_stage(tmp_path, log=log):
            pass
        with log.open("a") as stream:
            stream.write(text)
    assert log.read_text() == "firstsecond"
    monkeypatch.setattr(processes, "MAX_LOG", 5)
    async with crew_stage(tmp_path, log=log):
        pass
    assert log.read_text() == ""


async def test_beyond_a_bound_executions_awaiting_human_input_keep_their_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "MAX_PAUSED", 1)
    async with crew_stage(tmp_path, threads=1) as on:
        human = {"humanInputWebhook": {"url": f"{on.receiver.url}/ask"}}
        asking = []
        for _ in range(2):
            asking.append(await on.start("ask", body=human))
            assert (await on.receiver.heard.get())[0] == "/ask"
        waiting = await on.start("echo", topic="at last")
        assert (await on.status(waiting))["status"] == "pending"
        word = {"execution_id": asking[0], "task_id": "planning", "is_approve": True}
        assert (await on.call("POST", "/resume", json=word)).status == 200
        (found,) = await on.ended(waiting)
        assert found["result"]["output"] == "at last"


async def test_too_many_requests_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with crew_stage(tmp_path) as on:
        monkeypatch.setattr(app, "MAX_REQUESTS", 0)
        answer = await on.get("/inputs")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BODY_SECONDS", 0.01)
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    async with crew_stage(tmp_path) as on:
        answer = await on.call("POST", "/kickoff", data=body())
        assert (answer.status, answer.body["error"]) == (408, "Request Timeout")


async def test_a_server_that_is_killed_takes_its_workers_along(tmp_path: Path) -> None:
    """A worker ends when its pipe does: the server need not do anything for it."""
    async with crew_stage(tmp_path) as on:
        found = await on.run("pid")
        worker, child = map(int, found["result"]["output"].split())
        executor = on.server._executor
        assert executor is not None
        (process,) = [one.process for one in executor._pool._workers]  # type: ignore[attr-defined]
        process.stdin.close()
        await process.wait()
        await gone(worker)
        await gone(child)


async def test_ctrl_c_on_the_terminal_is_not_for_workers(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        worker = int((await on.run("pid"))["result"]["output"].split()[0])
        assert os.getpgid(worker) == worker
        os.kill(worker, signal.SIGINT)
        assert int((await on.run("pid"))["result"]["output"].split()[0]) == worker


@pytest.mark.parametrize("of_demo", [{"fail_rate": 0.1}, {"max_running": 1}, {"seed": 1}], ids=str)
def test_options_of_the_demo_crew_are_refused_for_real_crews(tmp_path: Path, of_demo: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="demo crew"):
        ServeOptions(crew=CrewOptions(target=target(tmp_path)), **of_demo)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workers": 0}, "invalid workers: 0"),
        ({"threads": 257}, "invalid threads: 257"),
        ({"max_queue": 0}, "invalid max_queue: 0"),
        ({"keep_count": 0}, "invalid keep_count: 0"),
        ({"execution_timeout": 0.0}, "invalid execution timeout: 0"),
    ],
    ids=str,
)
def test_options_out_of_range(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CrewOptions(target=target(tmp_path), **wrong)


async def test_finished_tasks_of_a_failed_execution_are_answered(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        found = await on.run("fail_late")
        task = {"task_id": "research", "agent": "Researcher", "output": "found", "execution_time": 1.5}
        assert (found["status"], found["state"], found["error"]) == ("error", "FAILED", "ValueError: no luck")
        assert found["tasks"] == [task]


async def test_an_output_that_is_too_large_is_cut_and_kept_in_a_file(tmp_path: Path) -> None:
    async with crew_stage(tmp_path, state=tmp_path / "state.db") as on:
        kickoff_id = await on.start("huge")
        (found,) = await on.ended(kickoff_id)
        kept = tmp_path / f"state.db.crewai-outputs/{kickoff_id}.txt"
        cut = "This output was cut: it has 9,000,000 characters, and 500,000 can be stored."
        assert found["status"] == "completed"
        assert found["result"]["output"] == f"{'x' * 500_000}\n\n[batchcrew: {cut} The complete text is in {kept}.]"
        assert kept.read_text() == "x" * 9_000_000
        assert kept.stat().st_mode & 0o777 == 0o600


async def test_json_that_is_too_large_is_left_out_and_kept_next_to_the_log(tmp_path: Path) -> None:
    async with crew_stage(tmp_path, log=tmp_path / "crew.log") as on:
        kickoff_id = await on.start("huge_json")
        (found,) = await on.ended(kickoff_id)
        kept = tmp_path / f"crew.outputs/{kickoff_id}.json"
        assert found["result"]["output"].startswith(
            "short\n\n[batchcrew: Its JSON was left out, because it has 9,000,004"
        )
        assert found["result"]["output"].endswith(f"The complete text is in {kept}.]")
        assert json.loads(kept.read_text()) == ["x" * 9_000_000]


async def test_an_output_is_kept_if_its_json_cannot_be_written(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        found = await on.run("circular")
        assert (found["result"]["output"], found["result_json"]) == ("x", None)


async def test_a_task_output_that_is_too_large_is_cut(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        (task,) = (await on.run("huge_task"))["result"]["tasks"]
        assert task["output"] == f"{'y' * 500_000}\n\n[batchcrew: This output was cut: it has 9,000,000 characters.]"


async def test_loading_that_takes_too_long_ends_with_the_line_that_it_is_at(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has not been loaded after 0.5 s; it is at .*\.py:\d+") as caught:
        async with crew_stage(tmp_path, attribute="hangs", load_timeout=0.5, log=tmp_path / "crew.log"):
            pass
    assert str(caught.value).endswith(f"; log: {tmp_path}/crew.log")

"""A worker whose crew does what its inputs request, so that tests do not need CrewAI; run as a script."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchcrew.server.report import Input, StepReport, TaskReport
from batchcrew.server.target import Target
from batchcrew.server.worker.main import work
from batchcrew.server.worker.running import Result, Running, TargetError
from batchcrew.server.worker.workspace import current_workspace
from batchcrew.server.workers.messages import (
    LibraryEvent,
    MethodEnded,
    MethodStarted,
    Note,
    Paused,
    Ready,
    Step,
    TaskEnded,
    TaskStarted,
)

TASK = TaskReport(
    task_id="research",
    agent="Researcher",
    output="found",
    execution_time=1.5,
    description="Find it.",
    expected_output="It.",
    summary="Find it...",
    output_json={"a": 1},
)
STEP = StepReport(task_id="research", agent="Researcher", prompt="Find it.", thought="It must be here.")
TOOL = replace(STEP, prompt="", thought="", tool="search", tool_input="{'q': 'it'}", result="here")


class Obedient:
    """Implements `Served`."""

    def description(self, *, details: bool = False) -> Ready:
        return Ready(
            name="the stage",
            what="crew",
            inputs=(Input(name="do"), Input(name="topic", required=False)),
            total=2,
            events=("task_started", "task_completed", "llm_call_completed"),
        )

    def run(self, running: Running) -> Result:
        wanted = running.inputs
        found: Result = getattr(self, f"do_{wanted['do']}")(running, wanted)
        return found

    def do_echo(self, running: Running, wanted: Any) -> Result:
        running.usage = {"total_tokens": 3, "prompt_tokens": 2, "completion_tokens": 1}
        return Result(output=str(wanted.get("topic", "")), result_json={"topic": wanted.get("topic")})

    def do_hold(self, running: Running, wanted: Any) -> Result:
        """Wait until the test has opened the pipe for writing and closed it."""
        Path(wanted["pipe"]).read_text()
        return self.do_echo(running, wanted)

    def do_timed(self, running: Running, wanted: Any) -> Result:
        """Take $SECONDS, and write a line to the file $LOG at the beginning and at the end. $HOLD makes it endless."""
        with Path(os.environ["LOG"]).open("a", encoding="utf-8") as log:
            print("begun", wanted["topic"], file=log, flush=True)
            threading.Event().wait(None if os.environ.get("HOLD") else float(os.environ["SECONDS"]))
            print("ended", wanted["topic"], file=log, flush=True)
        return self.do_echo(running, wanted)

    def do_tasks(self, running: Running, wanted: Any) -> Result:
        mine = running.kickoff_id
        running.send(TaskStarted(kickoff_id=mine, task_id="research"))
        self._event(running, "task_started", {"n": 1})
        running.send(Step(kickoff_id=mine, step=STEP))
        running.send(Step(kickoff_id=mine, step=TOOL))
        running.send(TaskEnded(kickoff_id=mine, task=TASK))
        self._event(running, "task_completed", {"n": 2})
        running.send(TaskStarted(kickoff_id=mine, task_id="planning"))
        if "pipe" in wanted:
            Path(wanted["pipe"]).read_text()
        running.send(TaskEnded(kickoff_id=mine, task=replace(TASK, task_id="planning", output="planned")))
        return self.do_echo(running, wanted)

    def do_flow(self, running: Running, wanted: Any) -> Result:
        mine = running.kickoff_id
        for method in ("begin", "go_on", "end"):
            running.send(MethodStarted(kickoff_id=mine, method=method))
            if method == "go_on":
                running.send(TaskStarted(kickoff_id=mine, task_id="research"))
                Path(wanted["pipe"]).read_text()
                running.send(TaskEnded(kickoff_id=mine, task=TASK))
            running.send(MethodEnded(kickoff_id=mine, method=method))
        return self.do_echo(running, wanted)

    def do_flood(self, running: Running, wanted: Any) -> Result:
        for number in range(wanted["count"]):
            self._event(running, "llm_call_completed", {"n": number})
        return self.do_echo(running, wanted)

    def _event(self, running: Running, kind: str, data: Any) -> None:
        if kind in running.events:
            running.send(
                LibraryEvent(
                    kickoff_id=running.kickoff_id,
                    event_id=f"{kind}-{data['n']}",
                    timestamp="2027-01-15T08:00:00+00:00",
                    type=kind,
                    data=data,
                )
            )

    def do_ask(self, running: Running, wanted: Any) -> Result:
        """Request human input until the output is approved."""
        said: list[str] = []
        while True:
            answer = running.wait_for_human(task_id="planning", agent="Planner", output=f"draft {len(said) + 1}")
            said += [answer.text] if answer.text else []
            if answer.approved:
                break
        return Result(output="; ".join(said) or "at once")

    def do_ask_and_hold(self, running: Running, wanted: Any) -> Result:
        running.wait_for_human(task_id="planning", agent="Planner", output="draft")
        return self.do_hold(running, wanted)

    def do_fail(self, running: Running, wanted: Any) -> Result:
        raise ValueError("no luck")

    def do_fail_late(self, running: Running, wanted: Any) -> Result:
        running.send(TaskEnded(kickoff_id=running.kickoff_id, task=TASK))
        raise ValueError("no luck")

    def do_leave(self, running: Running, wanted: Any) -> Result:
        sys.exit("enough")

    def do_starve(self, running: Running, wanted: Any) -> Result:
        raise MemoryError

    def do_exit(self, running: Running, wanted: Any) -> Result:
        os._exit(7)

    def do_die(self, running: Running, wanted: Any) -> Result:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def do_odd(self, running: Running, wanted: Any) -> Result:
        value = {"nan": float("nan"), 1: "one", (1, 2): "left out", "path": Path("/x"), "half": "\ud800"}
        return Result(output="\ud800 and \x00", result_json=value)

    def do_circular(self, running: Running, wanted: Any) -> Result:
        value: list[Any] = [float("nan"), {(1, 2): 3}]
        value.append(value)
        return Result(output="x", result_json=value)

    def do_huge(self, running: Running, wanted: Any) -> Result:
        return Result(output="x" * 9_000_000)

    def do_huge_json(self, running: Running, wanted: Any) -> Result:
        return Result(output="short", result_json=["x" * 9_000_000])

    def do_huge_task(self, running: Running, wanted: Any) -> Result:
        running.send(TaskEnded(kickoff_id=running.kickoff_id, task=replace(TASK, output="y" * 9_000_000)))
        return Result(output="done")

    def do_input(self, running: Running, wanted: Any) -> Result:
        """Call `input()` as a tool does, whose exceptions an agent takes for a failed tool."""
        with contextlib.suppress(Exception):
            input("name? ")
        return Result(output="paid")

    def do_import(self, running: Running, wanted: Any) -> Result:
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401

        raise AssertionError

    def do_seen(self, running: Running, wanted: Any) -> Result:
        """Return what an execution sees of others, and change it, with code of the project."""
        project = Path("seen.py").resolve()
        code: dict[str, Any] = {}
        exec(compile(project.read_text(), project, "exec"), code)  # noqa: S102 - the test's own file
        return Result(output="", result_json=code["seen"](running.kickoff_id))

    def do_write(self, running: Running, wanted: Any) -> Result:
        """Write into the project, and an artifact."""
        Path("notes.txt").write_text("x")
        workspace = current_workspace()
        assert workspace is not None
        workspace.artifacts.path(wanted["topic"]).write_text(running.kickoff_id)
        return Result(output="")

    def do_print(self, running: Running, wanted: Any) -> Result:
        print("said by a crew", flush=True)
        read = sys.stdin.read()
        return Result(output=f"read {read!r}")

    def do_pid(self, running: Running, wanted: Any) -> Result:
        """The worker's id and that of a process that it has started."""
        child = subprocess.Popen(["sleep", "3600"])
        return Result(output=f"{os.getpid()} {child.pid}")

    def do_forge(self, running: Running, wanted: Any) -> Result:
        """Write to the server's pipe, past the worker; then send a note and end as always."""
        os.write(running.line._write, bytes.fromhex(wanted["frame"]))
        running.send(Note(kickoff_id=running.kickoff_id, text="\x1b[31mforged\n"))
        return self.do_echo(running, wanted)

    def do_pause_twice(self, running: Running, wanted: Any) -> Result:
        """Report a second pause while the first one lasts, and wait for one answer."""
        for task_id in ("planning", "other"):
            running.send(Paused(kickoff_id=running.kickoff_id, task_id=task_id, agent="Planner", output="draft"))
        running.send(Step(kickoff_id=running.kickoff_id, step=STEP))
        running.answers.get()
        return self.do_hold(running, wanted)

    def do_deep(self, running: Running, wanted: Any) -> Result:
        value: Any = "deep"
        for _ in range(wanted["levels"]):
            value = [value]
        return Result(output="x", result_json=value)

    def do_where(self, running: Running, wanted: Any) -> Result:
        names = (
            "CREWAI_DISABLE_TELEMETRY",
            "CREWAI_TRACING_ENABLED",
            "CREWAI_STORAGE_DIR",
            "OTEL_SDK_DISABLED",
            "OF_ENV",
        )
        environment = {name: os.environ.get(name) for name in names}
        return Result(output=str(Path.cwd()), result_json={**environment, "path": sys.path[:2]})


def load(target: Target, storage: Path | None) -> Obedient:
    match target.attribute:
        case "refused":
            raise TargetError("the stage is closed; open it")
        case "raises":
            raise KeyError("missing")
        case "hangs":
            threading.Event().wait()
            raise AssertionError
        case "exits":
            os._exit(3)
        case "once":
            if Path("loaded").exists():
                os._exit(3)
            Path("loaded").touch()
            return Obedient()
        case _:
            return Obedient()


if __name__ == "__main__":
    work(lambda first, storage, warn: load(first.target, storage))

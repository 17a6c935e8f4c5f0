"""What runs in a worker process: it loads the target once, and runs each execution in a thread of its own.

The server is at the other end of stdin and stdout. A worker whose server has gone ends at once, with all that it
has started. It leaves signals from the terminal to its server (it is in a session of its own).
"""

import os
import queue
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from batchcrew.server.targets import Target
from batchcrew.server.workers.messages import Line, Message, MessageTooLarge

ENVIRONMENT = {
    "CREWAI_DISABLE_TELEMETRY": "true",  # else it looks up a host, and takes SIGINT and SIGTERM over
    "CREWAI_TRACING_ENABLED": "false",  # else it asks for consent
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "OTEL_SDK_DISABLED": "true",
}
"""Set before crewai is imported, unless the user has set them."""
MAX_ERROR = 4000
"""Characters of an error that are told."""


class TargetError(Exception):
    """The target cannot be served; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person has said."""

    approved: bool
    text: str
    """Never empty where it is not approved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an execution has come to."""

    output: str
    result_json: Any = None


@dataclass(slots=True, kw_only=True)
class Running:
    """One execution in its thread."""

    kickoff_id: str
    inputs: Mapping[str, Any]
    events: frozenset[str]
    """Names of the library's events that are passed on."""
    line: Line
    answers: "queue.SimpleQueue[Answer]" = field(default_factory=queue.SimpleQueue)
    asking: threading.Lock = field(default_factory=threading.Lock)
    """A person is asked one thing at a time."""
    usage: dict[str, int] = field(default_factory=dict)
    """Tokens, as far as the library has said."""

    def tell(self, kind: str, **what: Any) -> None:
        """Send what has happened."""
        try:
            self.line.send({"kind": kind, "id": self.kickoff_id, **what})
        except MessageTooLarge as error:
            self.line.send({"kind": "note", "id": self.kickoff_id, "text": f"a {kind} message was left out: {error}"})

    def ask(self, *, task_id: str, agent: str, output: str) -> Answer:
        """Wait for a person's answer to a task's output."""
        with self.asking:
            self.tell("paused", task_id=task_id, agent=agent, output=output)
            return self.answers.get()


class Served(Protocol):
    """A loaded target."""

    def description(self) -> dict[str, Any]:
        """`name`, `inputs`, `total` tasks and the names of `events`."""
        ...

    def run(self, running: Running) -> Result:
        """Run a pristine crew; raises what it raises."""
        ...


def main() -> None:
    """A worker of CrewAI crews."""
    work(_load_crewai)


def _load_crewai(target: Target, storage: Path | None) -> Served:
    from batchcrew.server.worker import loader as library

    return library.load(target, storage)


def work(load: Callable[[Target, Path | None], Served]) -> None:
    """Serve until the server has gone.

    Args:
        load: takes the target, and the folder for the library's files if it is this worker's own.
    """
    line = _take_streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = line.receive()
    if order is None:
        return
    target = Target.from_json(order["target"])
    try:
        storage = _settle(target, order["storage"])
        served = load(target, storage)
        description = served.description()
    except TargetError as error:
        line.send({"kind": "refused", "message": str(error)})
        return
    except BaseException as error:  # noqa: BLE001 - whatever a target does at its import is told to the user
        traceback.print_exc()
        line.send({"kind": "refused", "message": f"{target.name} cannot be loaded: {told(error)}"})
        return
    line.send({"kind": "ready", **description})
    _serve(line, served)


def _take_streams() -> Line:
    """The two ends of the server's pipes; what crews print goes to stderr, and they read nothing."""
    line = Line(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return line


def _settle(target: Target, storage: str) -> Path | None:
    """Folder, environment and import paths, before anything of the target is imported.

    The storage folder is returned, unless the user has named another.
    """
    os.chdir(target.folder)
    _read_env(Path(target.folder) / ".env")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    sys.path[:0] = target.paths
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no dump of prompts and keys
    if os.environ.setdefault("CREWAI_STORAGE_DIR", storage) != storage:
        return None
    return Path(storage)


def _read_env(file: Path) -> None:
    """A project's keys stand in its `.env`; what the environment says wins."""
    if file.is_file():
        from dotenv import load_dotenv

        load_dotenv(file, override=False)


def _serve(line: Line, served: Served) -> None:
    executions: dict[str, Running] = {}
    while (message := line.receive()) is not None:
        if message["kind"] == "start":
            running = Running(
                kickoff_id=message["id"], inputs=message["inputs"], events=frozenset(message["events"]), line=line
            )
            executions[running.kickoff_id] = running
            threading.Thread(target=_run, args=(running, served, executions), name=message["id"], daemon=True).start()
        elif message["kind"] == "answer" and message["id"] in executions:
            executions[message["id"]].answers.put(Answer(message["approved"], message["text"]))
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # the server has gone: what the crews have started goes too
    os._exit(1)


def _run(running: Running, served: Served, executions: dict[str, Running]) -> None:
    started = time.monotonic()
    ended: Message = {"kind": "ended", "id": running.kickoff_id}
    try:
        result = served.run(running)
        ended |= {"output": result.output, "result_json": result.result_json}
    except MemoryError:
        ended["error"] = "it has run out of memory (MemoryError)"
    except BaseException as error:  # noqa: BLE001 - SystemExit too: a crew's end is never a worker's
        traceback.print_exc()
        ended["error"] = told(error)
    ended["usage"] = running.usage
    ended["execution_time"] = round(time.monotonic() - started, 3)
    executions.pop(running.kickoff_id, None)
    try:
        running.line.send(ended)
    except Exception as error:  # noqa: BLE001 - too large, circular, or a __str__ that raises: an end is told always
        why = "is too large" if isinstance(error, MessageTooLarge) else "is nothing that can be written as JSON"
        for name in ("output", "result_json"):
            ended.pop(name, None)
        running.line.send({**ended, "error": f"its output {why}: {told(error)}"})


def told(error: BaseException) -> str:
    """An exception in a line or a few."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return text if len(text) <= MAX_ERROR else text[: MAX_ERROR - 1] + "…"

"""The program of a worker process: it loads the target once, and runs each execution in its own thread.

The server is at the other end of stdin and stdout. When the server ends, the worker ends immediately, with all
processes that it started. It ignores the terminal's signals (it has its own session).
"""

import io
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from batchcrew.base.edge import FRAMES, Edge
from batchcrew.server.target import Target
from batchcrew.server.worker.artifacts import Artifacts
from batchcrew.server.worker.causes import LoadWatch, MissingPackage, NeedsTerminal, described, place_of, refuse_input
from batchcrew.server.worker.declared_inputs import WithDeclaredInputs
from batchcrew.server.worker.ends import send_end
from batchcrew.server.worker.env_file import read_env
from batchcrew.server.worker.running import MAX_ERROR, Running, Served, TargetError, describe_error
from batchcrew.server.worker.side_effects import SideEffects
from batchcrew.server.worker.workspace import EXECUTIONS, Workspace, clear, working_in
from batchcrew.server.workers.frames import Line
from batchcrew.server.workers.messages import (
    Ended,
    HumanAnswer,
    Load,
    LoadFailed,
    Start,
    Warned,
)

MAX_WARNINGS = 100
"""Warnings of one worker."""
ENVIRONMENT = {
    "CREWAI_DISABLE_TELEMETRY": "true",  # telemetry looks up a host, and replaces the handlers of SIGINT and SIGTERM
    "CREWAI_TRACING_ENABLED": "false",  # tracing prompts for consent
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "OTEL_SDK_DISABLED": "true",
}
"""Set before crewai is imported, unless you have set them."""


def main() -> None:
    """Run a worker for CrewAI crews."""
    work(_load_crewai)


def _load_crewai(first: Load, storage: Path | None, warn: Callable[[str], None]) -> Served:
    from batchcrew.server.worker import loader

    flows = Path(first.flows) if first.flows and storage else None  # if you have set a folder, it is for them too
    alone = first.single_use and storage is not None
    return loader.load(
        first.target, storage, flows=flows, memory=first.memory, alone=alone, inputs=first.inputs, warn=warn
    )


def work(load: Callable[[Load, Path | None, Callable[[str], None]], Served]) -> None:
    """Run executions until the server has ended.

    Args:
        load: loads the target. Its second argument is the folder for the library's files, if only this worker uses it;
            its third one sends a warning.
    """
    line = _take_streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    first = line.receive()
    if not isinstance(first, Load):
        return
    target = first.target
    refuse_input()

    def late(place: str) -> None:
        message = f"{target.name} has not been loaded after {first.seconds:g} s; it is at {place}"
        line.send(LoadFailed(message=_with_log(message, first)))
        os._exit(1)

    warn = Warnings(line)
    watch = LoadWatch(first.seconds, target.folder, late)
    try:
        clear(Path(first.storage), everything=first.single_use)
        storage = _prepare(target, first.storage)
        served: Served = WithDeclaredInputs(load(first, storage, warn), first.inputs)
        description = served.description(details=first.describe)
    except BaseException as error:  # noqa: BLE001 - any exception of the target's import is reported
        watch.loaded()
        line.send(LoadFailed(message=_load_failure(error, first)))
        return
    watch.loaded()
    line.send(description)
    own = (*first.own, os.environ.get("CREWAI_STORAGE_DIR", first.storage))
    effects = SideEffects(target.folder, own, shared=not first.single_use, warn=warn)
    effects.watch()
    _serve(line, served, first, effects)


class Warnings:
    """Sends each warning to the server once.

    Args:
        line: the server's pipes.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._sent: set[str] = set()

    def __call__(self, text: str) -> None:
        """Send the warning, unless it was sent before."""
        if text not in self._sent and len(self._sent) < MAX_WARNINGS:
            self._sent.add(text)
            self._line.send(Warned(text=text[:MAX_ERROR]))


def _load_failure(error: BaseException, first: Load) -> str:
    """Return why the target cannot be loaded, with its line and the log if there is a traceback in it."""
    if isinstance(error, TargetError) and error.__cause__ is None:
        return str(error)
    traceback.print_exception(error)
    if isinstance(error, TargetError):
        assert error.__cause__ is not None  # noqa: S101 - for mypy
        place = place_of(error.__cause__, first.target.folder)
        return _with_log(f"{error}; at {place}" if place else str(error), first)
    return _with_log(f"{first.target.name} cannot be loaded: {described(error, first.target.folder)}", first)


def _with_log(message: str, first: Load) -> str:
    return f"{message}; log: {first.log}" if first.log else message


def _take_streams() -> Line:
    """Return the server's pipes. From now on, what crews print goes to stderr, and they read an empty stdin."""
    line = Line(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    raw = io.FileIO(2, "w", closefd=False)
    edge = Edge(raw, "utf-8", kept=FRAMES if raw.isatty() else None)  # crews print what language models write
    sys.stdout = sys.stderr = io.TextIOWrapper(edge, "utf-8", "backslashreplace", newline="\n", line_buffering=True)
    return line


def _prepare(target: Target, storage: str) -> Path | None:
    """Set the folder, the environment and the import paths, before anything of the target is imported.

    Returns:
        The storage folder; None if you have set another one.
    """
    os.chdir(target.folder)
    read_env(Path(target.folder) / ".env")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    sys.path[:0] = target.paths
    installed = (at for at, path in enumerate(sys.path) if path.endswith(("site-packages", "dist-packages")))
    at = next(installed, len(sys.path))
    sys.path[at:at] = target.siblings
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no dump of prompts and keys
    if os.environ.setdefault("CREWAI_STORAGE_DIR", storage) != storage:
        return None
    return Path(storage)


def _serve(line: Line, served: Served, first: Load, effects: SideEffects) -> None:
    executions: dict[str, Running] = {}
    while (message := line.receive()) is not None:
        match message:
            case Start():
                running = Running(
                    kickoff_id=message.kickoff_id, inputs=message.inputs, events=frozenset(message.events), line=line
                )
                executions[running.kickoff_id] = running
                arguments = (running, served, executions, first, _workspace(message, first, effects))
                threading.Thread(target=_run, args=arguments, name=running.kickoff_id, daemon=True).start()
            case HumanAnswer() if message.kickoff_id in executions:
                executions[message.kickoff_id].answers.put(message)
            case _:  # an execution that has ended
                pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # the server has ended: the processes that the crews started end too
    os._exit(1)


def _workspace(start: Start, first: Load, effects: SideEffects) -> Workspace:
    artifacts = Artifacts(Path(start.artifacts) if start.artifacts else None, first.target.folder)
    workspace = Workspace(start.kickoff_id, Path(first.storage) / EXECUTIONS / start.kickoff_id, artifacts)
    effects.began(workspace)
    workspace.at_end(lambda: effects.ended(workspace))
    return workspace


def _run(running: Running, served: Served, executions: dict[str, Running], first: Load, workspace: Workspace) -> None:
    started = time.monotonic()
    ended = Ended(kickoff_id=running.kickoff_id)
    try:
        with working_in(workspace):
            result = served.run(running)
        ended = replace(ended, output=result.output, result_json=result.result_json)
    except MemoryError:
        ended = replace(ended, error="it ran out of memory (MemoryError)")
    except (NeedsTerminal, MissingPackage, ImportError) as error:  # every row would fail like this
        traceback.print_exc()
        ended = replace(ended, error=_with_log(described(error, first.target.folder), first))
    except BaseException as error:  # noqa: BLE001 - SystemExit too: a crew never ends its worker
        traceback.print_exc()
        ended = replace(ended, error=describe_error(error))
    ended = replace(
        ended,
        usage=dict(running.usage),
        execution_time=round(time.monotonic() - started, 3),
        artifacts=workspace.artifacts.files(),
    )
    executions.pop(running.kickoff_id, None)
    send_end(running.line, ended, Path(first.outputs) if first.outputs else None)

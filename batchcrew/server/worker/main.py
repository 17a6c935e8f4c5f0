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
from batchcrew.server.targets import Target
from batchcrew.server.worker.running import Running, Served, TargetError, describe_error
from batchcrew.server.workers.frames import Line, MessageTooLarge
from batchcrew.server.workers.messages import (
    Ended,
    HumanAnswer,
    Load,
    LoadFailed,
    Start,
)

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


def _load_crewai(target: Target, storage: Path | None) -> Served:
    from batchcrew.server.worker import loader

    return loader.load(target, storage)


def work(load: Callable[[Target, Path | None], Served]) -> None:
    """Run executions until the server has ended.

    Args:
        load: loads the target. Its second argument is the folder for the library's files, if only this worker uses it.
    """
    line = _take_streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    first = line.receive()
    if not isinstance(first, Load):
        return
    target = first.target
    try:
        storage = _prepare(target, first.storage)
        served = load(target, storage)
        description = served.description()
    except TargetError as error:
        line.send(LoadFailed(message=str(error)))
        return
    except BaseException as error:  # noqa: BLE001 - any exception of the target's import is reported
        traceback.print_exc()
        line.send(LoadFailed(message=f"{target.name} cannot be loaded: {describe_error(error)}"))
        return
    line.send(description)
    _serve(line, served)


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
    _read_env(Path(target.folder) / ".env")
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


def _read_env(file: Path) -> None:
    """Read a project's `.env`, which contains its keys; the environment takes precedence."""
    if file.is_file():
        from dotenv import load_dotenv

        load_dotenv(file, override=False)


def _serve(line: Line, served: Served) -> None:
    executions: dict[str, Running] = {}
    while (message := line.receive()) is not None:
        match message:
            case Start():
                running = Running(
                    kickoff_id=message.kickoff_id, inputs=message.inputs, events=frozenset(message.events), line=line
                )
                executions[running.kickoff_id] = running
                arguments = (running, served, executions)
                threading.Thread(target=_run, args=arguments, name=running.kickoff_id, daemon=True).start()
            case HumanAnswer() if message.kickoff_id in executions:
                executions[message.kickoff_id].answers.put(message)
            case _:  # an execution that has ended
                pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # the server has ended: the processes that the crews started end too
    os._exit(1)


def _run(running: Running, served: Served, executions: dict[str, Running]) -> None:
    started = time.monotonic()
    ended = Ended(kickoff_id=running.kickoff_id)
    try:
        result = served.run(running)
        ended = replace(ended, output=result.output, result_json=result.result_json)
    except MemoryError:
        ended = replace(ended, error="it ran out of memory (MemoryError)")
    except BaseException as error:  # noqa: BLE001 - SystemExit too: a crew never ends its worker
        traceback.print_exc()
        ended = replace(ended, error=describe_error(error))
    ended = replace(ended, usage=dict(running.usage), execution_time=round(time.monotonic() - started, 3))
    executions.pop(running.kickoff_id, None)
    try:
        running.line.send(ended)
    except Exception as error:  # noqa: BLE001 - too large, circular, or a __str__ that raises: the end is always sent
        why = "is too large" if isinstance(error, MessageTooLarge) else "cannot be written as JSON"
        problem = f"its output {why}: {describe_error(error)}"
        running.line.send(replace(ended, output="", result_json=None, error=problem))

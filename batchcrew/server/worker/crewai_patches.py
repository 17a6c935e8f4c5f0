"""Changes to how CrewAI stores its files in a worker: faster locks, one place for the states of flows, no log.

The library guards its files with lock files that it polls every quarter of a second. In a folder that only one process
uses, a lock of that process is as safe and costs nothing.
"""

import functools
import hashlib
import os
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchcrew.server.worker.causes import MissingPackage
from batchcrew.server.worker.crewai_versions import found


def lock_within(folder: Path) -> None:
    """Use locks of this process for the files in this folder: those whose lock has the folder's path in its name."""
    if os.environ.get("REDIS_URL"):  # the locks are in Redis, shared with other machines
        return
    set_lock_backend = found("crewai_core.lock_store:set_lock_backend")
    other_lock = found("portalocker:Lock")
    if set_lock_backend is None or other_lock is None:  # before 1.14, there is no lock to replace
        return
    own = os.path.realpath(folder) + os.sep
    locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @contextmanager
    def backend(name: str, *, timeout: float = 120.0) -> Iterator[None]:
        if own in name:
            lock = locks[name]
            if not lock.acquire(timeout=timeout):
                raise TimeoutError(f"the lock {name} was not free for {timeout:g} s")
            try:
                yield
            finally:
                lock.release()
        else:
            with other_lock(_file(name), timeout=timeout):
                yield

    set_lock_backend(backend)


def _file(name: str) -> Path:
    """Return the library's own lock file for this name, which its other processes use too."""
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return Path(tempfile.gettempdir()) / f"crewai:{digest}.lock"


def keep_flows_in(folder: Path) -> None:
    """Keep the states of flows (`@persist`) in this folder, unless a flow names a file.

    All workers use it, so that a flow with a known id continues in any of them. The library locks the file, also
    between processes, because it is not in the folder of `lock_within`.
    """

    def here() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    persistence = found("crewai.flow.persistence.sqlite:SQLiteFlowPersistence")
    if persistence is None:
        return
    module: Any = sys.modules[persistence.__module__]
    if hasattr(module, "db_storage_path"):
        module.db_storage_path = here
        return
    original = persistence.__init__  # before 1.0, it imports the function each time

    @functools.wraps(original)
    def init(self: Any, db_path: str | None = None) -> None:
        original(self, db_path or str(Path(here()) / "flow_states.db"))

    persistence.__init__ = init


def omit_log() -> None:
    """Do not write the log of task outputs for `crewai replay`.

    Each kickoff deletes the previous log. Of several concurrent kickoffs it would contain parts of each, and writing it
    takes half of a kickoff's time.
    """
    handler = found("crewai.utilities.task_output_storage_handler:TaskOutputStorageHandler")
    if handler is not None:
        handler.reset = lambda self: None
        handler.update = lambda self, task_index, log: None


def end_at_missing_packages() -> None:
    """Fail an execution when one of its tools needs a package that is not installed.

    An agent would take it for a failed call, and call its model and the tool again up to its limit, for each row.
    """
    tools = (found("crewai.tools.base_tool:BaseTool"), found("crewai.tools.base_tool:Tool"))
    structured = found("crewai.tools.structured_tool:CrewStructuredTool")
    for kind, names in ((tools[0], ("run", "arun")), (tools[1], ("run", "arun")), (structured, ("invoke", "ainvoke"))):
        for name, wrap in zip(names, (_ending, _ending_async), strict=True):
            original = getattr(kind, name, None)
            if original is not None:  # tools are not async before 1.0
                setattr(kind, name, wrap(original))


def _ending(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return original(*arguments, **named)
        except ImportError as error:
            raise MissingPackage from error

    return call


def _ending_async(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def call(*arguments: Any, **named: Any) -> Any:
        try:
            return await original(*arguments, **named)
        except ImportError as error:
            raise MissingPackage from error

    return call

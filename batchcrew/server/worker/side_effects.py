"""Notices changes that executions make outside: to files of the project, the current folder, the environment.

The executions of a worker share its process, so such a change reaches all of them. It is reported once, and a change of
the folder or the environment is undone when its execution has ended.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchcrew.server.worker.causes import is_own, own_place
from batchcrew.server.worker.workspace import Workspace, current_workspace

_WRITING = os.O_WRONLY | os.O_RDWR
_NOT_OURS = frozenset({"__pycache__", "site-packages", ".venv", "venv", ".git", ".pytest_cache"})
"""Folders in a project whose files no row is answered from."""
_PASSED_ON = ("/os.py", "<frozen os>", "/_collections_abc.py", "/contextlib.py", "/dotenv/main.py", "/mock.py")
"""Files whose code changes the environment for its caller."""
_FILE = "all rows write the same one; as the `output_file` of a task, each job keeps one"
_PROCESS = "`isolation: process` gives each execution a process alone"


class SideEffects:
    """Notices and undoes them, in the process of one worker.

    Args:
        folder: the project's.
        own: folders and files that batchcrew writes.
        shared: whether executions share the process; else only files are reported.
        warn: reports a text, each once.
    """

    def __init__(self, folder: str, own: tuple[str, ...], *, shared: bool, warn: Callable[[str], None]) -> None:
        self._folder, self._warn = os.path.realpath(folder), warn
        self._own = tuple(map(os.path.realpath, own))
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._moved: set[str] = set()
        """Executions that have changed the current folder; empty if it is not known which one."""
        self._changed: dict[str, set[str]] = {}
        """Names of variables that each execution has changed."""
        self._environment = dict(os.environ)
        self._busy = threading.local()
        self._handlers: dict[str, Callable[[tuple[Any, ...]], None]] = {"open": self._opened}
        if shared:
            self._handlers |= {
                "os.chdir": self._moving,
                "os.putenv": lambda given: self._setting(given[0], given[1]),
                "os.unsetenv": lambda given: self._setting(given[0], None),
            }

    def watch(self) -> None:
        """Begin to notice changes; this cannot be ended."""
        sys.addaudithook(self._hook)

    def began(self, workspace: Workspace) -> None:
        """Note that an execution runs."""
        with self._lock:
            self._running.add(workspace.kickoff_id)

    def ended(self, workspace: Workspace) -> None:
        """Undo what the execution has changed, and if no other one runs, what is not known to be of any."""
        self._busy.now = True
        try:
            with self._lock:
                self._running.discard(workspace.kickoff_id)
                of = [workspace.kickoff_id] if self._running else [workspace.kickoff_id, ""]
                moved = not self._moved.isdisjoint(of)
                self._moved.difference_update(of)
                names = set[str]().union(*(self._changed.pop(one, ()) for one in of))
            if moved:
                with contextlib.suppress(OSError):  # it may have been removed
                    os.chdir(self._folder)
            for name in names:
                if name in self._environment:
                    os.environ[name] = self._environment[name]
                else:
                    os.environ.pop(name, None)
        finally:
            self._busy.now = False

    def _hook(self, event: str, given: tuple[Any, ...]) -> None:
        handle = self._handlers.get(event)
        if handle is None or not self._running or getattr(self._busy, "now", False):
            return
        self._busy.now = True  # what the handler itself does is not looked at
        try:
            handle(given)
        except Exception as error:  # noqa: BLE001 - an exception here would fail what the crew's code does
            self._warn(f"a change could not be checked: {type(error).__name__}")
        finally:
            self._busy.now = False

    def _opened(self, given: tuple[Any, ...]) -> None:
        path, flags = given[0], given[2]
        if not isinstance(flags, int) or not flags & _WRITING or not isinstance(path, str | bytes):
            return
        full = os.path.realpath(os.fsdecode(path))
        if not _below(full, self._folder) or any(_below(full, own) for own in self._own):
            return
        parts = Path(full).relative_to(self._folder).parts
        if _NOT_OURS.isdisjoint(parts):
            self._warn(f"executions write the file {'/'.join(parts)} of the project{self._where()}; {_FILE}")

    def _moving(self, given: tuple[Any, ...]) -> None:
        with self._lock:
            self._moved.add(self._execution())
        self._warn(f"executions change the current folder, which those of a worker share{self._where()}; {_PROCESS}")

    def _setting(self, name: Any, value: Any) -> None:
        key = os.fsdecode(name)
        new = None if value is None else os.fsdecode(value)
        if os.environ.get(key) == new or not self._by_the_project():
            return
        with self._lock:
            self._changed.setdefault(self._execution(), set()).add(key)
        what = f"the variable {key} of the environment, which those of a worker share"
        self._warn(f"executions change {what}{self._where()}; {_PROCESS}")

    def _execution(self) -> str:
        workspace = current_workspace()
        return "" if workspace is None else workspace.kickoff_id

    def _by_the_project(self) -> bool:
        """Return whether the project's code does this for an execution: not a library, and no module at its import."""
        frame = sys._getframe(1)  # noqa: SLF001 - the documented way to the caller's frame
        while frame.f_back is not None:
            frame = frame.f_back
            file = frame.f_code.co_filename
            if file != __file__ and not file.endswith(_PASSED_ON):
                return is_own(file, self._folder) and frame.f_code.co_name != "<module>"
        return False

    def _where(self) -> str:
        place = own_place(sys._getframe(1), self._folder)  # noqa: SLF001 - as above
        return f" (at {place})" if place else ""


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")

"""The folders of one execution, and which execution the current code belongs to.

The library carries the context into its threads, so the code of an agent, a tool or a memory knows its execution.
"""

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from batchcrew.server.worker.artifacts import Artifacts

EXECUTIONS = "executions"
"""The folder in a worker's storage with a folder for each execution; they are deleted when they end."""


class Workspace:
    """The files and objects that belong to one execution alone.

    Args:
        folder: for files that are deleted when the execution has ended.
        artifacts: where the files that its tasks write are kept.
    """

    def __init__(self, kickoff_id: str, folder: Path, artifacts: Artifacts) -> None:
        self.kickoff_id = kickoff_id
        self.folder = folder
        self.artifacts = artifacts
        self._lock = threading.RLock()
        self._made: dict[str, Any] = {}
        self._ended = False
        self._at_end: list[Callable[[], None]] = []

    def at_end(self, call: Callable[[], None]) -> None:
        """Call this when the execution has ended."""
        self._at_end.append(call)

    def once(self, key: str, make: Callable[[Path], Any]) -> Any:
        """Return what `make` made for this key the first time. It gets a folder that exists and is empty.

        Raises:
            RuntimeError: the execution has ended.
        """
        with self._lock:
            if self._ended:
                raise RuntimeError("the execution has ended")
            if key not in self._made:
                folder = self.folder / f"{len(self._made) + 1}"
                folder.mkdir(parents=True)
                self._made[key] = make(folder)
            return self._made[key]

    def reset_at_end(self, storage: Any) -> None:
        """Keep a storage of the library alive until the execution has ended, and then empty it (`storage.reset()`).

        Raises:
            RuntimeError: the execution has ended.
        """
        self.once(f"storage {id(storage)}", lambda folder: _Reset(storage))

    def close(self) -> None:
        """Delete the folder; nothing is made afterwards."""
        with self._lock:
            self._ended = True
            for made in self._made.values():
                close = getattr(made, "close", None)
                if callable(close):
                    with contextlib.suppress(Exception):  # the library's: its files are deleted anyway
                        close()
            self._made.clear()
        for call in self._at_end:
            with contextlib.suppress(Exception):  # what has been paid for does not fail for it
                call()
        shutil.rmtree(self.folder, ignore_errors=True)


class _Reset:
    """A storage that is emptied when it is closed."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def close(self) -> None:
        self._storage.reset()


_current: ContextVar[Workspace | None] = ContextVar("batchcrew_workspace", default=None)


def current_workspace() -> Workspace | None:
    """Return the workspace of the execution that this code belongs to; None if it belongs to none."""
    return _current.get()


@contextmanager
def working_in(workspace: Workspace) -> Iterator[None]:
    """Run the block, and the threads that the library starts in it, as code of this execution."""
    token = _current.set(workspace)
    try:
        yield
    finally:
        _current.reset(token)
        workspace.close()


def clear(storage: Path, *, everything: bool) -> None:
    """Delete what executions of an earlier worker left in this storage folder, because it was killed.

    Args:
        everything: also what the executions were to share.
    """
    shutil.rmtree(storage if everything else storage / EXECUTIONS, ignore_errors=True)

"""What CrewAI keeps by itself in a worker: what is left out, and how the rest is locked.

The library guards its files by lock files that are polled every quarter of a second. In a folder that one process
has for itself, a lock of that process is as safe and costs nothing.
"""

import hashlib
import os
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import portalocker
from crewai.utilities.task_output_storage_handler import TaskOutputStorageHandler
from crewai_core.lock_store import set_lock_backend


def lock_within(folder: Path) -> None:
    """From now on, locks whose name has this folder's path in it are of this process."""
    if os.environ.get("REDIS_URL"):  # locks are held there, for more than this machine
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
            with portalocker.Lock(_file(name), timeout=timeout):
                yield

    set_lock_backend(backend)


def _file(name: str) -> Path:
    """The library's own file for the name, so that its other processes are kept out too."""
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return Path(tempfile.gettempdir()) / f"crewai:{digest}.lock"


def leave_out_the_log() -> None:
    """No log of task outputs for `crewai replay`.

    It is of the last kickoff only: each one deletes what is there. Where several run at once it would hold parts of
    each, and half of a kickoff's time goes into writing it.
    """
    TaskOutputStorageHandler.reset = lambda self: None
    TaskOutputStorageHandler.update = lambda self, task_index, log: None

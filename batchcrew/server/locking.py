"""CrewAI's named locks in a worker: quick where a folder is the worker's own, the library's way elsewhere.

The library guards its log of task outputs by a lock file that is polled every quarter of a second. In a folder that
one process has for itself, a lock of that process is as safe and costs nothing.
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

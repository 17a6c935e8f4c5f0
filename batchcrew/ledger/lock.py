"""Allow one run per batch: a file lock that the operating system releases when its process ends."""

import asyncio
import errno
import fcntl
import hashlib
import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from batchcrew.base.errors import BatchBusy, LedgerError
from batchcrew.ledger.naming import require_usable_name

BRIEF_SECONDS = 0.5
"""Seconds that a run waits for a lock: `status` may hold it for some microseconds, to see whether it is held."""


class BatchLock:
    """The lock of a batch, held from before the batch is changed until its run has ended. An async context manager.

    The lock files are next to the ledger, and the holder removes its own at the end. A file next to each names its
    holder, for messages only: the operating system decides whether the lock is held.

    Raises:
        UsageError: the ledger's name or path is too long.
        BatchBusy: another run holds the batch; the message says which.
        LedgerError: the lock's folder cannot be written.
    """

    def __init__(self, ledger: Path, batch: str, *, since: str) -> None:
        self._ledger = ledger
        self._batch = batch
        self._since = since
        self._lock: FileLock | None = None

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._acquire)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._release)

    def _acquire(self) -> None:
        require_usable_name(self._ledger)
        path = lock_path(self._ledger, self._batch)
        # different threads of the pool may acquire and release it
        lock = FileLock(path, timeout=BRIEF_SECONDS, mode=0o600, thread_local=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _acquire_current(lock, path)
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": self._since}
            _holder(path).write_text(json.dumps(holder), encoding="utf-8")
        except Timeout:
            raise BatchBusy(f"batch {self._batch} is held by another run ({_who(path)}); nothing was done") from None
        except OSError as error:
            lock.release()
            raise LedgerError(f"lock {path}: {error.strerror}: check the folder's owner and permissions") from error
        self._lock = lock

    def _release(self) -> None:
        if self._lock is not None:
            path = Path(self._lock.lock_file)
            _holder(path).unlink(missing_ok=True)
            if type(self._lock) is FileLock:  # filelock makes it a SoftFileLock where flock is missing
                with suppress(OSError):  # the folder is read-only by now; the file is used again
                    path.unlink(missing_ok=True)
            self._lock.release()


def _acquire_current(lock: FileLock, path: Path) -> None:
    """Acquire the lock on the file that is at `path` now.

    The last holder removes the file while it holds it. A process that has opened that file before then locks a file
    without a name, while another process creates and locks a new one: two holders. So a lock counts only if its file is
    still at the path; else the new file is locked. Later versions of filelock check this too, the earliest ones that
    are supported do not.

    Raises:
        Timeout: another process holds it.
    """
    end = monotonic() + BRIEF_SECONDS
    while True:
        lock.acquire(timeout=max(0.0, end - monotonic()))
        descriptor = lock._context.lock_file_fd  # noqa: SLF001 - filelock has no public way to the descriptor
        if descriptor is not None and _is_at(path, os.fstat(descriptor)):
            return
        lock.release()


def _is_at(path: Path, held: os.stat_result) -> bool:
    try:
        return os.path.samestat(held, path.stat())
    except FileNotFoundError:
        return False


def lock_path(ledger: Path, batch: str) -> Path:
    """Return the lock file of a batch; it is the same for a ledger that is reached through a link."""
    return _folder(ledger) / f"{hashlib.sha256(batch.encode()).hexdigest()[:16]}.lock"


def ledger_lock(ledger: Path, *, timeout: float) -> FileLock:
    """Return the lock of the ledger's schema, and create its folder. It blocks: call it in a thread."""
    folder = _folder(ledger)
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "schema.lock", timeout=timeout, mode=0o600, thread_local=False)


def _folder(ledger: Path) -> Path:
    resolved = ledger.resolve()
    return resolved.with_name(resolved.name + ".locks")


def is_held(ledger: Path, batch: str) -> bool:
    """Return whether a run holds the batch now. It blocks: call it in a thread.

    It writes nothing. A run that begins at this very moment waits for it (`BRIEF_SECONDS`) instead of giving up.
    """
    path = lock_path(ledger, batch)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:  # it belongs to another user
        return _holder_is_alive(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in {errno.EACCES, errno.EAGAIN}
    finally:
        os.close(descriptor)  # this releases it as well
    return False


def _holder_is_alive(path: Path) -> bool:
    """Return whether the process that a lock's holder file names is alive; other users can read that file."""
    try:
        holder = json.loads(_holder(path).read_text(encoding="utf-8"))
        if holder["host"] != socket.gethostname():
            return True  # a run removes its holder file at its end, so that run has probably not ended
        os.kill(holder["pid"], 0)
    except PermissionError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _holder(path: Path) -> Path:
    return path.with_suffix(".holder")


def holder(ledger: Path, batch: str) -> tuple[int, str] | None:
    """Return the process and the host that hold the batch now, as far as they are recorded. It blocks."""
    if not is_held(ledger, batch):
        return None
    try:
        found = json.loads(_holder(lock_path(ledger, batch)).read_text(encoding="utf-8"))
        return int(found["pid"]), str(found["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _who(path: Path) -> str:
    try:
        holder = json.loads(_holder(path).read_text(encoding="utf-8"))
        return f"pid {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "which has just started"

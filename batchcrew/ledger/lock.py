"""One run per batch: an OS file lock that dies with its process."""

import hashlib
import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from batchcrew.errors import BatchBusy, LedgerError


class BatchLock:
    """Held from before a batch is changed until its run has ended.

    The lock files stand beside the ledger; who holds one is written next to it, for the message only:
    whether it is held is the operating system's word.
    """

    def __init__(self, ledger: Path, batch: str, *, since: str) -> None:
        folder = ledger.resolve().with_name(ledger.name + ".locks")
        name = hashlib.sha256(batch.encode()).hexdigest()[:16]
        self._batch = batch
        self._since = since
        self._holder = folder / f"{name}.holder"
        self._path = folder / f"{name}.lock"
        self._lock = FileLock(self._path, timeout=0, mode=0o600)

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": self._since}
            self._holder.write_text(json.dumps(holder), encoding="utf-8")
        except Timeout:
            raise BatchBusy(f"batch {self._batch} is held by another run ({self._who()}); nothing was done") from None
        except OSError as error:
            self._lock.release()
            raise LedgerError(f"lock {self._path}: {error.strerror}: check the folder's permissions") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.unlink(missing_ok=True)
        self._lock.release()

    @classmethod
    def held(cls, ledger: Path, batch: str) -> bool:
        """Whether a run holds the batch now."""
        probe = cls(ledger, batch, since="")
        if not probe._path.exists():
            return False
        try:
            probe._lock.acquire()
        except (Timeout, OSError):
            return True
        probe._lock.release()
        return False

    def _who(self) -> str:
        try:
            holder = json.loads(self._holder.read_text(encoding="utf-8"))
            return f"pid {holder['pid']} on {holder['host']} since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "which has just begun"

"""The lock of a batch: its file is removed at the end, and there are never two holders."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import pytest

from batchcrew.base.errors import BatchBusy
from batchcrew.ledger.lock import BatchLock, is_held, lock_path

NOW = "2026-02-03T04:05:06.000Z"

CONTENDER = """
import asyncio, os, sys
from pathlib import Path
from batchcrew.base.errors import BatchBusy
from batchcrew.ledger.lock import BatchLock

folder, rounds = Path(sys.argv[1]), int(sys.argv[2])

async def main():
    held = 0
    while held < rounds:
        try:
            async with BatchLock(folder / "l.db", "b", since="now"):
                inside = os.open(folder / "inside", os.O_CREAT | os.O_EXCL)  # fails if there is another holder
                os.close(inside)
                await asyncio.sleep(0)
                os.unlink(folder / "inside")
                held += 1
        except BatchBusy:
            pass

asyncio.run(main())
"""


@contextmanager
def held(ledger: Path) -> Iterator[None]:
    lock = BatchLock(ledger, "b", since=NOW)
    lock._acquire()
    try:
        yield
    finally:
        lock._release()


def test_the_lock_file_is_removed_at_the_end(tmp_path: Path) -> None:
    ledger = tmp_path / "l.db"
    for _ in range(2):
        with held(ledger):
            assert lock_path(ledger, "b").exists()
            assert is_held(ledger, "b")
            with pytest.raises(BatchBusy), held(ledger):
                pass
        assert not is_held(ledger, "b")
        assert list(lock_path(ledger, "b").parent.iterdir()) == []


def test_a_lock_on_a_removed_file_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that opened the file before its holder removed it gets the next file, or waits for its holder."""
    ledger = tmp_path / "l.db"
    path = lock_path(ledger, "b")
    acquire = filelock.FileLock.acquire
    others: list[int] = []

    def too_late(lock: filelock.FileLock, *args: Any, **named: Any) -> Any:
        proxy = acquire(lock, *args, **named)
        if not others:  # the last holder removes the file, and another process locks a new one
            path.unlink()
            others.append(os.open(path, os.O_RDWR | os.O_CREAT))
            fcntl.flock(others[0], fcntl.LOCK_EX)
        return proxy

    monkeypatch.setattr(filelock.FileLock, "acquire", too_late)
    with pytest.raises(BatchBusy), held(ledger):
        pass
    os.close(others[0])
    with held(ledger):
        assert is_held(ledger, "b")


def test_many_processes_never_hold_it_at_the_same_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CONTENDER, str(tmp_path), "40"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    errors = [process.communicate()[1].decode()[-300:] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    assert not (tmp_path / "inside").exists()
    assert list(lock_path(tmp_path / "l.db", "b").parent.iterdir()) == []

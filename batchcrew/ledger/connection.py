"""Opening the SQLite file, and SQLite's errors in plain words."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import aiosqlite
from filelock import BaseFileLock, Timeout

from batchcrew.errors import LedgerError
from batchcrew.ledger.lock import ledger_lock
from batchcrew.ledger.schema import is_current, migrate

BUSY_SECONDS = 15
"""How long another program may hold the ledger before we give up."""
BUSY_TRY_SECONDS = 1
"""One try of the writer: between two of them it can be told to end."""
MINIMUM_SQLITE = (3, 37)  # STRICT tables


def is_busy(error: Exception) -> bool:
    """Whether another program holds the ledger: a moment later it may be free."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


@contextlib.contextmanager
def plain_errors(path: str) -> Iterator[None]:
    """Turn SQLite's errors into `LedgerError`s that say what a person can do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code without its extension
        hints = {
            sqlite3.SQLITE_FULL: "the disk is full: make room and run the same command again",
            sqlite3.SQLITE_READONLY: "it cannot be written: check its owner and permissions",
            sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check the folder, its owner and permissions",
            sqlite3.SQLITE_BUSY: f"another program has locked it for over {BUSY_SECONDS} s: close that and run again",
            sqlite3.SQLITE_LOCKED: "another program has locked it: close that and run again",
            sqlite3.SQLITE_IOERR: "the disk answers with errors: check it, then run the same command again",
            sqlite3.SQLITE_CORRUPT: "it is damaged: keep a copy, then try `sqlite3 LEDGER .recover`",
            sqlite3.SQLITE_NOTADB: "it is no SQLite file: name another --ledger",
        }
        hint = hints.get(code, "run the same command again")
        raise LedgerError(f"ledger {path}: {error} ({hint}); what was in flight is taken up by the next run") from error


async def open_ledger(path: Path | None, *, write: bool) -> aiosqlite.Connection:
    """A connection to the ledger at `path`, at this version's schema; None is an empty one in memory.

    A new file is readable by its owner only. `write=False` refuses every change.
    """
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        raise LedgerError(f"SQLite {sqlite3.sqlite_version} is too old: batchcrew needs 3.37 or later")
    name = ":memory:" if path is None else str(path)
    if path is not None:
        await asyncio.to_thread(_prepare_file, path)
    connection = await _connect(name)
    try:
        with plain_errors(name):
            for pragma in (
                f"busy_timeout = {BUSY_SECONDS * 1000}",
                "synchronous = FULL",  # each commit is synced: it survives power loss
                "foreign_keys = ON",
                "temp_store = FILE",
            ):
                await connection.execute_fetchall(f"PRAGMA {pragma}")
            if not await is_current(connection, name):
                await _make_current(connection, path, name)
            last = f"busy_timeout = {BUSY_TRY_SECONDS * 1000}" if write else "query_only = ON"
            await connection.execute_fetchall(f"PRAGMA {last}")
    except BaseException:
        await connection.close()
        raise
    return connection


async def _connect(name: str) -> aiosqlite.Connection:
    with plain_errors(name):
        # no implicit transactions: the writer says BEGIN and COMMIT itself
        return await aiosqlite.connect(name, isolation_level=None)


async def _make_current(connection: aiosqlite.Connection, path: Path | None, name: str) -> None:
    # two first runs at once: SQLite does not wait for another's switch to WAL, so one of them does it for both
    lock = None if path is None else await asyncio.to_thread(_locked, path)
    try:
        await connection.execute_fetchall("PRAGMA journal_mode = WAL")
        await migrate(connection, name)
    finally:
        if lock is not None:
            await asyncio.to_thread(lock.release)


def _locked(path: Path) -> BaseFileLock:
    try:
        lock = ledger_lock(path, timeout=BUSY_SECONDS)
        lock.acquire()
    except (OSError, Timeout) as error:  # Timeout is an OSError too, with a message of its own
        raise LedgerError(f"ledger {path}: its schema cannot be locked: {error}: check the folder's owner") from error
    return lock


def _prepare_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise LedgerError(
            f"ledger {path}: {error.strerror}: check the folder's and the file's owner and permissions, "
            "or name another --ledger"
        ) from error

"""Open the ledger for writing, and explain SQLite's errors. `reader.py` opens it for reading only."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import aiosqlite
from filelock import BaseFileLock, Timeout

from batchcrew.base.errors import LedgerError
from batchcrew.base.sqlite_files import create_private, database_uri
from batchcrew.ledger import functions
from batchcrew.ledger.lock import ledger_lock
from batchcrew.ledger.naming import require_usable_name
from batchcrew.ledger.schema import is_current, migrate

BUSY_SECONDS = 15
"""Seconds that another program may hold the ledger before batchcrew gives up."""
BUSY_TRY_SECONDS = 1
"""Seconds of one try of the writer: it can be closed between two tries."""
MINIMUM_SQLITE = (3, 37)  # STRICT tables
NEXT_RUN_RESUMES = "the next run resumes the executions in progress"
"""The consequence of an error of the ledger for a run. Other commands have started nothing."""


def is_busy(error: Exception) -> bool:
    """Return whether the error is that another program holds the ledger: it may be free a moment later."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


@contextlib.contextmanager
def plain_errors(path: str, *, consequence: str = "") -> Iterator[None]:
    """Turn SQLite's errors into `LedgerError`s that name what you can do.

    Args:
        path: the ledger, as the command line names it.
        consequence: the effect on the executions in progress; empty for a command that has started nothing.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code without its extension
        hints = {
            sqlite3.SQLITE_FULL: "the disk is full: free up space and run the same command again",
            sqlite3.SQLITE_READONLY: "it cannot be written: check its owner and permissions",
            sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check the folder, its owner and permissions",
            sqlite3.SQLITE_PERM: "it cannot be opened: check the folder, its owner and permissions",
            sqlite3.SQLITE_BUSY: (
                f"another program has locked it for over {BUSY_SECONDS} s: close it and run the same command again"
            ),
            sqlite3.SQLITE_LOCKED: "another program has locked it: close it and run the same command again",
            sqlite3.SQLITE_IOERR: "the disk reports errors: check it, then run the same command again",
            sqlite3.SQLITE_CORRUPT: "it is damaged: keep a copy, then try `sqlite3 LEDGER .recover`",
            sqlite3.SQLITE_NOTADB: "it is not a SQLite file: name another --ledger",
        }
        hint = hints.get(code, "run the same command again")
        end = f"; {consequence}" if consequence else ""
        raise LedgerError(f"ledger {path}: {error} ({hint}){end}") from error


def check_sqlite() -> None:
    """Check the version of this Python's SQLite.

    Raises:
        LedgerError: it is too old.
    """
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        raise LedgerError(f"SQLite {sqlite3.sqlite_version} is too old: batchcrew needs 3.37 or later")


async def open_writer(path: Path, *, consequence: str = "") -> aiosqlite.Connection:
    """Open the ledger at `path` for its one writer, with this version's schema; create or migrate it where needed.

    A new file is readable by its owner only.

    Raises:
        UsageError: its name or path is too long.
        LedgerError: it cannot be opened, or is another program's file.
        LedgerTooNew: a later batchcrew wrote it.
    """
    check_sqlite()
    name = str(path)
    await asyncio.to_thread(require_usable_name, path)
    try:
        with plain_errors(name, consequence=consequence):
            await asyncio.to_thread(create_private, path)
    except OSError as error:
        raise LedgerError(
            f"ledger {path}: {error.strerror}: check the folder's and the file's owner and permissions, "
            "or name another --ledger"
        ) from error
    with plain_errors(name, consequence=consequence):
        # no implicit transactions: the writer sends BEGIN and COMMIT
        connection = await aiosqlite.connect(database_uri(path), uri=True, isolation_level=None)
    try:
        with plain_errors(name, consequence=consequence):
            for pragma in (
                f"busy_timeout = {BUSY_SECONDS * 1000}",
                "synchronous = FULL",  # each commit is synced: it survives power loss
                "foreign_keys = ON",
                "temp_store = FILE",
            ):
                await connection.execute_fetchall(f"PRAGMA {pragma}")
            await functions.install(connection)
            if not await is_current(connection, name):
                await _make_current(connection, path)
            await connection.execute_fetchall(f"PRAGMA busy_timeout = {BUSY_TRY_SECONDS * 1000}")
    except BaseException:
        await connection.close()
        raise
    return connection


async def open_next_to_writer(path: Path, *, consequence: str = "") -> aiosqlite.Connection:
    """Open a read-only connection in the process that writes, so that reads do not wait for its fsync."""
    with plain_errors(str(path), consequence=consequence):
        connection = await aiosqlite.connect(database_uri(path, mode="ro"), uri=True, isolation_level=None)
        try:
            await connection.execute_fetchall(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
            await functions.install(connection)
        except BaseException:
            await connection.close()
            raise
    return connection


async def close_writer(connection: aiosqlite.Connection) -> None:
    """Move everything from the WAL into the one file, then close. Close the process's other connections first."""
    try:
        # while another program has the ledger open, the WAL file remains; while it reads, its content does too
        with contextlib.suppress(sqlite3.Error):
            await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        await connection.close()


async def _make_current(connection: aiosqlite.Connection, path: Path) -> None:
    # SQLite does not wait while another connection switches to WAL, so of two first runs at once, one does it for both
    lock = await asyncio.to_thread(lock_schema, path)
    try:
        await connection.execute_fetchall("PRAGMA journal_mode = WAL")
        await migrate(connection, str(path))
    finally:
        await asyncio.to_thread(lock.release)


def lock_schema(path: Path) -> BaseFileLock:
    """Acquire the lock for creating, changing or vacuuming the schema. It blocks: call it in a thread.

    Raises:
        LedgerError: another program holds it, or it cannot be created.
    """
    try:
        lock = ledger_lock(path, timeout=BUSY_SECONDS)
        lock.acquire()
    except (OSError, Timeout) as error:  # Timeout is an OSError too, with a different message
        raise LedgerError(f"ledger {path}: its schema cannot be locked: {error}: check the folder's owner") from error
    return lock

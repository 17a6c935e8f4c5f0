"""Read a ledger without ever writing to it, for `status`, `list`, `show`, `export`, `check` and `runs`.

No writer can be reached from here. How the file is opened depends on the files next to it, because SQLite needs the
`-shm` of a database in WAL mode and would create it:

| files | opened | because |
|---|---|---|
| `-wal` and `-shm` | `mode=ro` | a run is writing, or another program reads |
| no `-wal` (nor `-journal`) | `immutable=1` | the one file is complete; it is opened again when it changes |
| `-wal` without `-shm` | `mode=ro` if file and folder are ours | a run was killed; SQLite creates the `-shm` |
| the same, file or folder not ours | a private copy of both files | we leave no file in a folder of other users |

Another user's ledger is opened with `readonly_shm=1` while it is in use, and copied if that fails.
"""

import asyncio
import contextlib
import enum
import os
import shlex
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias, TypeVar, assert_never

import aiosqlite

from batchcrew.base.clock import Clock
from batchcrew.base.errors import LedgerError, LedgerTooNew, LedgerTooOld, NotInLedger, OutputError
from batchcrew.base.sqlite_files import companion, database_uri
from batchcrew.ledger import comparing, functions, schema, upkeep
from batchcrew.ledger.comparing import Staged
from batchcrew.ledger.connection import BUSY_SECONDS, check_sqlite, plain_errors
from batchcrew.ledger.reading import Reading
from batchcrew.ledger.to_start import ToStart, to_start
from batchcrew.model.job import Job

_WRITE_ERRORS = frozenset(
    {
        "SQLITE_IOERR_WRITE",
        "SQLITE_IOERR_FSYNC",
        "SQLITE_IOERR_TRUNCATE",
        "SQLITE_IOERR_SHMOPEN",
        "SQLITE_IOERR_SHMSIZE",
    }
)
T = TypeVar("T")
TRIES = 10
"""How often a query is run again because the file changed under it."""

Stamp: TypeAlias = tuple[int, int, int] | None
"""Inode, size and time of change of a file; None if it does not exist."""


class Access(enum.Enum):
    """The ways in which the ledger's file is opened."""

    SHARED = enum.auto()
    """`mode=ro`, with SQLite's locks."""
    FOREIGN = enum.auto()
    """The same without creating a file, for a ledger of another user."""
    IMMUTABLE = enum.auto()
    """`immutable=1`: no locks, no other file; only while no program writes."""
    COPY = enum.auto()
    """A copy of the file and its WAL."""


class LedgerReader(Reading):
    """A ledger that is read and not changed, nor migrated. Use as an async context manager.

    Args:
        path: the SQLite file; None is an empty ledger in memory (for a plan without a ledger).
        clock: measures ages.
        any_schema: also open a ledger of an older schema (`backup` and `upgrade` do).

    Raises:
        NotInLedger: the file does not exist, or is empty.
        LedgerTooOld: it has to be upgraded first.
        LedgerTooNew: a later batchcrew wrote it.
        LedgerError: it cannot be read.
    """

    def __init__(self, path: Path | None, *, clock: Clock, any_schema: bool = False) -> None:
        super().__init__(path, clock=clock)
        self._any_schema = any_schema
        self.version = schema.CURRENT
        """The schema of the ledger that was opened."""
        self._access = Access.SHARED
        self._stamps: tuple[Stamp, ...] = ()
        self._copies = contextlib.ExitStack()

    async def __aenter__(self) -> Self:
        check_sqlite()
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def stage(
        self,
        batch: str,
        jobs: Callable[[], Iterable[Job]],
        *,
        crew_groups: Mapping[str, str] | None = None,
        reuse: bool = True,
        required: Callable[[Staged], Awaitable[Mapping[str, Sequence[str]]]],
        put_back: Collection[str] = (),
    ) -> tuple[Staged, Mapping[str, ToStart]]:
        """Compare a job file with the batch, as `Ledger.stage` does; also return what a run would start, by crew.

        Args:
            jobs: streams the file's jobs, from the first one at each call.
            crew_groups: a common name for names of one crew.
            reuse: whether a job may take over the answer of another one with the same inputs.
            required: returns the inputs that each crew requires; it is called with the comparison.
            put_back: states of jobs that the run resets to pending first.
        """

        async def query(connection: aiosqlite.Connection) -> tuple[Staged, Mapping[str, ToStart]]:
            staged = await comparing.compare(connection, batch, jobs(), crew_groups=crew_groups or {}, reuse=reuse)
            return staged, await to_start(
                connection, batch, await required(staged), staged.input_names, put_back=put_back
            )

        return await self._query(query)

    async def backup(self, target: Path) -> str | None:
        """Copy the whole ledger, as of one moment, into the database `target` (SQLite's online backup).

        A run may continue meanwhile. Return the copy's first damage; None if it has none.

        Raises:
            OutputError: the copy's disk is full.
        """

        async def query(connection: aiosqlite.Connection) -> str | None:
            try:
                async with aiosqlite.connect(database_uri(target), uri=True) as copy:
                    await connection.backup(copy)
                    # a copy is one file, so that you can read, move and mail it
                    await copy.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
                    return await upkeep.damage(copy)
            except sqlite3.OperationalError as error:
                if _cannot_be_written(error):  # the ledger itself is only read
                    raise OutputError("its disk is full, or reports errors") from error
                raise

        return await self._query(query)

    async def _query(self, query: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        for _ in range(TRIES):
            try:
                result = await self._snapshot(query)
            except LedgerError:  # a file that changed meanwhile may have looked damaged
                if not await self._changed():
                    raise
            else:
                if not await self._changed():
                    return result
            await self._close()
            await self._open()
        raise LedgerError(f"ledger {self._name}: it changes faster than it can be read; run the same command again")

    async def _snapshot(self, query: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        """Run `query` in one read transaction: everything it reads is as of one moment."""
        connection = self._reader
        with plain_errors(self._name):
            await connection.execute_fetchall("BEGIN")
            try:
                return await query(connection)
            finally:
                # an error of SQLite may have ended the transaction already
                if connection.in_transaction:
                    await connection.rollback()

    async def _changed(self) -> bool:
        """Return whether the result may be inconsistent: a program wrote to a file that was opened as immutable."""
        if self.path is None or self._access is not Access.IMMUTABLE:
            return False
        return await asyncio.to_thread(_stamps, self.path) != self._stamps

    async def _open(self) -> None:
        if self.path is None:
            self._read = await aiosqlite.connect(":memory:", isolation_level=None)
            await schema.migrate(self._read, self._name)
            return
        self._stamps = await asyncio.to_thread(_stamps, self.path)
        if self._stamps[0] is None:
            raise NotInLedger(f"ledger not found: {self.path}; run a batch first, or name the ledger with --ledger")
        self._access = await asyncio.to_thread(_access, self.path, self._stamps)
        try:
            await self._connect(self.path)
        except LedgerError as error:
            if self._access is not Access.FOREIGN or isinstance(error, LedgerTooOld | LedgerTooNew | NotInLedger):
                raise
            self._access = Access.COPY
            await self._connect(self.path)

    async def _connect(self, path: Path) -> None:
        try:
            with plain_errors(self._name):
                self._read = await self._connection(path)
                await self._read.execute_fetchall(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
                await self._read.execute_fetchall("PRAGMA temp_store = FILE")
                await functions.install(self._read)
                await self._check_schema(self._read)
        except BaseException:
            await self._close()
            raise

    async def _connection(self, path: Path) -> aiosqlite.Connection:
        match self._access:
            case Access.SHARED:
                uri = database_uri(path, mode="ro")
            case Access.FOREIGN:
                uri = database_uri(path, mode="ro", readonly_shm="1")
            case Access.IMMUTABLE:
                uri = database_uri(path, mode="ro", immutable="1")
            case Access.COPY:
                folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="batchcrew-")
                self._copies.enter_context(folder)
                uri = database_uri(await asyncio.to_thread(_copy, path, Path(folder.name)))
            case _:
                assert_never(self._access)
        return await aiosqlite.connect(uri, uri=True, isolation_level=None)

    async def _check_schema(self, connection: aiosqlite.Connection) -> None:
        version = await schema.version_of(connection, self._name)
        if version == 0:
            raise NotInLedger(f"the ledger {self._name} is empty; run a batch first, or name another --ledger")
        self.version = version
        if version < schema.CURRENT and not self._any_schema:
            raise LedgerTooOld(
                f"the ledger {self._name} has schema {version}, this batchcrew reads {schema.CURRENT}; upgrade it with"
                f" `batchcrew upgrade --ledger {shlex.quote(self._name)}` (a run upgrades it automatically)"
            )

    async def _close(self) -> None:
        connection, self._read = self._read, None
        try:
            if connection is not None:
                await connection.close()  # an open connection would keep the interpreter alive
        finally:
            await asyncio.to_thread(self._copies.close)


def _stamps(path: Path) -> tuple[Stamp, ...]:
    """Return the stamps of the database, its WAL, shared memory and journal."""
    return tuple(_stamp(companion(path, suffix)) for suffix in ("", "-wal", "-shm", "-journal"))


def change_stamp(path: Path) -> tuple[Stamp, ...]:
    """Return a value that differs after each commit, without opening the ledger. It blocks: call it in a thread.

    The shared memory is not part of it, because readers write to that.
    """
    return tuple(_stamp(companion(path, suffix)) for suffix in ("", "-wal", "-journal"))


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _access(path: Path, stamps: tuple[Stamp, ...]) -> Access:
    """Return how to open the ledger: see the table at the top of this module."""
    _, wal, shm, journal = stamps
    database = companion(path, "")
    # root may write: SQLite gives a file that it creates as root the database's owner
    ours = os.geteuid() in {0, database.stat().st_uid}
    if journal is not None or (wal is not None and shm is not None):
        return Access.SHARED if ours else Access.FOREIGN
    if wal is None:
        return Access.IMMUTABLE
    return Access.SHARED if ours and os.access(database.parent, os.W_OK) else Access.COPY


_COPY_SCRIPT = "import shutil, sys; [shutil.copyfile(a, b) for a, b in zip(sys.argv[1::2], sys.argv[2::2])]"


def _copy(path: Path, folder: Path) -> Path:
    """Copy the database and its WAL into `folder`, again until neither has changed meanwhile.

    Another process copies, because this one must not open the files except through SQLite.
    """
    target = folder / "ledger.db"
    names = [(companion(path, suffix), companion(target, suffix)) for suffix in ("", "-wal")]
    error = ""
    for _ in range(TRIES):
        before = _stamps(path)
        pairs = [str(name) for pair in names for name in pair if pair[0].exists()]
        copied = subprocess.run(  # noqa: S603 - this Python, on paths of ours
            [sys.executable, "-I", "-c", _COPY_SCRIPT, *pairs], capture_output=True, text=True, check=False
        )
        if before == _stamps(path) and not copied.returncode:
            return target
        error = copied.stderr.strip().rpartition("\n")[2] or "it keeps changing"
    raise LedgerError(f"ledger {path}: a run was killed and left its WAL, and a copy to read cannot be made: {error}")


def _cannot_be_written(error: sqlite3.OperationalError) -> bool:
    """Return whether an error is that of a file that is written: a full disk, also for the file of a WAL's index."""
    return error.sqlite_errorcode == sqlite3.SQLITE_FULL or error.sqlite_errorname in _WRITE_ERRORS

"""Write through one task, with group commit.

All transitions that wait when a commit ends go into the next commit together: one fsync serves many transitions, and
each caller continues only when its own is durable. No caller waits for a group to fill. If a group cannot be committed,
it fails for every caller, and nothing of it is written. Only changes that are paid for already (a kickoff_id) are then
tried once more, alone, and for longer if another program holds the ledger.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import aiosqlite

from batchcrew.base.errors import BatchcrewError, LedgerError
from batchcrew.ledger.connection import BUSY_SECONDS, BUSY_TRY_SECONDS, is_busy, plain_errors

T = TypeVar("T")
Parameters: TypeAlias = Sequence[Any]
Change: TypeAlias = "tuple[Statement, list[Parameters]]"
BUSY_TRIES = BUSY_SECONDS // BUSY_TRY_SECONDS
PRECIOUS_TRIES = 60 // BUSY_TRY_SECONDS
"""Tries for a kickoff_id, a minute in all, while another program holds the ledger: a lost id may cost a kickoff."""


class Statement:
    """One SQL statement of a transition.

    A `strict` statement must change exactly one row for each set of parameters: otherwise a transition began in a
    state that does not allow it, and the whole group is refused. A `precious` statement records a paid kickoff: it is
    not given up with its group.
    """

    __slots__ = ("precious", "sql", "strict")

    def __init__(self, sql: str, *, strict: bool = True, precious: bool = False) -> None:
        self.sql = sql
        self.strict = strict
        self.precious = precious


Call: TypeAlias = "tuple[Callable[[aiosqlite.Connection], Awaitable[Any]], asyncio.Future[Any]]"


class Group:
    """The changes of one commit, and the callers that wait for it."""

    __slots__ = ("calls", "changes", "waiting")

    def __init__(self) -> None:
        self.changes: dict[Statement, list[Parameters]] = {}
        self.waiting: list[tuple[asyncio.Future[None], bool]] = []
        """The callers that wait for their changes, each with whether all its changes are precious."""
        self.calls: list[Call] = []

    def __bool__(self) -> bool:
        return bool(self.changes or self.calls)

    def add(self, changes: tuple[Change, ...]) -> None:
        """Add changes to the commit."""
        for statement, rows in changes:
            self.changes.setdefault(statement, []).extend(rows)

    def committed(self, results: Sequence[Any] = ()) -> None:
        """Return to every caller; `results` are those of the calls."""
        for future, _ in self.waiting:
            if not future.done():
                future.set_result(None)
        for (_, future), result in zip(self.calls, results, strict=True):
            if not future.done():
                future.set_result(result)

    def failed(self, error: Exception) -> None:
        """Raise `error` in every caller: nothing of the group was written."""
        futures: list[asyncio.Future[Any]] = [
            *(future for future, _ in self.waiting),
            *(each for _, each in self.calls),
        ]
        for future in futures:
            if not future.done():
                future.set_exception(error)

    def precious(self) -> "Group":
        """Remove the precious changes from this group, and return them as another one."""
        kept = Group()
        for statement in [each for each in self.changes if each.precious]:
            kept.changes[statement] = self.changes.pop(statement)
        kept.waiting = [entry for entry in self.waiting if entry[1]]
        self.waiting = [entry for entry in self.waiting if not entry[1]]
        return kept


class Writer:
    """The owner of the writing connection. `Ledger` opens and closes it.

    Args:
        connection: the writing connection.
        name: the ledger, as messages name it.
        consequence: the end of an error's message: the effect on the executions in progress.
    """

    def __init__(self, connection: aiosqlite.Connection, name: str, *, consequence: str = "") -> None:
        self._connection = connection
        self._name = name
        self._consequence = consequence
        self._group = Group()
        self._work = asyncio.Event()
        self._closing = False
        self._failure: BatchcrewError | None = None
        self._task = asyncio.create_task(self._run(), name="ledger-writer")

    async def change(self, *changes: Change) -> None:
        """Make the changes of one transition durable; return after their commit."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        precious = all(statement.precious for statement, _ in changes)
        self._enqueue(changes, precious=precious)
        self._group.waiting.append((future, precious))
        await future

    def change_soon(self, *changes: Change) -> None:
        """Write changes that no caller waits for (progress) with the next commit."""
        self._enqueue(changes, precious=False)

    async def call(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        """Run `work` inside the next group's transaction; return its result after the commit."""
        self._check_open(precious=False)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._group.calls.append((work, future))
        self._work.set()
        return await future

    async def close(self) -> None:
        """Write the changes that wait, then stop."""
        self._closing = True
        self._work.set()
        await self._task

    def _enqueue(self, changes: tuple[Change, ...], *, precious: bool) -> None:
        self._check_open(precious=precious)
        self._group.add(changes)
        self._work.set()

    def _check_open(self, *, precious: bool) -> None:
        if self._failure is not None and not precious:
            raise self._failure
        if self._closing:
            raise LedgerError("the ledger is closed")

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            group, self._group = self._group, Group()
            if group:
                await self._write(group)
            elif self._closing:
                return
            if self._closing:
                self._work.set()

    async def _write(self, group: Group) -> None:
        try:
            group.committed(await self._commit(group, tries=BUSY_TRIES))
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller of this group gets it
            precious = group.precious()
            self._fail(error, group)
            if precious:
                await self._write_precious(precious)

    async def _write_precious(self, group: Group) -> None:
        try:
            await self._commit(group, tries=PRECIOUS_TRIES)
            group.committed()
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error, group)

    async def _commit(self, group: Group, *, tries: int) -> list[Any]:
        """Commit one transaction and return the results of its calls; roll it back on an error, and raise that."""
        connection = self._connection
        try:
            with plain_errors(self._name, consequence=self._consequence):
                await self._begin(tries)
                for statement, rows in group.changes.items():
                    await _apply(connection, statement, rows)
                # after the changes: jobs that just became pending can be claimed in the same commit
                results = [await work(connection) for work, _ in group.calls]
                await connection.commit()
        except Exception:
            with contextlib.suppress(Exception):  # only the first error is raised
                await connection.rollback()
            raise
        return results

    async def _begin(self, tries: int) -> None:
        for left in reversed(range(tries)):
            try:
                await self._connection.execute_fetchall("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not (left and is_busy(error)):
                    raise

    def _fail(self, error: Exception, group: Group) -> None:
        failure = error if isinstance(error, BatchcrewError) else LedgerError(f"a defect: {error!r}")
        if failure is not error:
            failure.__cause__ = error
        self._failure = failure
        late, self._group = self._group, self._group.precious()  # they were added while this group was tried
        for each in (group, late):
            each.failed(failure)


async def _apply(connection: aiosqlite.Connection, statement: Statement, rows: list[Parameters]) -> None:
    cursor = await connection.executemany(statement.sql, rows)
    if statement.strict and cursor.rowcount != len(rows):
        raise LedgerError(f"a defect: {cursor.rowcount} of {len(rows)} transitions were allowed: {statement.sql}")

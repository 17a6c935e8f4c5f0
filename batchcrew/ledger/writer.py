"""The one task that writes, and group commit.

Everything that waits when a commit ends goes into the next commit together: one fsync serves many
transitions, and each caller goes on only when its own is durable. Nobody waits for a group to fill.
A group that cannot be committed fails every caller in it: nothing of it happened.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import aiosqlite

from batchcrew.errors import BatchcrewError, LedgerError
from batchcrew.ledger.connection import plain_errors

T = TypeVar("T")
Parameters: TypeAlias = Sequence[Any]
Change: TypeAlias = "tuple[Statement, list[Parameters]]"


class Statement:
    """One SQL statement of a transition.

    `strict` ones must change exactly one row for each set of parameters: anything else is a transition
    from a state that it does not start from, and the whole group is refused.
    """

    __slots__ = ("sql", "strict")

    def __init__(self, sql: str, *, strict: bool = True) -> None:
        self.sql = sql
        self.strict = strict


class Writer:
    """Owns the writing connection. Opened and closed by `Ledger`."""

    def __init__(self, connection: aiosqlite.Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._changes: dict[Statement, list[Parameters]] = {}
        self._changed: list[asyncio.Future[None]] = []
        self._calls: list[tuple[Callable[[aiosqlite.Connection], Awaitable[Any]], asyncio.Future[Any]]] = []
        self._work = asyncio.Event()
        self._closing = False
        self._failure: BatchcrewError | None = None
        self._task = asyncio.create_task(self._run(), name="ledger-writer")

    async def change(self, *changes: Change) -> None:
        """Make the changes of one transition durable; returns after their commit."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enqueue(changes)
        self._changed.append(future)
        await future

    def change_soon(self, *changes: Change) -> None:
        """Changes that nobody waits for (progress): they go with the next commit."""
        self._enqueue(changes)

    async def call(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        """Run `work` inside the next group's transaction; its result is given after the commit."""
        self._check_open()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.append((work, future))
        self._work.set()
        return await future

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closing = True
        self._work.set()
        await self._task

    def _enqueue(self, changes: tuple[Change, ...]) -> None:
        self._check_open()
        for statement, rows in changes:
            self._changes.setdefault(statement, []).extend(rows)
        self._work.set()

    def _check_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closing:
            raise LedgerError("the ledger is closed")

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            changes, self._changes = self._changes, {}
            changed, self._changed = self._changed, []
            calls, self._calls = self._calls, []
            if changes or calls:
                await self._commit(changes, changed, calls)
            elif self._closing:
                return
            if self._closing:
                self._work.set()

    async def _commit(
        self,
        changes: dict[Statement, list[Parameters]],
        changed: list[asyncio.Future[None]],
        calls: list[tuple[Callable[[aiosqlite.Connection], Awaitable[Any]], asyncio.Future[Any]]],
    ) -> None:
        connection = self._connection
        try:
            with plain_errors(self._name):
                await connection.execute_fetchall("BEGIN IMMEDIATE")
                for statement, rows in changes.items():
                    await _apply(connection, statement, rows)
                # after the changes: jobs that just became pending can be claimed in the same commit
                results = [await work(connection) for work, _ in calls]
                await connection.commit()
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller of this group must hear of it
            with contextlib.suppress(Exception):  # the first error is the one to tell
                await connection.rollback()
            self._fail(error, [*changed, *(future for _, future in calls)])
            return
        for future in changed:
            if not future.done():
                future.set_result(None)
        for (_, future), result in zip(calls, results, strict=True):
            if not future.done():
                future.set_result(result)

    def _fail(self, error: Exception, waiting: list[asyncio.Future[Any]]) -> None:
        failure = error if isinstance(error, BatchcrewError) else LedgerError(f"a defect: {error!r}")
        if failure is not error:
            failure.__cause__ = error
        self._failure = failure
        for future in waiting:
            if not future.done():
                future.set_exception(failure)


async def _apply(connection: aiosqlite.Connection, statement: Statement, rows: list[Parameters]) -> None:
    cursor = await connection.executemany(statement.sql, rows)
    if statement.strict and cursor.rowcount != len(rows):
        raise LedgerError(f"a defect: {cursor.rowcount} of {len(rows)} transitions were allowed: {statement.sql}")

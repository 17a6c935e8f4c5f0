"""Run queries on the reading connection."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from batchcrew.base.clock import Clock, to_text
from batchcrew.base.errors import LedgerError
from batchcrew.ledger import fetch
from batchcrew.ledger.connection import plain_errors
from batchcrew.ledger.lock import is_held

T = TypeVar("T")


class Reads:
    """The reading connection. `Ledger` and `LedgerReader` each open their own.

    Args:
        path: the SQLite file; None is an empty ledger in memory.
        clock: measures ages.
        consequence: the end of an error's message: the effect on the executions in progress.
    """

    def __init__(self, path: Path | None, *, clock: Clock, consequence: str = "") -> None:
        self.path = path
        self._consequence = consequence
        self._clock = clock
        self._name = ":memory:" if path is None else str(path)
        self._read: aiosqlite.Connection | None = None

    async def _query(self, query: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        """Run one query, or several that belong together, on the reading connection."""
        with plain_errors(self._name, consequence=self._consequence):
            return await query(self._reader)

    async def _rows(self, sql: str, parameters: fetch.Parameters = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        return await self._query(lambda connection: fetch.rows(connection, sql, parameters))

    async def _one(self, sql: str, parameters: fetch.Parameters = ()) -> tuple[Any, ...] | None:
        """Return the first row of a query, or None."""
        return await self._query(lambda connection: fetch.one(connection, sql, parameters))

    async def _value(self, sql: str, parameters: fetch.Parameters = ()) -> Any:
        """Return the first column of the first row, or None."""
        return await self._query(lambda connection: fetch.value(connection, sql, parameters))

    async def _count(self, sql: str, parameters: fetch.Parameters = ()) -> int:
        """Return the number that a query counts."""
        return int(await self._value(sql, parameters))

    def _now_text(self) -> str:
        return to_text(self._clock.now())

    @property
    def _reader(self) -> aiosqlite.Connection:
        if self._read is None:
            raise LedgerError("a defect: the ledger is not open")
        return self._read

    async def _is_held(self, batch: str) -> bool:
        """Return whether a run holds the batch now."""
        return self.path is not None and await asyncio.to_thread(is_held, self.path, batch)

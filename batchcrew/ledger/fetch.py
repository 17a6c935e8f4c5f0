"""Fetch the rows of a query without leaving a cursor open."""

from typing import Any, TypeAlias

import aiosqlite

Parameters: TypeAlias = tuple[Any, ...] | dict[str, Any]


async def rows(connection: aiosqlite.Connection, query: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
    """Return all rows."""
    return [tuple(row) for row in await connection.execute_fetchall(query, parameters)]


async def one(connection: aiosqlite.Connection, query: str, parameters: Parameters = ()) -> tuple[Any, ...] | None:
    """Return the first row, or None."""
    found = list(await connection.execute_fetchall(query, parameters))
    return tuple(found[0]) if found else None


async def value(connection: aiosqlite.Connection, query: str, parameters: Parameters = ()) -> Any:
    """Return the first column of the first row, or None."""
    row = await one(connection, query, parameters)
    return row[0] if row else None

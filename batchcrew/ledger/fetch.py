"""Rows of a query, without a cursor left open."""

from typing import Any, TypeAlias

import aiosqlite

Parameters: TypeAlias = tuple[Any, ...] | dict[str, Any]


async def one(connection: aiosqlite.Connection, query: str, parameters: Parameters = ()) -> tuple[Any, ...] | None:
    """The first row, or None."""
    rows = list(await connection.execute_fetchall(query, parameters))
    return tuple(rows[0]) if rows else None


async def value(connection: aiosqlite.Connection, query: str, parameters: Parameters = ()) -> Any:
    """The first column of the first row, or None."""
    row = await one(connection, query, parameters)
    return row[0] if row else None

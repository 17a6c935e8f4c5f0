"""Pending jobs that do not have an input which their crew requires: they fail without a kickoff."""

from collections.abc import Callable, Sequence

import aiosqlite

from batchcrew.base.reasons import reason_fingerprint
from batchcrew.ledger.fetch import one
from batchcrew.ledger.json_text import decode_json, encode_json

_PAGE = 1000
_PENDING = "batch_id = ? AND present = 1 AND state = 'pending' AND crew = ?"
Words = Callable[[Sequence[str], Sequence[str]], str]
"""Makes the reason of a job from the inputs that are missing and its row's columns."""


async def checked(connection: aiosqlite.Connection, batch_id: int) -> dict[str, list[str]]:
    """Return, by crew, the required inputs that every pending job is known to have."""
    row = await one(connection, "SELECT inputs_checked FROM batches WHERE id = ?", (batch_id,))
    return dict(decode_json(row[0])) if row and row[0] else {}


async def number(
    connection: aiosqlite.Connection, batch_id: int, crew: str, required: Sequence[str]
) -> tuple[int, int]:
    """Return how many pending jobs of the crew miss a required input, and how many jobs it has in the file."""
    row = await one(
        connection,
        f"SELECT (SELECT count(*) FROM jobs WHERE {_PENDING} AND missing_inputs(inputs, ?) IS NOT NULL),"
        " (SELECT count(*) FROM jobs WHERE batch_id = ? AND present = 1 AND crew = ?)",
        (batch_id, crew, encode_json(list(required)), batch_id, crew),
    )
    assert row is not None  # noqa: S101 - aggregates have one row
    return int(row[0]), int(row[1])


async def example(
    connection: aiosqlite.Connection, batch_id: int, crew: str, required: Sequence[str]
) -> tuple[str, list[str], list[str]] | None:
    """Return the id of the first such job, what it misses, and its row's columns."""
    row = await one(
        connection,
        f"SELECT job_id, missing_inputs(inputs, ?) AS missing, row FROM jobs WHERE {_PENDING} AND missing IS NOT NULL"
        " ORDER BY position LIMIT 1",
        (encode_json(list(required)), batch_id, crew),
    )
    return None if row is None else (row[0], decode_json(row[1]), list(decode_json(row[2])))


async def fail(
    connection: aiosqlite.Connection, batch_id: int, crew: str, required: Sequence[str], words: Words, now: str
) -> int:
    """pending -> failed for each job that misses a required input; returns how many. Remembers that it was checked."""
    failed = 0
    while True:
        rows = list(
            await connection.execute_fetchall(
                f"SELECT id, missing_inputs(inputs, ?) AS missing, row FROM jobs"
                f" WHERE {_PENDING} AND missing IS NOT NULL LIMIT ?",
                (encode_json(list(required)), batch_id, crew, _PAGE),
            )
        )
        if not rows:
            break
        reasons = [(words(decode_json(missing), list(decode_json(row))), key) for key, missing, row in rows]
        await connection.executemany(
            "UPDATE jobs SET state = 'failed', reason = ?, reason_fingerprint = ?, updated_at = ? WHERE id = ?",
            [(reason, reason_fingerprint(reason), now, key) for reason, key in reasons],
        )
        failed += len(rows)
    known = await checked(connection, batch_id)
    await connection.execute_fetchall(
        "UPDATE batches SET inputs_checked = ? WHERE id = ?",
        (encode_json({**known, crew: list(required)}), batch_id),
    )
    return failed

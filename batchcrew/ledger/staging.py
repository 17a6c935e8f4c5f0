"""Taking a job file in: jobs stream into a temporary table, are compared with the ledger, then merged.

The temporary table lives in a file of SQLite's own, so a million rows cost no memory and hold no lock;
the merge is one transaction: a batch is taken in whole or not at all.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import aiosqlite
import orjson

from batchcrew.errors import MAX_PROBLEMS
from batchcrew.ledger.fetch import one, value
from batchcrew.models import Duplicates, Job, Location, Plan

CHUNK_ROWS = 1000
"""Rows that are in memory at once while a file is taken in."""

_CREATE = """
CREATE TEMP TABLE staged (
    position INTEGER PRIMARY KEY, job_id TEXT NOT NULL, crew TEXT NOT NULL, fingerprint TEXT NOT NULL,
    inputs TEXT NOT NULL, meta TEXT NOT NULL, row TEXT NOT NULL, file TEXT NOT NULL, line INTEGER NOT NULL,
    duplicates TEXT
)
"""
_INSERT = "INSERT INTO temp.staged VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SKIP = """
DELETE FROM temp.staged AS s WHERE s.duplicates = 'skip'
AND EXISTS (SELECT 1 FROM temp.staged AS f WHERE f.job_id = s.job_id AND f.position < s.position)
"""
# the first keeps its id: which of equal rows comes first makes no difference
_NUMBER = """
UPDATE temp.staged AS s SET job_id = s.job_id || '-' || n.number
FROM (
    SELECT position, row_number() OVER (PARTITION BY job_id ORDER BY position) AS number
    FROM temp.staged WHERE duplicates = 'number'
) AS n
WHERE n.position = s.position AND n.number > 1
"""
_JOIN = "FROM temp.staged AS s JOIN jobs AS j ON j.batch_id = ? AND j.job_id = s.job_id"
# an open job keeps the inputs that its execution was given, until it has ended
_RUN_AGAIN = "j.fingerprint <> s.fingerprint AND j.state IN ('succeeded', 'failed')"


def encode_json(value: Any) -> str:
    """JSON text of what a file or a crew said, integers of any size included."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return orjson.dumps(_fragments(value)).decode()


def decode_json(text: str) -> Any:
    """What `encode_json` wrote. The stdlib's reader, since orjson's turns large integers into floats."""
    return json.loads(text)


def _fragments(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _fragments(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_fragments(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return orjson.Fragment(str(value))
    return value


class Columns:
    """The file's own columns over all its jobs, in order of first appearance."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self._seen: set[tuple[str, ...]] = set()
        self.policies: set[Duplicates | None] = set()
        """What jobs without an id of their own say about equal ones."""

    def add(self, row: Mapping[str, Any]) -> None:
        shape = tuple(row)
        if shape not in self._seen:
            if len(self._seen) < 1000:  # rows of a CSV have one shape; JSON lines may have many
                self._seen.add(shape)
            self.names.update(dict.fromkeys(shape))


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two jobs with one id."""

    job_id: str
    first: Location
    again: Location
    identical: bool
    """Neither has an id of its own: their crew and inputs are the same."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What a job file holds, compared with the ledger and not yet merged."""

    plan: Plan
    duplicates: tuple[Duplicate, ...]
    skipped: int = 0
    """Rows that were left out because an earlier row is identical (`duplicates: skip`)."""


async def compare(connection: aiosqlite.Connection, batch: str, jobs: Iterable[Job]) -> Staged:
    """Stream `jobs` into the temporary table and compare them with the batch, inside the caller's transaction."""
    columns, skipped = await stage(connection, jobs)
    twice = await duplicates(connection, MAX_PROBLEMS)
    known = await one(connection, "SELECT id FROM batches WHERE batch = ?", (batch,))
    return Staged(await plan(connection, known[0] if known else None, columns), tuple(twice), skipped)


async def stage(connection: aiosqlite.Connection, jobs: Iterable[Job]) -> tuple[tuple[str, ...], int]:
    """Stream `jobs` into the temporary table, inside the caller's transaction.

    Returns the file's own columns, and how many identical rows were skipped.
    """
    await clear(connection)
    await connection.execute_fetchall(_CREATE)
    await connection.execute_fetchall("PRAGMA temp.cache_size = -4000")
    columns = Columns()
    rows = _rows(jobs, columns)
    # the file is read and decoded in a thread: the loop stays free for a signal
    while chunk := await asyncio.to_thread(lambda: list(islice(rows, CHUNK_ROWS))):
        await connection.executemany(_INSERT, chunk)
    await connection.execute_fetchall("CREATE INDEX temp.staged_id ON staged (job_id)")
    skipped = 0
    if "skip" in columns.policies:
        before = await _count(connection, "SELECT count(*) FROM temp.staged")
        await connection.execute_fetchall(_SKIP)
        skipped = before - await _count(connection, "SELECT count(*) FROM temp.staged")
    if "number" in columns.policies:
        await connection.execute_fetchall(_NUMBER)
    return tuple(columns.names), skipped


def _rows(jobs: Iterable[Job], columns: Columns) -> Iterator[tuple[Any, ...]]:
    for position, job in enumerate(jobs):
        columns.add(job.row)
        columns.policies.add(job.duplicates)
        inputs = encode_json(job.inputs)
        yield (
            position,
            job.job_id,
            job.crew,
            job.fingerprint,
            inputs,
            encode_json(job.meta) if job.meta else "{}",
            inputs if job.row is job.inputs else encode_json(job.row),
            job.where.file,
            job.where.line,
            job.duplicates,
        )


async def duplicates(connection: aiosqlite.Connection, limit: int) -> list[Duplicate]:
    """Return the jobs whose id an earlier one has."""
    rows = await connection.execute_fetchall(
        """
        SELECT d.job_id, first.file, first.line, again.file, again.line,
            first.duplicates IS NOT NULL AND again.duplicates IS NOT NULL
        FROM (SELECT job_id, min(position) AS first FROM temp.staged GROUP BY job_id HAVING count(*) > 1) AS d
        JOIN temp.staged AS first ON first.position = d.first
        JOIN temp.staged AS again ON again.job_id = d.job_id AND again.position > d.first
        ORDER BY again.position LIMIT ?
        """,
        (limit,),
    )
    return [Duplicate(row[0], Location(row[1], row[2]), Location(row[3], row[4]), bool(row[5])) for row in rows]


async def plan(connection: aiosqlite.Connection, batch_id: int | None, columns: tuple[str, ...]) -> Plan:
    """What taking in what is staged would mean for the batch."""
    key = (-1 if batch_id is None else batch_id,)
    total = await _count(connection, "SELECT count(*) FROM temp.staged")
    if not await _has_jobs(connection, key[0]):
        return Plan(total=total, new=total, columns=columns)
    known = await _count(connection, f"SELECT count(*) {_JOIN}", key)
    changed = await _count(connection, f"SELECT count(*) {_JOIN} WHERE {_RUN_AGAIN}", key)
    gone = await _count(
        connection,
        "SELECT count(*) FROM jobs WHERE batch_id = ? AND job_id NOT IN (SELECT job_id FROM temp.staged)",
        key,
    )
    return Plan(total=total, new=total - known, changed=changed, unchanged=known - changed, gone=gone, columns=columns)


async def merge(connection: aiosqlite.Connection, batch_id: int, now: str) -> int:
    """Bring the batch's jobs to what is staged, inside the caller's transaction.

    Returns how many jobs keep their old inputs because an execution with these is still open.
    """
    if await _has_jobs(connection, batch_id):
        await _update(connection, batch_id, now)
    await connection.execute_fetchall(
        """
        INSERT INTO jobs (batch_id, job_id, crew, position, fingerprint, inputs, meta, row, source, updated_at)
        SELECT ?1, s.job_id, s.crew, s.position, s.fingerprint, s.inputs, s.meta, s.row, s.file || ':' || s.line, ?2
        FROM temp.staged AS s
        WHERE NOT EXISTS (SELECT 1 FROM jobs AS j WHERE j.batch_id = ?1 AND j.job_id = s.job_id)
        ORDER BY s.position
        """,
        (batch_id, now),
    )
    return await _count(
        connection,
        f"SELECT count(*) {_JOIN} WHERE j.fingerprint <> s.fingerprint",
        (batch_id,),
    )


async def _update(connection: aiosqlite.Connection, batch_id: int, now: str) -> None:
    """Jobs that the ledger has already: changed ones get their new inputs, all of them their place in the file."""
    await connection.execute_fetchall(
        f"""
        UPDATE jobs AS j SET
            state = CASE WHEN {_RUN_AGAIN} THEN 'pending' ELSE j.state END,
            not_before = CASE WHEN {_RUN_AGAIN} THEN '' ELSE j.not_before END,
            charged = CASE WHEN {_RUN_AGAIN} THEN 0 ELSE j.charged END,
            reason = CASE WHEN {_RUN_AGAIN} THEN NULL ELSE j.reason END,
            reason_fingerprint = CASE WHEN {_RUN_AGAIN} THEN NULL ELSE j.reason_fingerprint END,
            crew = s.crew, fingerprint = s.fingerprint, inputs = s.inputs, meta = s.meta, updated_at = ?
        FROM temp.staged AS s
        WHERE j.batch_id = ? AND j.job_id = s.job_id AND j.fingerprint <> s.fingerprint AND j.state <> 'open'
        """,
        (now, batch_id),
    )
    await connection.execute_fetchall(
        """
        UPDATE jobs AS j SET position = s.position, present = 1, row = s.row, source = s.file || ':' || s.line
        FROM temp.staged AS s
        WHERE j.batch_id = ? AND j.job_id = s.job_id AND (
            j.position <> s.position OR j.present = 0 OR j.row <> s.row OR j.source <> s.file || ':' || s.line)
        """,
        (batch_id,),
    )
    await connection.execute_fetchall(
        """
        UPDATE jobs SET present = 0
        WHERE batch_id = ? AND present = 1 AND job_id NOT IN (SELECT job_id FROM temp.staged)
        """,
        (batch_id,),
    )


async def clear(connection: aiosqlite.Connection) -> None:
    """Drop the temporary table."""
    await connection.execute_fetchall("DROP TABLE IF EXISTS temp.staged")


async def _has_jobs(connection: aiosqlite.Connection, batch_id: int) -> bool:
    """A new batch needs no comparison: that halves the time of taking a million rows in."""
    return bool(await _count(connection, "SELECT EXISTS (SELECT 1 FROM jobs WHERE batch_id = ?)", (batch_id,)))


async def _count(connection: aiosqlite.Connection, query: str, parameters: tuple[Any, ...] = ()) -> int:
    return int(await value(connection, query, parameters))

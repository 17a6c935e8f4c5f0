"""Stream a job file's jobs into a temporary table, before they are compared with the ledger and merged.

SQLite keeps the temporary table in a separate file, so a million rows need no memory and hold no lock.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import aiosqlite

from batchcrew.ledger.fetch import value
from batchcrew.ledger.json_text import encode_json
from batchcrew.model.job import Duplicates, Job, Location

CHUNK_ROWS = 1000
"""Rows that are in memory at once while a file is staged."""
MAX_SHAPES = 1000
"""Different sets of names that are kept in memory: rows of a CSV have one, JSON lines may have many."""

_CREATE = """
CREATE TEMP TABLE staged (
    position INTEGER PRIMARY KEY, job_id TEXT NOT NULL, crew TEXT NOT NULL, inputs TEXT NOT NULL, meta TEXT NOT NULL,
    row TEXT NOT NULL, file TEXT NOT NULL, line INTEGER NOT NULL,
    duplicates TEXT, -- NULL: the file gives the job an id
    quoting TEXT -- NULL: as the layout of the rows file says
)
"""
_INSERT = "INSERT INTO temp.staged VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SKIP = """
DELETE FROM temp.staged AS s WHERE s.duplicates = 'skip'
AND EXISTS (SELECT 1 FROM temp.staged AS f WHERE f.job_id = s.job_id AND f.position < s.position)
"""
# the first keeps its id: equal rows may change places without a new job
_NUMBER = """
UPDATE temp.staged AS s SET job_id = s.job_id || '-' || n.number
FROM (
    SELECT position, row_number() OVER (PARTITION BY job_id ORDER BY position) AS number
    FROM temp.staged WHERE duplicates = 'number'
) AS n
WHERE n.position = s.position AND n.number > 1
"""


class InputNames:
    """The input names of each crew's staged jobs."""

    def __init__(self) -> None:
        self._names: dict[str, set[tuple[str, ...]]] = {}

    def add(self, crew: str, inputs: Mapping[str, Any]) -> None:
        """Add the input names of one job."""
        known = self._names.setdefault(crew, set())
        if len(known) <= MAX_SHAPES:
            known.add(tuple(inputs))

    def may_miss(self, crew: str, required: Sequence[str]) -> bool:
        """Return whether a job of this crew may miss one of the inputs `required`: False is certain."""
        known = self._names.get(crew, ())
        return len(known) > MAX_SHAPES or not all(set(required).issubset(names) for names in known)


class Columns:
    """The file's own columns over all its jobs, in order of first appearance, and the jobs' input names."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self._seen: set[tuple[str, ...]] = set()
        self.policies: set[Duplicates | None] = set()
        """The setting `duplicates` of the jobs to which the file gives no id."""
        self.inputs = InputNames()

    def add(self, row: Mapping[str, Any]) -> None:
        """Add the columns of one row."""
        shape = tuple(row)
        if shape not in self._seen:
            if len(self._seen) < MAX_SHAPES:
                self._seen.add(shape)
            self.names.update(dict.fromkeys(shape))


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two jobs with the same id."""

    job_id: str
    first: Location
    again: Location
    identical: bool
    """The file gives neither an id: their crew and inputs are the same."""


async def stage(connection: aiosqlite.Connection, jobs: Iterable[Job]) -> tuple[Columns, int]:
    """Stream `jobs` into the temporary table, inside the caller's transaction.

    Returns the file's own columns, and how many identical rows were skipped.
    """
    await clear(connection)
    await connection.execute_fetchall(_CREATE)
    await connection.execute_fetchall("PRAGMA temp.cache_size = -4000")
    columns = Columns()
    rows = _rows(jobs, columns)
    # a thread reads and decodes the file, so that the event loop can handle a signal
    while chunk := await asyncio.to_thread(lambda: list(islice(rows, CHUNK_ROWS))):
        await connection.executemany(_INSERT, chunk)
    await connection.execute_fetchall("CREATE INDEX temp.staged_id ON staged (job_id)")
    skipped = 0
    if "skip" in columns.policies:
        before = await count(connection, "SELECT count(*) FROM temp.staged")
        await connection.execute_fetchall(_SKIP)
        skipped = before - await count(connection, "SELECT count(*) FROM temp.staged")
    if "number" in columns.policies:
        await connection.execute_fetchall(_NUMBER)
    return columns, skipped


def _rows(jobs: Iterable[Job], columns: Columns) -> Iterator[tuple[Any, ...]]:
    for position, job in enumerate(jobs):
        columns.add(job.row)
        columns.policies.add(job.duplicates)
        columns.inputs.add(job.crew, job.inputs)
        inputs = encode_json(job.inputs)
        yield (
            position,
            job.job_id,
            job.crew,
            inputs,
            encode_json(job.meta) if job.meta else "{}",
            inputs if job.row is job.inputs else encode_json(job.row),
            job.where.file,
            job.where.line,
            job.duplicates,
            job.quoting,
        )


async def duplicates(connection: aiosqlite.Connection, limit: int) -> list[Duplicate]:
    """Return the first jobs that have the id of an earlier one."""
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


async def clear(connection: aiosqlite.Connection) -> None:
    """Drop the temporary tables of a comparison."""
    for table in ("staged", "changed", "renamed", "removed", "fresh", "answers", "wanted", "moves"):
        await connection.execute_fetchall(f"DROP TABLE IF EXISTS temp.{table}")


async def is_compared(connection: aiosqlite.Connection) -> bool:
    """Return whether the staged jobs were compared with jobs of the batch; a new batch has none."""
    return bool(await count(connection, "SELECT EXISTS (SELECT 1 FROM sqlite_temp_schema WHERE name = 'changed')"))


async def count(connection: aiosqlite.Connection, query: str, parameters: tuple[Any, ...] = ()) -> int:
    """Return the number that the query selects."""
    return int(await value(connection, query, parameters))

"""Count jobs by state, and read the first ones of a list."""

from collections.abc import Mapping, Sequence

import aiosqlite

from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import one, rows
from batchcrew.ledger.json_text import decode_json, encode_json
from batchcrew.ledger.reads.base import Reads
from batchcrew.ledger.transitions import NOT_CANCELLED
from batchcrew.model.job import JobState
from batchcrew.model.run import Counts, JobLine

SECONDS = "(julianday(a.ended_at) - julianday(a.kicked_off_at)) * 86400.0"
PENDING = "batch_id = ? AND present = 1 AND state = 'pending' AND crew = ?"
STALE = "batch_id = ? AND present = 1 AND state = 'stale'"
# jobs that were kicked off again although the crew may have run an earlier attempt, or may still be running it
# (CROSS JOIN: SQLite looks up the few attempts in doubt first, and never all jobs of a batch)
_DUPLICATES = """
FROM (
    SELECT DISTINCT d.job FROM attempts AS d WHERE d.state IN ('in_doubt', 'lost', 'timed_out')
    AND d.sent_inputs IS NULL AND EXISTS (
        SELECT 1 FROM attempts AS again WHERE again.job = d.job AND again.number > d.number
        AND (again.kicked_off_at IS NOT NULL OR again.state = 'in_doubt'))
) AS unsure CROSS JOIN jobs AS j ON j.id = unsure.job WHERE j.batch_id = ?
"""

# succeeded jobs whose answer has no output, as `Execution.has_output` has it; the first line is the index's condition
_WITHOUT_OUTPUT = """
FROM attempts AS a INDEXED BY attempts_without_output CROSS JOIN jobs AS j ON j.id = a.job AND a.number = j.attempts
WHERE a.state = 'succeeded' AND trim(coalesce(a.output, ''), char(9, 10, 11, 12, 13, 32)) = ''
AND j.present = 1 AND j.state = 'succeeded'
AND coalesce(a.result_json, 'null') IN ('null', '{}', '[]', '""')
AND NOT EXISTS (SELECT 1 FROM task_results AS t WHERE t.attempt_id = a.id AND t.output <> '')
"""


async def job_counts(connection: aiosqlite.Connection, batch_id: int) -> Counts:
    """Return the number of jobs by state, from the index alone."""
    by_state: dict[str, int] = {}
    removed = 0
    for in_file, state, number in await rows(
        connection, "SELECT present, state, count(*) FROM jobs WHERE batch_id = ? GROUP BY present, state", (batch_id,)
    ):
        if in_file:
            by_state[state] = number
        else:
            removed += number
    row = await one(connection, f"SELECT count(*) {_DUPLICATES}", (batch_id,))
    return Counts(**by_state, removed=removed, possible_duplicates=int(row[0]) if row else 0)


async def first_duplicates(connection: aiosqlite.Connection, batch_id: int, limit: int) -> tuple[str, ...]:
    """Return the first job ids among the possible duplicates."""
    found = await rows(connection, f"SELECT j.job_id {_DUPLICATES} ORDER BY j.position LIMIT ?", (batch_id, limit))
    return tuple(row[0] for row in found)


async def duplicate_keys(connection: aiosqlite.Connection, batch_id: int) -> frozenset[int]:
    """Return the ledger's row numbers of the possible duplicates."""
    return frozenset(row[0] for row in await rows(connection, f"SELECT j.id {_DUPLICATES}", (batch_id,)))


async def first_failing(connection: aiosqlite.Connection, batch_id: int, limit: int) -> tuple[JobLine, ...]:
    """Return the first failed and held jobs, in the file's order."""
    found: list[JobLine] = []
    for state in ("failed", "held"):
        lines = await rows(
            connection,
            f"""
            SELECT j.job_id, j.crew, j.state, j.reason, {SECONDS}, j.charged, a.kickoff_id
            FROM jobs AS j LEFT JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
            WHERE j.batch_id = ? AND j.present = 1 AND j.state = ? ORDER BY +j.position LIMIT ?
            """,
            (batch_id, state, limit - len(found)),
        )
        found += [
            JobLine(
                job_id=row[0],
                crew=row[1],
                state=JobState(row[2]),
                reason=row[3],
                seconds=row[4],
                attempts_used=row[5],
                kickoff_id=row[6],
            )
            for row in lines
        ]
    return tuple(found)


async def without_output_counts(connection: aiosqlite.Connection, batch_id: int | None = None) -> dict[int, int]:
    """Return, by the batch's row number, how many jobs succeeded without an output; batches without any are missing."""
    one_batch = "AND j.batch_id = :batch" if batch_id is not None else ""
    query = f"SELECT j.batch_id, count(*) {_WITHOUT_OUTPUT} {one_batch} GROUP BY 1"
    return dict(await rows(connection, query, {"batch": batch_id}))


async def first_without_output(connection: aiosqlite.Connection, batch_id: int, limit: int) -> tuple[str, ...]:
    """Return the ids of the first jobs that succeeded without an output."""
    query = f"SELECT j.job_id {_WITHOUT_OUTPUT} AND j.batch_id = ? ORDER BY +j.position LIMIT ?"
    return tuple(row[0] for row in await rows(connection, query, (batch_id, limit)))


async def has_job(connection: aiosqlite.Connection, batch_id: int, job_id: str) -> bool:
    """Return whether the batch has a job of that id."""
    query = "SELECT 1 FROM jobs WHERE batch_id = ? AND job_id = ?"
    return await one(connection, query, (batch_id, job_id)) is not None


class JobReads(Reads):
    """Read the jobs of a batch."""

    async def job_names(self, batch: str, prefix: str, limit: int) -> list[str]:
        """Return the first ids of a batch's jobs that begin with `prefix`, in their order, from the index alone."""
        found = await self._rows(
            "SELECT job_id FROM jobs WHERE batch_id = (SELECT id FROM batches WHERE batch = ?)"
            " AND job_id >= ? AND job_id < ? ORDER BY job_id LIMIT ?",
            (batch, prefix, prefix + chr(0x10FFFF), limit),
        )
        return [job_id for (job_id,) in found]

    async def counts(self, key: BatchKey) -> Counts:
        """Return the number of jobs by state."""
        return await self._query(lambda connection: job_counts(connection, key.id))

    async def duplicates(self, key: BatchKey, limit: int = 5) -> tuple[str, ...]:
        """Return the ids of the first jobs that may have run twice."""
        return await self._query(lambda connection: first_duplicates(connection, key.id, limit))

    async def without_output(self, key: BatchKey, limit: int = 5) -> tuple[int, tuple[str, ...]]:
        """Return the number of jobs that succeeded without an output, and the ids of the first ones."""
        number = (await self._query(lambda connection: without_output_counts(connection, key.id))).get(key.id, 0)
        if not number:
            return 0, ()
        return number, await self._query(lambda connection: first_without_output(connection, key.id, limit))

    async def failing(self, key: BatchKey, limit: int = 5) -> tuple[JobLine, ...]:
        """Return the first failed and held jobs."""
        return await self._query(lambda connection: first_failing(connection, key.id, limit))

    async def stale(self, key: BatchKey, limit: int = 5) -> tuple[str, ...]:
        """Return the ids of the first stale jobs, in the file's order."""
        found = await self._rows(f"SELECT job_id FROM jobs WHERE {STALE} ORDER BY +position LIMIT ?", (key.id, limit))
        return tuple(row[0] for row in found)

    async def stale_by_crew(self, key: BatchKey) -> Mapping[str, int]:
        """Return the number of stale jobs of each crew."""
        return dict(await self._pairs(f"SELECT crew, count(*) FROM jobs WHERE {STALE} GROUP BY 1", key))

    async def pending_crews(self, key: BatchKey) -> Mapping[str, int]:
        """Return the number of pending jobs of each crew."""
        query = "SELECT crew, count(*) FROM jobs WHERE batch_id = ? AND present = 1 AND state = 'pending' GROUP BY crew"
        return dict(await self._pairs(query, key))

    async def next_start(self, key: BatchKey, crew: str) -> str | None:
        """Return when the crew's next pending job may start: UTC text, empty for now; None if no job is pending."""
        when: str | None = await self._value(
            f"SELECT min(not_before) FROM jobs WHERE {PENDING} AND {NOT_CANCELLED}", (key.id, crew)
        )
        return when

    async def missing_inputs(self, key: BatchKey, crew: str, required: Sequence[str]) -> tuple[int, int]:
        """Return how many pending jobs of the crew miss a required input, and how many jobs it has in the file."""
        row = await self._one(
            f"SELECT (SELECT count(*) FROM jobs WHERE {PENDING} AND missing_inputs(inputs, ?) IS NOT NULL),"
            " (SELECT count(*) FROM jobs WHERE batch_id = ? AND present = 1 AND crew = ?)",
            (key.id, crew, encode_json(list(required)), key.id, crew),
        )
        assert row is not None  # noqa: S101 - aggregates have one row
        return int(row[0]), int(row[1])

    async def missing_example(
        self, key: BatchKey, crew: str, required: Sequence[str]
    ) -> tuple[str, list[str], list[str]] | None:
        """Return the id of the first such job, its missing inputs, and its row's columns."""
        row = await self._one(
            f"SELECT job_id, missing_inputs(inputs, ?) AS missing, row FROM jobs WHERE {PENDING}"
            " AND missing IS NOT NULL ORDER BY position LIMIT 1",
            (encode_json(list(required)), key.id, crew),
        )
        return None if row is None else (row[0], decode_json(row[1]), list(decode_json(row[2])))

    async def _pairs(self, query: str, key: BatchKey) -> list[tuple[str, int]]:
        return [(crew, number) for crew, number in await self._rows(query, (key.id,))]

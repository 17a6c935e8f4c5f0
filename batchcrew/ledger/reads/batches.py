"""Read the ledger's records about a batch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import aiosqlite

from batchcrew.base.clock import from_text
from batchcrew.ledger.batch import BatchKey, RecordedJobFile
from batchcrew.ledger.fetch import rows, value
from batchcrew.ledger.json_text import decode_json, encode_json
from batchcrew.ledger.reads.base import Reads
from batchcrew.model.sheets import RowsLayout

WARNINGS_COLUMN = "told"
"""The column of `batches` with the warnings that its latest run reported."""


async def batch_name(connection: aiosqlite.Connection, batch_id: int) -> str:
    """Return the name of the batch with that row number."""
    return str(await value(connection, "SELECT batch FROM batches WHERE id = ?", (batch_id,)))


async def batch_rows(connection: aiosqlite.Connection, batch_id: int | None = None) -> list[tuple[Any, ...]]:
    """Return (id, batch, jobfile, created_at, last run) of one batch or of all, the one that ran last first."""
    return await rows(
        connection,
        """
        SELECT b.id, b.batch, b.jobfile, b.created_at,
               (SELECT max(started_at) FROM runs AS r WHERE r.batch_id = b.id) AS last_run
        FROM batches AS b WHERE ? IS NULL OR b.id = ? ORDER BY coalesce(last_run, b.created_at) DESC, b.id DESC
        """,
        (batch_id, batch_id),
    )


class BatchReads(Reads):
    """Read the row of a batch, and the records of its crews."""

    async def batch(self, batch: str) -> BatchKey | None:
        """Return the batch of that name, or None."""
        row = await self._one(
            "SELECT id, batch, digest, columns, jobfile, jobfile_path, sent_columns FROM batches WHERE batch = ?",
            (batch,),
        )
        if row is None:
            return None
        sent = decode_json(row[6]) if row[6] else None
        return BatchKey(row[0], row[1], row[2], tuple(decode_json(row[3])), row[4], row[5], sent)

    async def latest(self) -> str | None:
        """Return the name of the batch that ran last; None in an empty ledger."""
        found = await self._query(batch_rows)
        return found[0][1] if found else None

    async def batch_names(self) -> list[str]:
        """Return the names of all batches, the one that ran last first."""
        return [row[1] for row in await self._query(batch_rows)]

    async def recorded_jobfile(self, batch: str) -> RecordedJobFile | None:
        """Return the job file of the batch of that name; this also reads a ledger of an older schema."""

        async def query(connection: aiosqlite.Connection) -> dict[str, Any] | None:
            async with connection.execute("SELECT * FROM batches WHERE batch = ?", (batch,)) as cursor:
                names = [column[0] for column in cursor.description]  # an older schema has fewer columns
                row = await cursor.fetchone()
            return None if row is None else dict(zip(names, row, strict=True))

        row = await self._query(query)
        if row is None:
            return None
        path, from_ledger = row.get("jobfile_path"), row.get("jobfile_from_ledger")
        return RecordedJobFile(row["jobfile"], path, from_ledger, row.get("jobfile_date"))

    async def rows_layouts(self, key: BatchKey) -> tuple[RowsLayout, ...]:
        """Return how the rows files of a batch were written, in the job file's order.

        Empty if the batch has none, or an earlier version of batchcrew ingested its job file.
        """
        found = await self._rows(
            "SELECT file, format, layout FROM rows_files WHERE batch_id = ? ORDER BY position", (key.id,)
        )
        return tuple(RowsLayout(file=row[0], format=row[1], layout=decode_json(row[2])) for row in found)

    async def recorded_crews(self, batch: str) -> Mapping[str, Sequence[str]]:
        """Return the addresses that job files of the batch gave for each crew, the latest last."""
        text = await self._value("SELECT crews FROM batches WHERE batch = ?", (batch,))
        return decode_json(text) if text else {}

    async def reported_warnings(self, batch: str) -> frozenset[str]:
        """Return the warnings that the batch's latest run reported."""
        text = await self._value(f"SELECT {WARNINGS_COLUMN} FROM batches WHERE batch = ?", (batch,))
        return frozenset(decode_json(text)) if text else frozenset()

    async def canary_passed(self, key: BatchKey) -> bool:
        """Return whether enough of the batch's first jobs have succeeded before."""
        return bool(await self._value("SELECT canary_passed FROM batches WHERE id = ?", (key.id,)))

    async def failure_streaks(self, key: BatchKey) -> dict[str, Any]:
        """Return the failures in a row by crew, as they were given to `ended`."""
        text = await self._value("SELECT failure_streak FROM batches WHERE id = ?", (key.id,))
        return dict(decode_json(text)) if text else {}

    async def inputs_checked(self, key: BatchKey) -> Mapping[str, list[str]]:
        """Return, by crew, the required inputs that every pending job is known to have."""
        text = await self._value("SELECT inputs_checked FROM batches WHERE id = ?", (key.id,))
        return dict(decode_json(text)) if text else {}

    async def durations(self, addresses: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the saved durations of executions, by the address of their crew."""
        wanted = encode_json(list(addresses))
        sql = "SELECT address, state FROM crew_durations WHERE address IN (SELECT value FROM json_each(?))"
        found = await self._rows(sql, (wanted,))
        return {address: decode_json(state) for address, state in found}

    async def throttle_states(self, key: BatchKey) -> dict[str, tuple[dict[str, Any], float]]:
        """Return, by crew, the saved state of the limits on its kickoffs, and its age in seconds."""
        found = await self._rows("SELECT crew, state, saved_at FROM paces WHERE batch_id = ?", (key.id,))
        now = self._clock.now()
        return {
            crew: (decode_json(state), max(0.0, (now - from_text(saved)).total_seconds()))
            for crew, state, saved in found
        }

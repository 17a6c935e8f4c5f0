"""Ingest a job file: stage its jobs, compare them with the batch, and merge them in one transaction."""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence

import aiosqlite

from batchcrew.ledger import comparing, staging
from batchcrew.ledger.batch import BatchKey, RecordedJobFile, SentColumns
from batchcrew.ledger.comparing import Staged
from batchcrew.ledger.connection import plain_errors
from batchcrew.ledger.fetch import one
from batchcrew.ledger.json_text import encode_json
from batchcrew.ledger.merging import merge
from batchcrew.ledger.writer import Statement
from batchcrew.ledger.writes.base import Writes
from batchcrew.model.job import Job
from batchcrew.model.sheets import RowsLayout

_RECORD_JOBFILE = Statement(
    "UPDATE batches SET jobfile = ?, jobfile_path = ?, jobfile_from_ledger = ?, jobfile_date = ? WHERE id = ?"
)
_RECORD_CREWS = Statement("UPDATE batches SET crews = ? WHERE id = ?")


class JobFileWrites(Writes):
    """Write job files to the ledger."""

    async def stage(
        self, batch: str, jobs: Iterable[Job], *, crew_groups: Mapping[str, str] | None = None, reuse: bool = True
    ) -> Staged:
        """Stream a job file's jobs into a temporary table and compare them with the batch; change nothing yet.

        Call it before the first transition: it uses the writing connection itself.

        Args:
            crew_groups: a common name for names of one crew.
            reuse: whether a job may take over the answer of another one with the same inputs.
        """
        connection = self._before_writer("jobs are staged")
        with plain_errors(self._name, consequence=self._consequence):
            await connection.execute_fetchall("BEGIN")
            try:
                staged = await comparing.compare(connection, batch, jobs, crew_groups=crew_groups or {}, reuse=reuse)
                await connection.commit()
            except BaseException:
                await connection.rollback()
                raise
        return staged

    async def ingest(
        self,
        batch: str,
        *,
        jobfile: str,
        digest: str | None,
        columns: tuple[str, ...],
        sent_columns: SentColumns | None = None,
        crews: Mapping[str, Sequence[str]] | None = None,
        layouts: Sequence[RowsLayout] = (),
    ) -> BatchKey:
        """Merge the staged jobs into the batch in one transaction, and return it; a new batch is created.

        Args:
            digest: of the job file; None: the next run reads it again.
            columns: the file's own columns.
            sent_columns: the columns that are sent to each crew from now on; None: as before.
            crews: every address that the batch's job files gave for each crew; None: as before.
            layouts: how the rows files were written, in the job file's order.
        """
        chosen = None if sent_columns is None else encode_json(sent_columns)
        addresses = None if crews is None else encode_json(crews)
        now = self._now()
        path = await asyncio.to_thread(os.path.abspath, jobfile)  # links are not resolved: it is the path as given

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute_fetchall(
                "INSERT INTO batches (batch, jobfile, created_at) VALUES (?, ?, ?) ON CONFLICT (batch) DO NOTHING",
                (batch, jobfile, now),
            )
            row = await one(connection, "SELECT id FROM batches WHERE batch = ?", (batch,))
            assert row is not None  # noqa: S101 - inserted above
            await merge(connection, row[0], now)
            await connection.execute_fetchall(
                "UPDATE batches SET jobfile = ?, jobfile_path = ?, digest = ?, columns = ?,"
                " sent_columns = coalesce(?, sent_columns), crews = coalesce(?, crews), inputs_checked = NULL"
                " WHERE id = ?",
                (jobfile, path, digest, encode_json(list(columns)), chosen, addresses, row[0]),
            )
            await _record_layouts(connection, row[0], layouts)

        await self._writing.call(work)
        assert self._write is not None  # noqa: S101 - opened with the ledger
        with plain_errors(self._name, consequence=self._consequence):
            await staging.clear(self._write)
        key = await self.batch(batch)
        assert key is not None  # noqa: S101 - merged above
        return key

    async def record_layouts(self, key: BatchKey, layouts: Sequence[RowsLayout]) -> None:
        """Record how the rows files of a batch were written."""
        await self._writing.call(lambda connection: _record_layouts(connection, key.id, layouts))

    async def record_jobfile(self, key: BatchKey, jobfile: RecordedJobFile) -> None:
        """Record which job file the batch belongs to from now on."""
        values = (jobfile.given, jobfile.path, jobfile.from_ledger, jobfile.date, key.id)
        await self._writing.change((_RECORD_JOBFILE, [values]))

    async def record_crews(self, key: BatchKey, crews: Mapping[str, Sequence[str]]) -> None:
        """Record every address that the batch's job files gave for each crew."""
        await self._writing.change((_RECORD_CREWS, [(encode_json(crews), key.id)]))


async def _record_layouts(connection: aiosqlite.Connection, batch_id: int, layouts: Sequence[RowsLayout]) -> None:
    await connection.execute_fetchall("DELETE FROM rows_files WHERE batch_id = ?", (batch_id,))
    files = [(batch_id, number, one.file, one.format, encode_json(one.layout)) for number, one in enumerate(layouts)]
    await connection.executemany("INSERT INTO rows_files VALUES (?, ?, ?, ?, ?)", files)

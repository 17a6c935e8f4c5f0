"""The questions that the ledger answers. Nothing here changes it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite

from batchcrew.clock import Clock, from_text
from batchcrew.errors import LedgerError, NotInLedger
from batchcrew.ledger import queries, rechecks, staging
from batchcrew.ledger.connection import plain_errors
from batchcrew.ledger.lock import is_held
from batchcrew.ledger.rechecks import EndedAttempt
from batchcrew.models import Attempt, AttemptState, BatchLine, BatchStatus, Counts, JobDetail, JobLine, ResultRow

LOOKED_BACK = 7
"""Other batches of a job file that are looked at for work that was left."""
SHOWN_DUPLICATES = 1000
"""Possible duplicates that are named in a status; all are counted, and every export marks them."""


@dataclass(frozen=True, slots=True)
class BatchKey:
    """A batch as the ledger knows it."""

    id: int
    batch: str
    digest: str | None
    columns: tuple[str, ...]
    jobfile: str
    jobfile_path: str | None = None
    """Absolute; None where an earlier batchcrew took the job file in."""


class Reading:
    """The half of `Ledger` that asks; its connection is the ledger's, which opens and closes it."""

    def __init__(self, path: Path | None, *, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._name = ":memory:" if path is None else str(path)
        self._read: aiosqlite.Connection | None = None

    async def batch(self, batch: str) -> BatchKey | None:
        """The batch of that name, or None."""
        with plain_errors(self._name):
            row = await queries.one(
                self._reader,
                "SELECT id, batch, digest, columns, jobfile, jobfile_path FROM batches WHERE batch = ?",
                (batch,),
            )
        if row is None:
            return None
        return BatchKey(row[0], row[1], row[2], tuple(staging.decode_json(row[3])), row[4], row[5])

    async def latest_stop(self, key: BatchKey) -> str | None:
        """Why the batch stopped last, if no run has kicked anything off since."""
        with plain_errors(self._name):
            row = await queries.one(
                self._reader,
                "SELECT stopped FROM runs WHERE batch_id = ? AND (stopped IS NOT NULL OR kickoffs > 0)"
                " ORDER BY rowid DESC LIMIT 1",
                (key.id,),
            )
        return row[0] if row else None

    async def told(self, batch: str) -> "frozenset[str]":
        """The warnings that the batch's latest run said."""
        with plain_errors(self._name):
            row = await queries.one(self._reader, "SELECT told FROM batches WHERE batch = ?", (batch,))
        return frozenset(staging.decode_json(row[0])) if row else frozenset()

    async def left_behind(self, key: BatchKey) -> Mapping[str, Counts]:
        """Other batches of the same job file (yesterday's, by `{date}`) that have work left; the latest few."""
        with plain_errors(self._name):
            rows = await self._reader.execute_fetchall(
                "SELECT id, batch FROM batches WHERE jobfile = ? AND id <> ? ORDER BY id DESC LIMIT ?",
                (key.jobfile, key.id, LOOKED_BACK),
            )
            counts = {row[1]: await queries.counts(self._reader, row[0]) for row in rows}
        return {batch: each for batch, each in counts.items() if each.left}

    async def unanswered(self, key: BatchKey) -> int:
        """Kickoffs that have left, perhaps, and whose answer is not here."""
        # both states are named so that the small index of open attempts serves
        with plain_errors(self._name):
            row = await queries.one(
                self._reader,
                "SELECT count(*) FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job"
                " WHERE a.state IN ('intended', 'kicked_off') AND a.state = 'intended' AND j.batch_id = ?",
                (key.id,),
            )
        return int(row[0]) if row else 0

    async def canary_passed(self, key: BatchKey) -> bool:
        """Whether the batch's first jobs have ended well before."""
        with plain_errors(self._name):
            row = await queries.one(self._reader, "SELECT canary_passed FROM batches WHERE id = ?", (key.id,))
        return bool(row and row[0])

    async def kickoffs(self, key: BatchKey) -> int:
        """Kickoffs that the batch has spent: every attempt that was not refused."""
        with plain_errors(self._name):
            row = await queries.one(
                self._reader,
                "SELECT count(*) FROM jobs AS j JOIN attempts AS a ON a.job = j.id"
                " WHERE j.batch_id = ? AND a.state <> 'rejected'",
                (key.id,),
            )
        return int(row[0]) if row else 0

    async def paces(self, key: BatchKey) -> dict[str, tuple[dict[str, Any], float]]:
        """What was kept, by crew, each with how many seconds ago."""
        with plain_errors(self._name):
            rows = await self._reader.execute_fetchall(
                "SELECT crew, state, saved_at FROM paces WHERE batch_id = ?", (key.id,)
            )
        now = self._clock.now()
        return {
            crew: (staging.decode_json(state), max(0.0, (now - from_text(saved)).total_seconds()))
            for crew, state, saved in rows
        }

    async def counts(self, key: BatchKey) -> Counts:
        """Jobs by state."""
        with plain_errors(self._name):
            return await queries.counts(self._reader, key.id)

    async def duplicates(self, key: BatchKey, limit: int = 5) -> tuple[str, ...]:
        """The first job ids that may have run twice."""
        with plain_errors(self._name):
            return await queries.duplicates(self._reader, key.id, limit)

    async def open_attempts(self, key: BatchKey) -> list[tuple[AttemptState, Attempt]]:
        """What an earlier run left `intended` or `kicked_off`."""
        with plain_errors(self._name):
            return await queries.open_attempts(self._reader, key.id, key.batch)

    async def addresses(self, key: BatchKey) -> frozenset[tuple[str, str]]:
        """(crew, address) of the executions in progress, where the ledger knows at which address they were started."""
        with plain_errors(self._name):
            rows = await self._reader.execute_fetchall(
                "SELECT DISTINCT c.crew, c.url FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job"
                " JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = j.crew"
                " WHERE a.state IN ('intended', 'kicked_off') AND a.state = 'kicked_off' AND j.batch_id = ?",
                (key.id,),
            )
        return frozenset((crew, url) for crew, url in rows)

    async def unsure(self, key: BatchKey, job_ids: Sequence[str] = ()) -> AsyncIterator[EndedAttempt]:
        """The attempts that `recheck` looks at, job by job in the file's order, the latest of a job first.

        Raises:
            NotInLedger: the batch has no such job.
        """
        with plain_errors(self._name):
            for job_id in job_ids:
                found = await queries.one(
                    self._reader, "SELECT 1 FROM jobs WHERE batch_id = ? AND job_id = ?", (key.id, job_id)
                )
                if found is None:
                    raise NotInLedger(f"job {job_id!r} not found in batch {key.batch}")
            async for attempt in rechecks.unsure(self._reader, key.id, job_ids):
                yield attempt

    async def unsure_addresses(self, key: BatchKey, job_ids: Sequence[str] = ()) -> frozenset[tuple[str, str | None]]:
        """(crew, address) of the attempts that `unsure` gives; None where the ledger does not know the address."""
        with plain_errors(self._name):
            return await rechecks.addresses(self._reader, key.id, job_ids)

    async def held_without_id(self, key: BatchKey, job_ids: Sequence[str] = ()) -> int:
        """Held jobs that `recheck` cannot look at: nobody knows their kickoff_id."""
        with plain_errors(self._name):
            return await rechecks.held_without_id(self._reader, key.id, job_ids)

    async def unsure_count(self, key: BatchKey) -> int:
        """Jobs that `recheck` would look at."""
        with plain_errors(self._name):
            return await rechecks.count(self._reader, key.id)

    async def next_start(self, key: BatchKey, crew: str) -> str | None:
        """When the crew's next pending job may start: UTC text, empty for at once; None when there is none."""
        with plain_errors(self._name):
            return await queries.next_start(self._reader, key.id, crew)

    async def pending_crews(self, key: BatchKey) -> Mapping[str, int]:
        """Pending jobs by crew."""
        with plain_errors(self._name):
            return await queries.pending_crews(self._reader, key.id)

    async def failing(self, key: BatchKey, limit: int = 5) -> tuple[JobLine, ...]:
        """The first failed and held jobs."""
        with plain_errors(self._name):
            return await queries.failing(self._reader, key.id, limit)

    async def status(self, key: BatchKey) -> BatchStatus:
        """Everything `status` shows."""
        with plain_errors(self._name):
            return BatchStatus(
                line=(await self._lines("WHERE b.id = ?", (key.id,)))[0],
                in_flight=await queries.in_flight(self._reader, key.id),
                failing=await queries.failing(self._reader, key.id, 5),
                duplicates=await queries.duplicates(self._reader, key.id, SHOWN_DUPLICATES),
            )

    async def list(self) -> list[BatchLine]:
        """Every batch, the one that ran last first."""
        with plain_errors(self._name):
            return [*await self._lines()]

    async def latest(self) -> str | None:
        """The name of the batch that ran last; None in an empty ledger."""
        with plain_errors(self._name):
            rows = await queries.batches(self._reader)
        return rows[0][1] if rows else None

    async def _lines(self, where: str = "", parameters: tuple[Any, ...] = ()) -> Sequence[BatchLine]:
        return [
            BatchLine(
                batch=row[1],
                counts=await queries.counts(self._reader, row[0]),
                jobfile=row[2],
                created_at=row[3],
                last_run_at=row[4],
                running=self.path is not None and await asyncio.to_thread(is_held, self.path, row[1]),
            )
            for row in await queries.batches(self._reader, where, parameters)
        ]

    async def job(self, key: BatchKey, job_id: str) -> JobDetail:
        """One job with its attempts.

        Raises:
            NotInLedger: the batch has no such job.
        """
        with plain_errors(self._name):
            detail = await queries.job_detail(self._reader, key.id, key.batch, job_id)
        if detail is None:
            raise NotInLedger(f"batch {key.batch} has no job {job_id!r}; `batchcrew export` shows them all")
        return detail

    async def results(self, key: BatchKey, *, with_gone: bool = False) -> AsyncIterator[ResultRow]:
        """Every job in the file's order, a page at a time."""
        with plain_errors(self._name):
            async for row in queries.results(self._reader, key.id, with_gone=with_gone):
                yield row

    @property
    def _reader(self) -> aiosqlite.Connection:
        if self._read is None:
            raise LedgerError("a defect: the ledger is not open")
        return self._read

"""What can be read from a ledger, by whoever has a connection to it. Nothing here changes it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import aiosqlite

from batchcrew.base.clock import Clock, from_text
from batchcrew.base.errors import LedgerError, NotInLedger
from batchcrew.ledger import missing_inputs, queries, rechecks, stale
from batchcrew.ledger.connection import plain_errors
from batchcrew.ledger.json_text import decode_json
from batchcrew.ledger.lock import is_held
from batchcrew.ledger.rechecks import EndedAttempt
from batchcrew.model.attempt import Attempt, AttemptState
from batchcrew.model.run import Counts, JobLine
from batchcrew.model.views import BatchLine, BatchStatus, JobDetail, ResultRow, RunLine

T = TypeVar("T")
LOOKED_BACK = 7
"""Other batches of a job file that are looked at for work that was left."""
SHOWN_DUPLICATES = 1000
"""Possible duplicates that are named in a status; all are counted, and every export marks them."""


SentColumns: TypeAlias = Mapping[str, list[str] | Literal["all"]]
"""The names of the columns that are sent to each crew, by its name; `*` is every crew that is not named."""


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
    sent_columns: SentColumns | None = None
    """None while that is not decided."""


@dataclass(frozen=True, slots=True)
class RecordedJobFile:
    """Which job file a batch belongs to, as the ledger has recorded it."""

    given: str
    """The path as it was typed, from a folder that is not recorded."""
    path: str | None = None
    """Absolute, links not resolved; None where an earlier version took the job file in."""
    from_ledger: str | None = None
    """Relative to the ledger's folder."""
    date: str | None = None
    """What `{date}` was, as YYYY-MM-DD; None where the job file does not use it."""


class Reading:
    """The read methods that `Ledger` and `LedgerReader` share; each of the two opens its own connection.

    Every method raises `LedgerError` when the file cannot be read.
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

    @property
    def _reader(self) -> aiosqlite.Connection:
        if self._read is None:
            raise LedgerError("a defect: the ledger is not open")
        return self._read

    async def batch(self, batch: str) -> BatchKey | None:
        """The batch of that name, or None."""
        row = await self._query(lambda connection: queries.batch(connection, batch))
        if row is None:
            return None
        sent = decode_json(row[6]) if row[6] else None
        return BatchKey(row[0], row[1], row[2], tuple(decode_json(row[3])), row[4], row[5], sent)

    async def recorded_jobfile(self, batch: str) -> RecordedJobFile | None:
        """The job file of the batch of that name; also from a ledger of an older schema."""
        row = await self._query(lambda connection: queries.recorded_jobfile(connection, batch))
        if row is None:
            return None
        path, from_ledger = row.get("jobfile_path"), row.get("jobfile_from_ledger")
        return RecordedJobFile(row["jobfile"], path, from_ledger, row.get("jobfile_date"))

    async def latest_stop(self, key: BatchKey) -> str | None:
        """Why the batch stopped last, if no run has kicked anything off since."""
        return await self._query(lambda connection: queries.latest_stop(connection, key.id))

    async def reported_warnings(self, batch: str) -> "frozenset[str]":
        """The warnings that the batch's latest run said."""
        text = await self._query(lambda connection: queries.reported_warnings(connection, batch))
        return frozenset(decode_json(text)) if text else frozenset()

    async def left_behind(self, key: BatchKey) -> Mapping[str, Counts]:
        """Other batches of the same job file (yesterday's, by `{date}`) that have work left; the latest few."""

        async def query(connection: aiosqlite.Connection) -> dict[str, Counts]:
            others = await queries.others_of_jobfile(connection, key.id, LOOKED_BACK)
            return {batch: await queries.counts(connection, batch_id) for batch_id, batch in others}

        return {batch: counts for batch, counts in (await self._query(query)).items() if counts.left}

    async def unanswered(self, key: BatchKey) -> int:
        """Kickoffs that have left, perhaps, and whose answer is not here."""
        return await self._query(lambda connection: queries.unanswered(connection, key.id))

    async def canary_passed(self, key: BatchKey) -> bool:
        """Whether enough of the batch's first jobs have succeeded before."""
        return await self._query(lambda connection: queries.canary_passed(connection, key.id))

    async def failure_streaks(self, key: BatchKey) -> dict[str, Any]:
        """Failures in a row by crew, as `ended` was given them."""
        text = await self._query(lambda connection: queries.failure_streaks(connection, key.id))
        return dict(decode_json(text)) if text else {}

    async def kickoffs_left(self, key: BatchKey, attempts: int) -> tuple[int, int]:
        """Kickoffs that the pending and the open jobs take: at least, and with `attempts` for each job at most."""
        return await self._query(lambda connection: queries.kickoffs_left(connection, key.id, attempts))

    async def kickoffs(self, key: BatchKey) -> int:
        """Kickoffs that the batch has spent: every attempt that was not refused."""
        return await self._query(lambda connection: queries.kickoffs(connection, key.id))

    async def throttle_states(self, key: BatchKey) -> dict[str, tuple[dict[str, Any], float]]:
        """What was kept, by crew, each with how many seconds ago."""
        rows = await self._query(lambda connection: queries.throttle_states(connection, key.id))
        now = self._clock.now()
        return {
            crew: (decode_json(state), max(0.0, (now - from_text(saved)).total_seconds()))
            for crew, state, saved in rows
        }

    async def counts(self, key: BatchKey) -> Counts:
        """Jobs by state."""
        return await self._query(lambda connection: queries.counts(connection, key.id))

    async def duplicates(self, key: BatchKey, limit: int = 5) -> tuple[str, ...]:
        """The first job ids that may have run twice."""
        return await self._query(lambda connection: queries.duplicates(connection, key.id, limit))

    async def open_attempts(self, key: BatchKey) -> list[tuple[AttemptState, Attempt]]:
        """What an earlier run left `intended` or `kicked_off`."""
        return await self._query(lambda connection: queries.open_attempts(connection, key.id, key.batch))

    async def addresses(self, key: BatchKey) -> frozenset[tuple[str, str]]:
        """(crew, address) of the executions in progress, where the ledger knows at which address they were started."""
        return await self._query(lambda connection: queries.addresses(connection, key.id))

    async def unsure(self, key: BatchKey, job_ids: Sequence[str] = ()) -> AsyncIterator[EndedAttempt]:
        """The attempts that `recheck` looks at, job by job in the file's order, the latest of a job first.

        Raises:
            NotInLedger: the batch has no such job.
        """
        for job_id in job_ids:
            if not await self._query(partial(queries.has_job, batch_id=key.id, job_id=job_id)):
                raise NotInLedger(f"job {job_id!r} not found in batch {key.batch}")
        after: rechecks.PageKey | None = rechecks.FIRST_PAGE
        while after is not None:
            next_page = partial(rechecks.unsure_page, batch_id=key.id, job_ids=job_ids, after=after)
            page, after = await self._query(next_page)
            for attempt in page:
                yield attempt

    async def unsure_addresses(self, key: BatchKey, job_ids: Sequence[str] = ()) -> frozenset[tuple[str, str | None]]:
        """(crew, address) of the attempts that `unsure` gives; None where the ledger does not know the address."""
        return await self._query(lambda connection: rechecks.addresses(connection, key.id, job_ids))

    async def held_without_id(self, key: BatchKey, job_ids: Sequence[str] = ()) -> int:
        """Held jobs that `recheck` cannot look at: nobody knows their kickoff_id."""
        return await self._query(lambda connection: rechecks.held_without_id(connection, key.id, job_ids))

    async def unsure_count(self, key: BatchKey) -> int:
        """Jobs that `recheck` would look at."""
        return await self._query(lambda connection: rechecks.count(connection, key.id))

    async def stale(self, key: BatchKey, limit: int = 5) -> tuple[str, ...]:
        """The ids of the first stale jobs."""
        return await self._query(lambda connection: stale.first(connection, key.id, limit))

    async def stale_by_crew(self, key: BatchKey) -> Mapping[str, int]:
        """The number of stale jobs of each crew."""
        return await self._query(lambda connection: stale.by_crew(connection, key.id))

    async def inputs_checked(self, key: BatchKey) -> Mapping[str, list[str]]:
        """By crew, the required inputs that every pending job is known to have."""
        return await self._query(lambda connection: missing_inputs.checked(connection, key.id))

    async def missing_inputs(self, key: BatchKey, crew: str, required: Sequence[str]) -> tuple[int, int]:
        """How many pending jobs of the crew miss a required input, and how many jobs of it are in the file."""
        return await self._query(lambda connection: missing_inputs.number(connection, key.id, crew, required))

    async def missing_example(
        self, key: BatchKey, crew: str, required: Sequence[str]
    ) -> tuple[str, list[str], list[str]] | None:
        """The id of the first such job, what it misses, and its row's columns."""
        return await self._query(lambda connection: missing_inputs.example(connection, key.id, crew, required))

    async def crew_addresses(self, batch: str) -> Mapping[str, Sequence[str]]:
        """The addresses of each crew in the runs of the batch of that name, the latest last."""
        return await self._query(lambda connection: queries.crew_addresses(connection, batch))

    async def recorded_crews(self, batch: str) -> Mapping[str, Sequence[str]]:
        """The addresses that job files of the batch of that name gave for each crew, the latest last."""
        text = await self._query(lambda connection: queries.recorded_crews(connection, batch))
        return decode_json(text) if text else {}

    async def answers_from(self, key: BatchKey, crew: str, address: str) -> int:
        """How many jobs have succeeded whose answer came from the crew at that address."""
        return await self._query(lambda connection: queries.answers_from(connection, key.id, crew, address))

    async def next_start(self, key: BatchKey, crew: str) -> str | None:
        """When the crew's next pending job may start: UTC text, empty for at once; None when there is none."""
        return await self._query(lambda connection: queries.next_start(connection, key.id, crew))

    async def pending_crews(self, key: BatchKey) -> Mapping[str, int]:
        """Pending jobs by crew."""
        return await self._query(lambda connection: queries.pending_crews(connection, key.id))

    async def failing(self, key: BatchKey, limit: int = 5) -> tuple[JobLine, ...]:
        """The first failed and held jobs."""
        return await self._query(lambda connection: queries.failing(connection, key.id, limit))

    async def status(self, key: BatchKey) -> BatchStatus:
        """Everything `status` shows, as of one moment."""

        async def query(connection: aiosqlite.Connection) -> BatchStatus:
            return BatchStatus(
                line=(await self._lines(connection, key.id))[0],
                in_flight=await queries.in_flight(connection, key.id),
                failing=await queries.failing(connection, key.id, 5),
                duplicates=await queries.duplicates(connection, key.id, SHOWN_DUPLICATES),
            )

        return await self._query(query)

    async def batches(self) -> list[BatchLine]:
        """Every batch, the one that ran last first."""
        return await self._query(self._lines)

    async def latest(self) -> str | None:
        """The name of the batch that ran last; None in an empty ledger."""
        rows = await self._query(queries.batches)
        return rows[0][1] if rows else None

    async def runs(self, key: BatchKey | None, limit: int) -> list[RunLine]:
        """The latest runs, ticks and other calls that worked on the batch (None: on any batch), the newest first."""
        lines = await self._query(lambda connection: queries.runs(connection, key.id if key else None, limit))
        held = {batch: await self._is_held(batch) for batch in {line.batch for line in lines if not line.ended_at}}
        newest: set[str] = set()
        seen: list[RunLine] = []
        for line in lines:  # the newest row of a batch that is held is the one that runs
            running = not line.ended_at and held[line.batch] and line.batch not in newest
            newest.add(line.batch)
            seen.append(replace(line, running=running))
        return seen

    async def _lines(self, connection: aiosqlite.Connection, batch_id: int | None = None) -> list[BatchLine]:
        return [
            BatchLine(
                batch=row[1],
                counts=await queries.counts(connection, row[0]),
                jobfile=row[2],
                created_at=row[3],
                last_run_at=row[4],
                running=await self._is_held(row[1]),
            )
            for row in await queries.batches(connection, batch_id)
        ]

    async def _is_held(self, batch: str) -> bool:
        return self.path is not None and await asyncio.to_thread(is_held, self.path, batch)

    async def job(self, key: BatchKey, job_id: str) -> JobDetail:
        """One job with its attempts.

        Raises:
            NotInLedger: the batch has no such job.
        """
        detail = await self._query(lambda connection: queries.job_detail(connection, key.id, key.batch, job_id))
        if detail is None:
            raise NotInLedger(f"job {job_id!r} not found in batch {key.batch!r}")
        return detail

    async def results(self, key: BatchKey, *, with_gone: bool = False) -> AsyncIterator[ResultRow]:
        """Every job in the file's order, a page at a time."""
        duplicates = await self._query(lambda connection: queries.duplicate_keys(connection, key.id))
        for present in (True, False) if with_gone else (True,):
            after: queries.PageKey | None = queries.FIRST_PAGE
            while after is not None:
                next_page = partial(queries.results_page, batch_id=key.id, present=present, after=after)
                page, after = await self._query(next_page)
                for job_key, row in page:
                    yield replace(row, possible_duplicate=True) if job_key in duplicates else row

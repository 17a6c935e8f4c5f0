"""The ledger's door: one method per transition and per question."""

import asyncio
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiosqlite

from batchcrew.base.clock import Clock, Uptime, machine_uptime, to_text
from batchcrew.base.errors import MAX_PROBLEMS, JobFileError, LedgerError, NotInLedger, NotRecorded, Problem, UsageError
from batchcrew.ledger import (
    comparing,
    missing_inputs,
    queries,
    rechecks,
    runs,
    staging,
    stale,
    transitions,
    upkeep,
    watching,
)
from batchcrew.ledger.clock_jumps import carry_over
from batchcrew.ledger.comparing import Staged
from batchcrew.ledger.connection import close_writer, open_beside_writer, open_writer, plain_errors
from batchcrew.ledger.fetch import one
from batchcrew.ledger.json_text import encode_json
from batchcrew.ledger.merging import merge
from batchcrew.ledger.missing_inputs import Words
from batchcrew.ledger.reading import BatchKey, Reading, RecordedJobFile, SentColumns
from batchcrew.ledger.rechecks import Rechecked
from batchcrew.ledger.spill import SpilledKickoff, SpillFile, read_spilled, spill_path
from batchcrew.ledger.transitions import MonthBudget
from batchcrew.ledger.writer import Parameters, Statement, Writer
from batchcrew.model.attempt import Attempt, Outcome, Progress, Watch
from batchcrew.model.job import Job, JobState, Location

_KEEP_PACE = Statement("INSERT OR REPLACE INTO paces (batch_id, crew, state, saved_at) VALUES (?, ?, ?, ?)")
_KEEP_TOLD = Statement("UPDATE batches SET told = ? WHERE id = ?")
_RECORD_JOBFILE = Statement(
    "UPDATE batches SET jobfile = ?, jobfile_path = ?, jobfile_from_ledger = ?, jobfile_date = ? WHERE id = ?"
)
_RECORD_CREWS = Statement("UPDATE batches SET crews = ? WHERE id = ?")
_PASS_CANARY = Statement("UPDATE batches SET canary_passed = 1 WHERE id = ?")
_CLOSE_RUN = Statement(
    "UPDATE runs SET ended_at = ?, kickoffs = ?, cost = ?, stopped = ?, stop_detail = ?, exit_code = ?"
    " WHERE id = ? AND ended_at IS NULL"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """The jobs that were opened, and whether the month's budget is why there are none."""

    attempts: list[Attempt]
    spent: bool = False


def _new_id() -> str:
    return uuid.uuid4().hex


class Ledger(Reading):
    """One ledger, open for writing: created or upgraded where needed. Use as an async context manager.

    At the end the WAL is checkpointed and truncated: the one file is everything, unless another program reads it.

    Args:
        path: the SQLite file.
        clock: where the moments that are written come from.
        new_id: makes the ids of runs; those of attempts are made from them.
        uptime: the machine's, by which a clock that was set is found out.
        consequence: what an error means for what was started, to end its message with.

    Every method raises `LedgerError` when the file cannot be read or written.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        new_id: Callable[[], str] = _new_id,
        uptime: Callable[[], Uptime | None] = machine_uptime,
        consequence: str = "",
    ) -> None:
        super().__init__(path, clock=clock, consequence=consequence)
        self.path: Path = path
        self._new_id = new_id
        self._uptime = uptime
        self._write: aiosqlite.Connection | None = None
        self._writer: Writer | None = None
        self._intents = 0
        self._spill: SpillFile | None = None
        self.recovered = 0
        """Kickoff ids that `open_run` found in the spill file of an earlier run."""

    async def __aenter__(self) -> Self:
        self._write = await open_writer(self.path, consequence=self._consequence)
        try:
            self._read = await open_beside_writer(self.path, consequence=self._consequence)
        except BaseException:
            await self._write.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None:
                await self._writer.close()
        finally:
            # a connection left open would keep the interpreter alive
            if self._read is not None:
                await self._read.close()
            if self._write is not None:
                await close_writer(self._write)
            if self._spill is not None:
                await asyncio.to_thread(self._spill.close)

    # Taking a job file in

    async def stage(
        self, batch: str, jobs: Iterable[Job], *, crew_groups: Mapping[str, str] | None = None, reuse: bool = True
    ) -> Staged:
        """Stream a job file's jobs next to the batch and compare; changes nothing yet.

        To be called before the first transition: it uses the writing connection itself.

        Args:
            crew_groups: a common name for names of one crew.
            reuse: whether a job may take over the answer of another one with the same inputs.
        """
        if self._writer is not None or self._write is None:
            raise LedgerError("a defect: jobs are staged before the writer starts")
        with plain_errors(self._name, consequence=self._consequence):
            await self._write.execute_fetchall("BEGIN")
            try:
                staged = await comparing.compare(self._write, batch, jobs, crew_groups=crew_groups or {}, reuse=reuse)
                await self._write.commit()
            except BaseException:
                await self._write.rollback()
                raise
        return staged

    async def take_in(
        self,
        batch: str,
        *,
        jobfile: str,
        digest: str | None,
        columns: tuple[str, ...],
        sent_columns: SentColumns | None = None,
        crews: Mapping[str, Sequence[str]] | None = None,
    ) -> BatchKey:
        """Merge what was staged into the batch (made if it is new), in one transaction; returns the batch.

        Args:
            digest: of the job file; None: the next run reads it again.
            sent_columns: which columns are sent to each crew, from now on; None: as before.
            crews: every address that the batch's job files gave for each crew; None: as before.
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

        await self._writing.call(work)
        assert self._write is not None  # noqa: S101 - opened with the ledger
        with plain_errors(self._name, consequence=self._consequence):
            await staging.clear(self._write)
        key = await self.batch(batch)
        assert key is not None  # noqa: S101 - merged above
        return key

    async def record_jobfile(self, key: BatchKey, jobfile: RecordedJobFile) -> None:
        """Record which job file the batch belongs to from now on."""
        values = (jobfile.given, jobfile.path, jobfile.from_ledger, jobfile.date, key.id)
        await self._writing.change((_RECORD_JOBFILE, [values]))

    async def record_crews(self, key: BatchKey, crews: Mapping[str, Sequence[str]]) -> None:
        """Record every address that the batch's job files gave for each crew."""
        await self._writing.change((_RECORD_CREWS, [(encode_json(crews), key.id)]))

    # Runs

    async def open_run(
        self,
        batch_id: int,
        *,
        pid: int,
        host: str,
        version: str,
        kind: runs.Kind = "run",
        urls: Mapping[str, str] | None = None,
    ) -> str:
        """Record that a run begins, and the url of each of its crews; returns its id.

        The kickoff ids that an earlier run could only spill are recorded first. Where the machine's clock was set
        since the batch's latest run, the moments that waits and ages are measured from are carried over first.
        """
        run_id, now = self._new_id(), self._clock.now()
        uptime = await asyncio.to_thread(self._uptime)
        batch = await self._query(lambda connection: queries.batch_name(connection, batch_id))
        spilled = await asyncio.to_thread(spill_path, self.path, batch)
        kickoffs = await asyncio.to_thread(read_spilled, spilled)

        async def work(connection: aiosqlite.Connection) -> None:
            self.recovered = sum([await transitions.recover(connection, kickoff) for kickoff in kickoffs])
            if uptime is not None:
                await carry_over(connection, batch_id, now, uptime)
            await runs.forget_an_idle_tick(connection, batch_id)
            await runs.begin(
                connection,
                run_id,
                batch_id=batch_id,
                kind=kind,
                now=to_text(now),
                process=(pid, host, version),
                uptime=uptime,
                urls=urls or {},
            )

        await self._writing.call(work)
        await asyncio.to_thread(spilled.unlink, missing_ok=True)
        return run_id

    async def reserve_spill(self, key: BatchKey, kickoffs: int) -> None:
        """Reserve the file for kickoff ids that the ledger cannot take, with room for so many at once.

        To be called after `open_run`, before the first kickoff.

        Raises:
            LedgerError: there is no room for it.
        """
        self._spill = await asyncio.to_thread(SpillFile, self.path, key.batch)
        await asyncio.to_thread(self._spill.reserve, kickoffs)

    async def pass_canary(self, key: BatchKey) -> None:
        """Record that the batch's first jobs have ended well."""
        await self._writing.change((_PASS_CANARY, [(key.id,)]))

    async def close_run(
        self,
        run_id: str,
        *,
        kickoffs: int,
        stopped: str | None,
        exit_code: int,
        cost: str | None = None,
        stop_detail: str | None = None,
    ) -> None:
        """Record how a run ended; `cost` and `stop_detail` are texts as the summary shows them."""
        ended = (self._now(), kickoffs, cost, stopped, transitions.plain_text(stop_detail), exit_code, run_id)
        await self._writing.change((_CLOSE_RUN, [ended]))

    # Transitions

    async def claim(
        self, key: BatchKey, run_id: str, *, crew: str, limit: int, budget: MonthBudget | None = None
    ) -> Claim:
        """Open up to `limit` pending jobs of a crew; their intents are durable when this returns.

        A `budget` is counted in the same transaction, over all batches: two of them cannot overspend it.
        """
        now = self._now()

        def attempt_id() -> str:
            # in the order of time, so that the table's index grows at its end
            self._intents += 1
            return f"{run_id}-{self._intents:06d}"

        async def work(connection: aiosqlite.Connection) -> Claim:
            most = limit
            if budget is not None:
                most = min(limit, await transitions.budget_left(connection, budget))
                if not most:
                    return Claim([], spent=True)
            attempts = await transitions.claim(
                connection,
                batch_id=key.id,
                batch=key.batch,
                run_id=run_id,
                crew=crew,
                limit=most,
                now=now,
                new_id=attempt_id,
            )
            return Claim(attempts)

        return await self._writing.call(work)

    async def kicked_off(self, attempt: Attempt, kickoff_id: str) -> str:
        """The crew accepted the attempt. Returns the moment that was written.

        Raises:
            NotRecorded: the ledger cannot be written; the kickoff_id is in the spill file, if the error says so.
        """
        now = self._now()
        try:
            await self._writing.change(*transitions.kick_off(attempt, kickoff_id, now))
        except LedgerError as error:
            kickoff = SpilledKickoff(attempt=attempt.attempt_id, kickoff_id=kickoff_id, at=now)
            spilled = self._spill is not None and await asyncio.to_thread(self._spill.add, kickoff)
            raise NotRecorded(str(error), spilled=spilled) from error
        return now

    async def ended(self, attempt: Attempt, outcome: Outcome, *, failure_streaks: str | None = None) -> None:
        """End the attempt, and its job with it (or the job waits for its retry).

        Args:
            failure_streaks: the batch's failures in a row as JSON, this outcome included; None: unchanged.
        """
        not_before = ""
        if outcome.job_state is JobState.PENDING and outcome.retry_in:
            not_before = to_text(self._clock.now() + timedelta(seconds=outcome.retry_in))
        now = self._now()
        await self._writing.change(
            *transitions.end(attempt, outcome, now=now, not_before=not_before, failure_streaks=failure_streaks)
        )

    def progressed(self, attempt: Attempt, seen: Progress) -> None:
        """Note what an execution is at; goes with the next commit."""
        self._writing.change_soon(watching.progress(attempt, seen))

    def watched(self, attempt: Attempt, watch: Watch) -> None:
        """Note how far a tick came with watching; goes with the next commit."""
        self._writing.change_soon(watching.watch(attempt, watch))

    async def save_throttle_states(self, key: BatchKey, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what holds each crew's kickoffs back, for the next run; '' is the whole batch."""
        now = self._now()
        rows: list[Parameters] = [(key.id, crew, encode_json(state), now) for crew, state in states.items()]
        await self._writing.change((_KEEP_PACE, rows))

    async def save_reported_warnings(self, key: BatchKey, warnings: Iterable[str]) -> None:
        """Keep the warnings that this run said."""
        await self._writing.change((_KEEP_TOLD, [(encode_json(list(warnings)), key.id)]))

    async def retry(
        self,
        key: BatchKey,
        *,
        states: Iterable[JobState],
        job_ids: Iterable[str] = (),
        from_url: str | None = None,
    ) -> int:
        """Put ended jobs back to pending, with their full allowance of attempts. Returns how many.

        Args:
            from_url: only jobs whose latest attempt was started at that address.

        Raises:
            NotInLedger: one of `job_ids` is not in the batch.
        """
        wanted = [state.value for state in states]
        ids = list(job_ids)
        now = self._now()

        async def work(connection: aiosqlite.Connection) -> int:
            marks = ", ".join("?" * len(wanted))
            again = (
                "UPDATE jobs SET state = 'pending', not_before = '', charged = 0, reason = NULL,"
                " reason_fingerprint = NULL, updated_at = ?"
                f" WHERE batch_id = ? AND present = 1 AND state IN ({marks})"
            )
            await connection.execute("UPDATE batches SET inputs_checked = NULL WHERE id = ?", (key.id,))
            if from_url is not None:
                again += f" AND id IN (SELECT j.id {queries.STARTED_AT})"
            at = () if from_url is None else (key.id, from_url)
            if not ids:
                cursor = await connection.execute(again, (now, key.id, *wanted, *at))
                return cursor.rowcount
            put_back = 0
            for job_id in ids:
                if not await one(connection, "SELECT 1 FROM jobs WHERE batch_id = ? AND job_id = ?", (key.id, job_id)):
                    raise NotInLedger(f"job {job_id!r} not found in batch {key.batch}; nothing was reset")
                cursor = await connection.execute(f"{again} AND job_id = ?", (now, key.id, *wanted, *at, job_id))
                put_back += cursor.rowcount
            return put_back

        return await self._writing.call(work)

    async def attach(self, key: BatchKey, run_id: str, pairs: Iterable[tuple[Location, str, str]]) -> int:
        """Take in executions that somebody else started: (where it is said, job_id, kickoff_id). All or none.

        Raises:
            JobFileError: pairs that cannot be, with their places.
        """
        now = self._now()

        async def work(connection: aiosqlite.Connection) -> int:
            problems: list[Problem] = []
            number = 0
            for where, job_id, kickoff_id in pairs:
                self._intents += 1
                new_id = f"{run_id}-{self._intents:06d}"
                try:
                    await transitions.attach(
                        connection,
                        batch_id=key.id,
                        run_id=run_id,
                        job_id=job_id,
                        kickoff_id=kickoff_id,
                        now=now,
                        new_id=new_id,
                    )
                    number += 1
                except UsageError as error:
                    problems.append(Problem(file=where.file, line=where.line, column=where.column, message=str(error)))
                    if len(problems) > MAX_PROBLEMS:
                        break
            if problems:
                raise JobFileError(problems)
            return number

        return await self._writing.call(work)

    async def rerun_stale(self, key: BatchKey) -> int:
        """Put stale jobs back to pending: they are kicked off with the inputs that the file has. Returns how many."""
        return await self.retry(key, states=[JobState.STALE])

    async def keep(self, key: BatchKey, job_ids: Iterable[str] = ()) -> int:
        """Declare the answers of stale jobs valid for the inputs that the file has now. Returns how many.

        Raises:
            NotInLedger: one of `job_ids` is not in the batch; nothing was changed.
        """
        ids, now = list(job_ids), self._now()

        async def work(connection: aiosqlite.Connection) -> int:
            return await stale.keep(connection, key.id, key.batch, ids, now)

        return await self._writing.call(work)

    async def fail_without_inputs(self, key: BatchKey, crew: str, required: Sequence[str], words: Words) -> int:
        """Fail the crew's pending jobs that miss a required input; returns how many. Nothing was paid for them.

        Args:
            words: makes the reason from the missing inputs and the row's columns.
        """
        now = self._now()
        return await self._writing.call(
            lambda connection: missing_inputs.fail(connection, key.id, crew, required, words, now)
        )

    async def recheck(self, found: Rechecked) -> None:
        """Take in what a later look at an ended attempt has found; its job is never succeeded already."""
        now = self._now()
        await self._writing.call(lambda connection: rechecks.take(connection, found, now))

    # The whole batch, the whole file

    async def delete(self, batch: str) -> int:
        """Delete a batch with all that belongs to it; returns how many jobs it had.

        Raises:
            NotInLedger: there is no such batch.
        """

        async def work(connection: aiosqlite.Connection) -> int:
            row = await one(connection, "SELECT id FROM batches WHERE batch = ?", (batch,))
            if row is None:
                raise NotInLedger(f"batch {batch!r} not found in {self._name}")
            return await upkeep.delete_batch(connection, row[0])

        jobs = await self._writing.call(work)
        spilled = await asyncio.to_thread(spill_path, self.path, batch)
        await asyncio.to_thread(spilled.unlink, missing_ok=True)
        return jobs

    async def vacuum(self) -> upkeep.Vacuumed:
        """Rebuild the file without its unused pages.

        To be called before the first transition: it uses the writing connection itself.
        """
        if self._writer is not None or self._write is None:
            raise LedgerError("a defect: a ledger is vacuumed before the writer starts")
        with plain_errors(self._name):
            return await upkeep.vacuum(self._write)

    def _now(self) -> str:
        return to_text(self._clock.now())

    @property
    def _writing(self) -> Writer:
        if self._writer is None:
            if self._write is None:
                raise LedgerError("a defect: the ledger is not open")
            self._writer = Writer(self._write, self._name, consequence=self._consequence)
        return self._writer

"""The ledger's door: one method per transition and per question."""

import asyncio
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiosqlite

from batchcrew.clock import Clock, Uptime, machine_uptime, to_text
from batchcrew.errors import MAX_PROBLEMS, JobFileError, LedgerError, NotInLedger, Problem, UsageError
from batchcrew.ledger import queries, rechecks, runs, staging, transitions, watching
from batchcrew.ledger.clock_jumps import carry_over
from batchcrew.ledger.connection import open_ledger, plain_errors
from batchcrew.ledger.reading import BatchKey, Reading
from batchcrew.ledger.rechecks import Rechecked
from batchcrew.ledger.transitions import MonthBudget
from batchcrew.ledger.writer import Parameters, Statement, Writer
from batchcrew.models import (
    Attempt,
    Job,
    JobState,
    Location,
    Outcome,
    Plan,
    Progress,
    Watch,
)

_KEEP_PACE = Statement("INSERT OR REPLACE INTO paces (batch_id, crew, state, saved_at) VALUES (?, ?, ?, ?)")
_KEEP_TOLD = Statement("UPDATE batches SET told = ? WHERE id = ?")
_PASS_CANARY = Statement("UPDATE batches SET canary_passed = 1 WHERE id = ?")
_CLOSE_RUN = Statement(
    "UPDATE runs SET ended_at = ?, kickoffs = ?, stopped = ?, exit_code = ? WHERE id = ? AND ended_at IS NULL"
)


@dataclass(frozen=True, slots=True)
class Staged:
    """What a job file holds, compared with the ledger and not yet merged."""

    plan: Plan
    duplicates: tuple[tuple[str, Location, Location], ...]
    """job_id, where it stands first, where it stands again."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The jobs that were opened, and whether the month's budget is why there are none."""

    attempts: list[Attempt]
    spent: bool = False


def _new_id() -> str:
    return uuid.uuid4().hex


class Ledger(Reading):
    """One open ledger. Use as an async context manager.

    Args:
        path: the SQLite file; None is an empty ledger in memory (for a plan without a ledger).
        clock: where the moments that are written come from.
        new_id: makes the ids of runs; those of attempts are made from them.
        uptime: the machine's, by which a clock that was set is found out.

    Every method raises `LedgerError` when the file cannot be read or written.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Clock,
        new_id: Callable[[], str] = _new_id,
        uptime: Callable[[], Uptime | None] = machine_uptime,
    ) -> None:
        super().__init__(path, clock=clock)
        self._new_id = new_id
        self._uptime = uptime
        self._write: aiosqlite.Connection | None = None
        self._writer: Writer | None = None
        self._intents = 0

    async def __aenter__(self) -> Self:
        self._write = await open_ledger(self.path, write=True)
        try:
            # readers do not queue behind the writer's fsync; in memory there is only one connection
            self._read = self._write if self.path is None else await open_ledger(self.path, write=False)
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
            for connection in {self._read, self._write} - {None}:
                assert connection is not None  # noqa: S101 - for the type checker
                await connection.close()

    # Taking a job file in

    async def stage(self, batch: str, jobs: Iterable[Job]) -> Staged:
        """Stream a job file's jobs beside the batch and compare; changes nothing yet.

        To be called before the first transition: it uses the writing connection itself.
        """
        if self._writer is not None or self._write is None:
            raise LedgerError("a defect: jobs are staged before the writer starts")
        known = await self.batch(batch)
        with plain_errors(self._name):
            columns = await staging.stage(self._write, jobs)
            twice = await staging.duplicates(self._write, 20)
            plan = await staging.plan(self._write, known.id if known else None, columns)
        return Staged(plan, tuple(twice))

    async def take_in(self, batch: str, *, jobfile: str, digest: str, columns: tuple[str, ...]) -> tuple[BatchKey, int]:
        """Merge what was staged into the batch (made if it is new), in one transaction.

        Returns the batch, and how many jobs changed while their execution is open; the next run looks at these
        again.
        """
        now = self._now()
        path = await asyncio.to_thread(os.path.abspath, jobfile)  # links are not resolved: it is the path as given

        async def work(connection: aiosqlite.Connection) -> int:
            await connection.execute_fetchall(
                "INSERT INTO batches (batch, jobfile, created_at) VALUES (?, ?, ?) ON CONFLICT (batch) DO NOTHING",
                (batch, jobfile, now),
            )
            row = await queries.one(connection, "SELECT id FROM batches WHERE batch = ?", (batch,))
            assert row is not None  # noqa: S101 - inserted above
            waiting = await staging.merge(connection, row[0], now)
            await connection.execute_fetchall(
                "UPDATE batches SET jobfile = ?, jobfile_path = ?, digest = ?, columns = ? WHERE id = ?",
                (
                    jobfile,
                    path,
                    None if waiting else digest,
                    staging.encode_json(list(columns)),
                    row[0],
                ),
            )
            return waiting

        waiting = await self._writing.call(work)
        assert self._write is not None  # noqa: S101 - opened with the ledger
        with plain_errors(self._name):
            await staging.clear(self._write)
        key = await self.batch(batch)
        assert key is not None  # noqa: S101 - merged above
        return key, waiting

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

        Where the machine's clock was set since the batch's latest run, the moments that waits and ages are
        measured from are carried over first.
        """
        run_id, now = self._new_id(), self._clock.now()
        uptime = await asyncio.to_thread(self._uptime)

        async def work(connection: aiosqlite.Connection) -> None:
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
        return run_id

    async def pass_canary(self, key: BatchKey) -> None:
        """Record that the batch's first jobs have ended well."""
        await self._writing.change((_PASS_CANARY, [(key.id,)]))

    async def close_run(self, run_id: str, *, kickoffs: int, stopped: str | None, exit_code: int) -> None:
        """Record how a run ended."""
        await self._writing.change((_CLOSE_RUN, [(self._now(), kickoffs, stopped, exit_code, run_id)]))

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
        """The crew accepted the attempt. Returns the moment that was written."""
        now = self._now()
        await self._writing.change(*transitions.kick_off(attempt, kickoff_id, now))
        return now

    async def ended(self, attempt: Attempt, outcome: Outcome) -> None:
        """The attempt ended, and its job with it (or the job waits for its retry)."""
        not_before = ""
        if outcome.job_state is JobState.PENDING and outcome.retry_in:
            not_before = to_text(self._clock.now() + timedelta(seconds=outcome.retry_in))
        await self._writing.change(*transitions.end(attempt, outcome, now=self._now(), not_before=not_before))

    def progressed(self, attempt: Attempt, seen: Progress) -> None:
        """Note what an execution is at; goes with the next commit."""
        self._writing.change_soon(watching.progress(attempt, seen))

    def watched(self, attempt: Attempt, watch: Watch) -> None:
        """Note how far a tick came with watching; goes with the next commit."""
        self._writing.change_soon(watching.watch(attempt, watch))

    async def keep_paces(self, key: BatchKey, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what holds each crew's kickoffs back, for the next run; '' is the whole batch."""
        now = self._now()
        rows: list[Parameters] = [(key.id, crew, staging.encode_json(state), now) for crew, state in states.items()]
        await self._writing.change((_KEEP_PACE, rows))

    async def keep_told(self, key: BatchKey, warnings: Iterable[str]) -> None:
        """Keep the warnings that this run said."""
        await self._writing.change((_KEEP_TOLD, [(staging.encode_json(list(warnings)), key.id)]))

    async def retry(self, key: BatchKey, *, states: Iterable[JobState], job_ids: Iterable[str] = ()) -> int:
        """Put ended jobs back to pending, with their full allowance of attempts. Returns how many.

        Raises:
            NotInLedger: one of `job_ids` is not in the batch.
        """
        wanted = [state.value for state in states]
        ids = list(job_ids)
        now = self._now()

        async def work(connection: aiosqlite.Connection) -> int:
            marks = ", ".join("?" * len(wanted))
            again = (
                "UPDATE jobs SET state = 'pending', not_before = '', charged = 0, reason = NULL, updated_at = ?"
                f" WHERE batch_id = ? AND present = 1 AND state IN ({marks})"
            )
            if not ids:
                cursor = await connection.execute(again, (now, key.id, *wanted))
                return cursor.rowcount
            put_back = 0
            for job_id in ids:
                if not await queries.one(
                    connection, "SELECT 1 FROM jobs WHERE batch_id = ? AND job_id = ?", (key.id, job_id)
                ):
                    raise NotInLedger(f"batch {key.batch} has no job {job_id!r}: nothing was put back")
                cursor = await connection.execute(f"{again} AND job_id = ?", (now, key.id, *wanted, job_id))
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

    async def recheck(self, found: Rechecked) -> None:
        """Take in what a later look at an ended attempt has found; its job is never succeeded already."""
        now = self._now()
        await self._writing.call(lambda connection: rechecks.take(connection, found, now))

    def _now(self) -> str:
        return to_text(self._clock.now())

    @property
    def _writing(self) -> Writer:
        if self._writer is None:
            if self._write is None:
                raise LedgerError("a defect: the ledger is not open")
            self._writer = Writer(self._write, self._name)
        return self._writer

"""Poll executions again that timed out or were lost, and record their results, for `batchcrew recheck`."""

import asyncio
import os
import random
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TypeAlias

from batchcrew import __version__
from batchcrew.app.ledger_location import recorded_day, recorded_place, shown
from batchcrew.app.wiring import Source, open_crews, open_former
from batchcrew.base.clock import Clock, to_text
from batchcrew.base.errors import CrewUnusable, first_error
from batchcrew.crew import CrewClient
from batchcrew.engine import Judging, Settling, Stop
from batchcrew.jobfile import JobFile
from batchcrew.ledger import BatchKey, BatchLock, EndedAttempt, Ledger, Rechecked, RecordedJobFile
from batchcrew.model import exit_codes
from batchcrew.model.crew_answers import Unclear, Unusable
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.reports.rechecks import Finding, Look, RecheckResult

AT_ONCE = 10
"""Executions that are polled at the same time; fewer if `run.concurrency` is lower."""
TRIES = 3
"""Polls of one execution, with growing waits, before its answers count as unclear."""
FIRST_WAIT_SECONDS = 0.5
HOPELESS = 5
"""Executions of one address in a row without a clear answer: the rest of them are not polled."""


Report: TypeAlias = Callable[[Look], None]


@dataclass(frozen=True, slots=True)
class RecheckRequest:
    """The batch whose executions are polled again."""

    batch: BatchKey
    job_ids: Sequence[str]
    """Only executions of these jobs; empty: of all jobs."""
    source: Source
    """The batch's job file: its crews, tokens and waits are used."""


@dataclass(frozen=True, slots=True)
class RecheckContext:
    """The services that a recheck needs from its caller: its stop, its clock, its rng, and its observers."""

    stop: Stop
    clock: Clock
    rng: random.Random
    report: Report
    """Called with each finding, once it is durable."""
    warn: Callable[[str], None]


async def recheck(request: RecheckRequest, context: RecheckContext, *, ledger: Ledger) -> RecheckResult:
    """Poll the execution of every attempt that timed out or was lost. Kick nothing off.

    Raises:
        JobFileError, UsageError: the job file is wrong.
        NotInLedger: the batch has no such job.
        BatchBusy: a run holds the batch.
        CrewUnusable: a crew refuses the token, or the URL is wrong.
    """
    assert ledger.path is not None  # noqa: S101 - opened by its path
    batch, source = request.batch, request.source
    jobfile, _ = await asyncio.to_thread(source.load)
    async with BatchLock(ledger.path, batch.batch, since=to_text(context.clock.now())):
        run_id = await ledger.open_run(
            batch.id, pid=os.getpid(), host=socket.gethostname(), version=__version__, kind="recheck"
        )
        result = RecheckResult(
            batch=batch.batch,
            jobfile=str(source.path),
            ledger=str(ledger.path),
            jobfile_options=source.hints(jobfile),
        )
        code = exit_codes.INTERNAL_ERROR
        try:
            async with AsyncExitStack() as stack:
                await _Recheck(ledger, jobfile, context, result).poll_all(request, stack)
            result.counts = await ledger.counts(batch)
            result.without_id = await ledger.held_without_id(batch, request.job_ids)
            code = result.exit_code
        except CrewUnusable as error:
            code = exit_codes.of_error(error)
            raise
        finally:
            await ledger.close_run(run_id, kickoffs=0, stopped=None, exit_code=int(code))
    return result


class _Recheck:
    """Polls the executions job by job, `AT_ONCE` at the same time; memory does not grow with their number."""

    def __init__(self, ledger: Ledger, jobfile: JobFile, context: RecheckContext, result: RecheckResult) -> None:
        self._ledger = ledger
        self._jobfile = jobfile
        self._stop = context.stop
        self._clock = context.clock
        self._rng = context.rng
        self._report = context.report
        self._warn = context.warn
        self._result = result
        self._clients: Mapping[str, CrewClient] = {}
        self._former: Mapping[tuple[str, str], CrewClient] = {}
        self._judging = Judging(jobfile.rules, ledger)
        self._unclear: Counter[CrewClient] = Counter()
        self._at_once = min(AT_ONCE, jobfile.run.most_in_progress)

    async def poll_all(self, request: RecheckRequest, stack: AsyncExitStack) -> None:
        """Poll every execution of the request; `stack` closes the crews' clients."""
        batch, job_ids = request.batch, request.job_ids
        addresses = await self._ledger.unsure_addresses(batch, job_ids)
        wanted = {name: crew for name, crew in self._jobfile.crews.items() if name in {crew for crew, _ in addresses}}
        jobfile = replace(self._jobfile, crews=wanted)  # no server is started for the other crews
        assert self._ledger.path is not None  # noqa: S101 - opened by its path
        self._clients = await stack.enter_async_context(
            open_crews(jobfile, concurrency=self._at_once, ledger=self._ledger.path, clock=self._clock, warn=self._warn)
        )
        if request.source.options.crew_url is None:  # otherwise the operator has named the address
            known = {(crew, url) for crew, url in addresses if url is not None}
            self._former = await stack.enter_async_context(
                open_former(jobfile, known, concurrency=self._at_once, clock=self._clock, warn=self._warn)
            )
        page: list[list[EndedAttempt]] = []
        async for attempt in self._ledger.unsure(batch, job_ids):
            if page and page[-1][0].job_key == attempt.job_key:
                page[-1].append(attempt)
                continue
            if len(page) == self._at_once:
                await self._poll_jobs(page)
                page = []
                if self._stop.requested:
                    self._result.stopped = True
                    return
            page.append([attempt])
        await self._poll_jobs(page)

    async def _poll_jobs(self, jobs: list[list[EndedAttempt]]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for attempts in jobs:
                    group.create_task(self._poll_job(attempts))
        except BaseExceptionGroup as errors:
            raise first_error(errors) from errors

    async def _poll_job(self, attempts: list[EndedAttempt]) -> None:
        """Poll the latest attempt first; once one has succeeded, do not poll the job's others."""
        for attempt in attempts:
            look = await self._look(attempt)
            self._result.found[look.finding] += 1
            self._report(look)
            if look.finding is Finding.SUCCEEDED:
                return

    async def _look(self, attempt: EndedAttempt) -> Look:
        client = self._former.get((attempt.crew, attempt.address or "")) or self._clients.get(attempt.crew)
        if client is None:
            return Look(attempt, Finding.UNCLEAR, f"crew {attempt.crew} not found in {self._jobfile.path}")
        if self._unclear[client] >= HOPELESS:
            return Look(
                attempt, Finding.UNCLEAR, "not polled, because the crew gave no clear answer about other executions"
            )
        answer = await self._poll(client, attempt.kickoff_id)
        if isinstance(answer, Unclear):
            self._unclear[client] += 1
            return Look(attempt, Finding.UNCLEAR, answer.reason)
        self._unclear[client] = 0
        match answer.state:
            case ExecutionState.SUCCEEDED:
                verdict = await self._judging.verdict(attempt, answer, attempt.inputs)
                found = Rechecked(attempt, answer, verdict.rejected)
                await self._ledger.recheck(found)
                return Look(attempt, Finding.SUCCEEDED if found.succeeded else Finding.FAILED, found.reason)
            case ExecutionState.FAILED:
                await self._ledger.recheck(Rechecked(attempt, answer))
                return Look(attempt, Finding.FAILED, answer.error)
            case ExecutionState.NOT_FOUND:
                return Look(attempt, Finding.UNKNOWN)
            case _:
                return Look(attempt, Finding.RUNNING, answer.word)

    async def _poll(self, client: CrewClient, kickoff_id: str) -> Execution | Unclear:
        """Poll until the answer is clear, a few times; a completed execution may get its output a little later.

        Raises:
            CrewUnusable: the token is refused, or the URL is wrong.
        """
        settling = Settling(self._jobfile.run.poll, self._rng)
        unclear = 0
        while True:
            polled_at = self._clock.monotonic()
            answer = await client.status(kickoff_id)
            if isinstance(answer, Unusable):
                raise CrewUnusable(answer.reason)
            if isinstance(answer, Unclear):
                unclear += 1
                if unclear == TRIES:
                    return settling.completed or answer
                await self._clock.sleep(max(FIRST_WAIT_SECONDS * 2**unclear, min(answer.retry_after or 0.0, 10.0)))
            elif settling.is_open(answer, polled_at):
                await self._clock.sleep(settling.next(self._clock.monotonic()))
            else:
                return answer


async def recorded_source(batch: str, source: Source, recorded: RecordedJobFile, ledger: Path) -> Source:
    """Return `source` with the path and the date of the batch's job file, even if that was moved with the ledger."""
    day = recorded_day(recorded, batch)
    if day is not None:
        source = replace(source, today=date.fromisoformat(day))
    place = await asyncio.to_thread(recorded_place, recorded, ledger)
    return replace(source, path=await asyncio.to_thread(shown, place))

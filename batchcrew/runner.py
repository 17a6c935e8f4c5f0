"""The composition root: what `batchcrew run` does, from the job file to the summary's numbers. Start here.

job file -> jobs -> ledger -> engine -> crew API -> ledger -> result
"""

import asyncio
import math
import os
import random
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from batchcrew import __version__
from batchcrew.clock import Clock, to_text
from batchcrew.consent import moved_crews, settle_stale
from batchcrew.crew import CrewClient, Moment, crew_address, ping
from batchcrew.engine import TICK_SECONDS, EngineResult, Scheduler, Stop, ask_for_inputs
from batchcrew.errors import BatchBusy, BatchcrewError, UsageError
from batchcrew.events import Event, LedgerChosen, Observe, RunStarted, Warned
from batchcrew.fitting import fit_concurrency, require_descriptors
from batchcrew.intake import TakenIn, commands_of, report_earlier_days, take_in
from batchcrew.jobfile import JobFile
from batchcrew.ledger import BatchKey, BatchLock, Ledger
from batchcrew.ledger_location import is_here
from batchcrew.models import Counts, CrewInputs, JobState, RunResult
from batchcrew.money import cost
from batchcrew.reports.summary import exit_code, went_well
from batchcrew.settings import RunSettings
from batchcrew.telling import Telling
from batchcrew.wiring import Source, ledger_of, open_crews, open_former


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One call of `batchcrew run` or `batchcrew tick`."""

    source: Source
    ledger: Path | None
    """As the command line names it; None: see docs/identity.md."""
    limit: int | None = None
    """Most kickoffs of this run."""
    retry_failed: bool = False
    once: bool = False
    """A tick: do what is due now and end, whatever is left."""
    program: str = "batchcrew"
    """How this batchcrew was called: commands that are shown start with it."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run does not make itself: its stop, its clock, its chance, and who watches."""

    stop: Stop
    clock: Clock
    chance: random.Random
    observe: Observe
    monitor: str | None = None
    """URL that is told when the run begins and ends (`--ping`)."""


async def run_batch(request: RunRequest, around: Surroundings) -> RunResult:
    """Start or continue a batch; returns when every job has ended or its stop was asked for.

    Raises:
        JobFileError, UsageError: the job file or an option is wrong; nothing was started.
        BatchBusy: another run holds the batch.
        LedgerError: the ledger cannot be written; what was in flight is as it says.
    """
    try:
        jobfile, settings = await asyncio.to_thread(request.source.load)
        if request.once:
            _refuse_served(jobfile)
        ledger = await ledger_of(
            jobfile, request.ledger, clock=around.clock, warn=lambda message: around.observe(Warned(message))
        )
        if not await asyncio.to_thread(is_here, ledger):
            around.observe(LedgerChosen(str(ledger)))
        async with BatchLock(ledger, jobfile.batch, since=to_text(around.clock.now())):
            await _tell(around, "start")
            result = await _continue(request, jobfile, settings, ledger, around)
    except BatchBusy:  # that run tells the monitor itself
        raise
    except BatchcrewError:
        await _tell(around, "failure")
        raise
    await _tell(around, "success" if went_well(result) else "failure")
    return result


def _refuse_served(jobfile: JobFile) -> None:
    """Raises UsageError: a crew would end with the tick, and with it all that the tick has started."""
    served = [name for name, crew in jobfile.crews.items() if crew.serve is not None]
    if served:
        raise UsageError(
            f"crew {served[0]} is served for a run only, and a tick leaves what it starts to the crew;"
            " use `batchcrew run`, or let `batchcrew serve` run beside it and give its `url`"
        )


async def _tell(around: Surroundings, moment: Moment) -> None:
    if around.monitor:
        await ping(around.monitor, moment, warn=lambda message: around.observe(Warned(message)))


class _Crews:
    """Clients for the crews of a run, opened when the first is needed: a finished batch needs none."""

    def __init__(self, jobfile: JobFile, settings: RunSettings, ledger: Path, around: Surroundings) -> None:
        self._jobfile = jobfile
        self._ledger = ledger
        self._around = around
        self._stack = AsyncExitStack()
        self._clients: dict[str, CrewClient] | None = None
        self.settings = settings
        """Of the run; `open` fits the concurrency to the file descriptors that there are."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def open(self) -> Mapping[str, CrewClient]:
        """Return an open client for each crew."""
        if self._clients is None:
            self.settings, warning = await asyncio.to_thread(fit_concurrency, self.settings, self._jobfile.crews)
            if warning is not None:
                self.warn(warning)
            opening = open_crews(
                self._jobfile,
                concurrency=self.settings.concurrency,
                ledger=self._ledger,
                clock=self._around.clock,
                warn=self.warn,
            )
            self._clients = await self._stack.enter_async_context(opening)
        return self._clients

    async def ask(self, names: frozenset[str], *, once: bool) -> Mapping[str, CrewInputs | None]:
        """Ask these crews for their inputs."""
        clients = await self.open()
        around = self._around
        return await ask_for_inputs(
            {name: clients[name] for name in sorted(names)},
            settings=self.settings,
            stop=around.stop,
            clock=around.clock,
            chance=around.chance,
            # a tick asks once more when it begins to work, and reports then what is wrong
            observe=_ignore if once else around.observe,
            once=once,
            longest=TICK_SECONDS if once else self.settings.max_runtime or math.inf,
        )

    def warn(self, message: str) -> None:
        """Report a warning."""
        self._around.observe(Warned(message))


def _ignore(event: Event) -> None:
    del event


async def _continue(
    request: RunRequest, jobfile: JobFile, settings: RunSettings, path: Path, around: Surroundings
) -> RunResult:
    began, source = around.clock.monotonic(), request.source
    await asyncio.to_thread(require_descriptors, jobfile.crews)
    async with Ledger(path, clock=around.clock) as ledger:
        telling = Telling(around.observe, await ledger.told(jobfile.batch))
        around = replace(around, observe=telling.observe)
        for warning in (*jobfile.warnings, *map(str, await asyncio.to_thread(jobfile.questions))):
            around.observe(Warned(warning))
        async with _Crews(jobfile, settings, path, around) as crews:
            taken = await take_in(
                ledger,
                jobfile,
                source=source,
                stop=around.stop,
                observe=around.observe,
                settings=settings,
                ask=partial(crews.ask, once=request.once),
                program=request.program,
            )
            batch = taken.batch
            if not taken.decided and request.once:
                around.observe(Warned(_UNDECIDED))
            for warning in jobfile.row_warnings():
                around.observe(Warned(warning))
            await _prepare_jobs(request, jobfile, settings, ledger, batch, around)
            result = RunResult(
                batch=batch.batch,
                run_id=None,
                counts=await ledger.counts(batch),
                ledger=str(path),
                jobfile=str(source.path),
                jobfile_options=source.hints(jobfile),
                plan=taken.plan,
                program=request.program,
            )
            if result.counts.left:
                result = await _run(request, jobfile, crews, ledger, taken, result, around)
        if telling.changed:
            await ledger.keep_told(batch, telling.kept)
        return replace(
            result,
            failing=await ledger.failing(batch),
            duplicates=await ledger.duplicates(batch),
            unanswered=await ledger.unanswered(batch),
            unsure=await ledger.unsure_count(batch),
            wall_seconds=around.clock.monotonic() - began,
        )


async def _prepare_jobs(
    request: RunRequest,
    jobfile: JobFile,
    settings: RunSettings,
    ledger: Ledger,
    batch: BatchKey,
    around: Surroundings,
) -> None:
    """Report what must be known before money is spent, and put back the jobs that are to run again."""
    source = request.source
    commands = commands_of(jobfile, source, str(ledger.path), request.program)
    await report_earlier_days(ledger, batch, around.observe, program=request.program, given=source.given)
    for line in await moved_crews(ledger, batch, jobfile, commands):
        around.observe(Warned(line))
    await settle_stale(ledger, batch, settings, source, jobfile, commands, around.observe)
    if request.retry_failed:
        await ledger.retry(batch, states=[JobState.FAILED])


async def _run(
    request: RunRequest,
    jobfile: JobFile,
    crews: _Crews,
    ledger: Ledger,
    taken: TakenIn,
    result: RunResult,
    around: Surroundings,
) -> RunResult:
    clients, batch = await crews.open(), taken.batch
    stopped_before = await ledger.latest_stop(batch)
    run_id = await ledger.open_run(
        batch.id,
        pid=os.getpid(),
        host=socket.gethostname(),
        version=__version__,
        kind="tick" if request.once else "run",
        urls={name: crew_address(crew.url) for name, crew in jobfile.crews.items()},
    )
    if ledger.recovered:
        around.observe(Warned(f"{_ids(ledger.recovered)} from the spill file; the executions are resumed"))
    await ledger.reserve_spill(batch, crews.settings.concurrency)
    around.observe(_started(result, run_id, request, jobfile, crews.settings))
    former = open_former(
        jobfile,
        await ledger.addresses(batch),
        concurrency=crews.settings.concurrency,
        clock=around.clock,
        warn=crews.warn,
    )
    async with former as formerly:
        engine = await Scheduler(
            ledger=ledger,
            batch=batch,
            run_id=run_id,
            clients=clients,
            crews=jobfile.crews,
            settings=crews.settings,
            stop=around.stop,
            clock=around.clock,
            chance=around.chance,
            observe=around.observe,
            limit=request.limit,
            once=request.once,
            may_start=taken.decided,
            former=formerly,
        ).run()
    before = result.counts
    result = _ended(result, run_id, engine, await ledger.counts(batch), around.stop)
    stopped = result.stopped.value if result.stopped else None
    prices = {name: crew.price_per_kickoff for name, crew in jobfile.crews.items()}
    result = replace(
        result,
        cost=cost(prices, engine.by_crew, engine.by_crew + engine.in_doubt),
        crew_ended=any(crew.serve is not None for crew in jobfile.crews.values()),
        repeated=request.once and stopped == stopped_before and result.counts == before,
    )
    await ledger.close_run(
        run_id,
        kickoffs=result.kickoffs,
        stopped=stopped,
        exit_code=int(exit_code(result)),
        cost=result.cost,
        stop_detail=result.stop_detail,
    )
    return result


_UNDECIDED = (
    "a crew could not be asked which columns it wants: nothing is kicked off before it says so, or `send:` in the job"
    " file does"
)


def _ids(number: int) -> str:
    return "1 kickoff id was read" if number == 1 else f"{number} kickoff ids were read"


def _started(
    result: RunResult, run_id: str, request: RunRequest, jobfile: JobFile, settings: RunSettings
) -> RunStarted:
    return RunStarted(
        batch=jobfile.batch,
        run_id=run_id,
        jobfile=str(request.source.path),
        ledger=result.ledger,
        crews=tuple(f"{name} ({crew.url})" for name, crew in jobfile.crews.items()),
        concurrency=settings.concurrency,
        counts=result.counts,
        program=request.program,
    )


def _ended(result: RunResult, run_id: str, engine: EngineResult, counts: Counts, stop: Stop) -> RunResult:
    # a stop that came when nothing was left to do stopped nothing
    stopped = stop.reason if counts.left else None
    return replace(
        result,
        run_id=run_id,
        counts=counts,
        kickoffs=engine.kickoffs,
        slowest=tuple(line for _, _, line in sorted(engine.slowest, reverse=True)),
        stopped=stopped,
        stop_detail=stop.detail if stopped else None,
    )

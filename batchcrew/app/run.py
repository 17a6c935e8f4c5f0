"""The composition root: what `batchcrew run` does, from the job file to the summary's numbers. Start here.

job file -> jobs -> ledger -> engine -> crew API -> ledger -> result
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from batchcrew import __version__
from batchcrew.app.consent import moved_crews, settle_stale
from batchcrew.app.crew_names import renamed_crews
from batchcrew.app.expectation import report_rest
from batchcrew.app.fit_concurrency import require_descriptors
from batchcrew.app.ingest import Ingested, IngestRequest, commands_of, ingest, report_earlier_days
from batchcrew.app.ledger_location import is_here
from batchcrew.app.live_settings import LiveSettings
from batchcrew.app.run_crews import RunCrews
from batchcrew.app.run_result import run_ended, run_started
from batchcrew.app.set_values import control_of, set_lines
from batchcrew.app.telling import Teller
from batchcrew.app.warning_history import RunWarnings, WarningHistory
from batchcrew.app.webhooks import open_webhooks, with_options
from batchcrew.app.wiring import Source, ledger_of
from batchcrew.base.clock import to_text
from batchcrew.base.errors import BatchBusy, BatchcrewError, NeedsConsent, UsageError
from batchcrew.config.crews import DEFAULT_CREW, ServedCrew
from batchcrew.config.money import price_lists
from batchcrew.config.settings import RunSettings
from batchcrew.crew import crew_address
from batchcrew.crew.extras import no_extras
from batchcrew.engine import Crews, EngineResult, Judging, RunContext, RunEnvironment, Scheduler, Webhooks
from batchcrew.jobfile import JobFile
from batchcrew.ledger import NEXT_RUN_RESUMES, SHOWN_GROUPS, BatchKey, BatchLock, Ledger
from batchcrew.model import exit_codes
from batchcrew.model.events import Action, Event, LedgerChosen, Observe, RecordKickoff, WatchFormerAddress
from batchcrew.model.job import JobState
from batchcrew.model.run import Counts, RunResult, StopReason
from batchcrew.model.webhook import WebhookCounts
from batchcrew.reports.commands import CREW_OPTIONS, attach_command, quoted, run_command


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One call of `batchcrew run` or `batchcrew tick`."""

    source: Source
    ledger: Path | None
    """The ledger that the command line names; None: see docs/identity.md."""
    limit: int | None = None
    """Most kickoffs of this run."""
    retry_failed: bool = False
    once: bool = False
    """True for a tick: do the work that is due now, then end."""
    wait: bool = False
    """Continue until no job waits for human input any more."""
    program: str = "batchcrew"
    """The program with which printed commands begin."""
    webhook_listen: str | None = None
    """Overrides `webhooks.listen` of the job file."""
    webhook_url: str | None = None
    """Overrides `webhooks.public_url` of the job file."""
    monitor: str | None = None
    """URL that receives a request when the run begins and ends (`--ping`)."""
    metrics_file: Path | None = None
    """File of figures for node_exporter (`--metrics-file`)."""


async def run_batch(request: RunRequest, environment: RunEnvironment) -> RunResult:
    """Start or resume a batch; return when every job has ended, or when a stop was requested.

    Raises:
        JobFileError, UsageError: the job file or an option is wrong; nothing was started.
        BatchBusy: another run holds the batch.
        LedgerError: the ledger cannot be written; it has the executions in progress as far as it was written.
    """
    warnings = RunWarnings()
    environment = replace(environment, observe=_collect(environment.observe, warnings))
    teller = Teller(request, environment)
    environment = teller.environment
    try:
        jobfile, settings = await asyncio.to_thread(request.source.load)
        if request.once:
            _refuse_served(request, jobfile)
        ledger = await ledger_of(jobfile, request.ledger, clock=environment.clock, warn=environment.warn)
        if not await asyncio.to_thread(is_here, ledger):
            environment.observe(LedgerChosen(str(ledger)))
        async with BatchLock(ledger, jobfile.batch, since=to_text(environment.clock.now())):
            await teller.begin(jobfile, ledger)
            result = await _continue(request, jobfile, settings, ledger, environment, warnings)
        if jobfile.reports:
            from batchcrew.app.end_reports import write_end_reports  # noqa: PLC0415 - few runs write reports

            result = await write_end_reports(result, jobfile.reports, single_pass=request.once, environment=environment)
    except BatchBusy:  # the other run notifies the monitor
        raise
    except BatchcrewError as error:
        await teller.failed(error)
        raise
    finally:
        teller.close()
    await teller.ended(result)
    return replace(result, warnings=warnings.lines)


def _collect(observe: Observe, warnings: RunWarnings) -> Observe:
    def collect(event: Event) -> None:
        warnings.add(event)
        observe(event)

    return collect


def _refuse_served(request: RunRequest, jobfile: JobFile) -> None:
    """Refuse crews that are served for a run: they would end with the tick, and so would the executions it starts.

    Raises:
        UsageError: the job file has such a crew.
    """
    served = [name for name, crew in jobfile.crews.items() if isinstance(crew, ServedCrew)]
    if served:
        ledger = "" if request.ledger is None else str(request.ledger)
        options = request.source.hints(jobfile)
        run = run_command(str(request.source.path), ledger, *options, program=request.program)
        raise UsageError(
            f"crew {served[0]} is served for a run only (`serve:`): each tick would load it again, and end its"
            f" executions; from cron, use `{run} --max-runtime 9m` every ten minutes, or start"
            f" `{request.program} serve` separately and give its `url`"
        )


async def _continue(
    request: RunRequest,
    jobfile: JobFile,
    settings: RunSettings,
    path: Path,
    environment: RunEnvironment,
    warnings: RunWarnings,
) -> RunResult:
    began, source = environment.clock.monotonic(), request.source
    await asyncio.to_thread(require_descriptors, jobfile.crews)
    async with Ledger(path, clock=environment.clock, consequence=NEXT_RUN_RESUMES) as ledger:
        before = await ledger.reported_warnings(jobfile.batch)
        next_step = partial(_next_step, request=request, jobfile=jobfile, ledger=path)
        history = WarningHistory(environment.observe, before, next_step=next_step, warnings=warnings)
        environment = replace(environment, observe=history.observe)
        for warning in (*jobfile.warnings, *map(str, await asyncio.to_thread(jobfile.questions))):
            environment.warn(warning)
        overrides = await _set_values(request, jobfile, ledger, environment)
        async with RunCrews(jobfile, settings, path, environment, overrides=overrides) as crews:
            try:
                taken = await ingest(
                    ledger,
                    IngestRequest(jobfile=jobfile, source=source, settings=settings, program=request.program),
                    stop=environment.stop,
                    observe=environment.observe,
                    request_inputs=partial(crews.request_inputs, once=request.once),
                )
            except NeedsConsent as refusal:
                await _watch_only(request, jobfile, crews, ledger, environment, refusal)
                raise
            batch = taken.batch
            for warning in (*([_UNDECIDED] if not taken.decided and request.once else []), *jobfile.row_warnings()):
                environment.warn(warning)
            webhooks = await _prepare_jobs(request, jobfile, settings, ledger, batch, environment)
            result = RunResult(
                batch=batch.batch,
                run_id=None,
                counts=await ledger.counts(batch),
                ledger=str(path),
                jobfile=str(source.path),
                jobfile_options=source.hints(jobfile),
                plan=taken.plan,
                program=request.program,
                webhooks=webhooks,
            )
            if result.counts.left:
                result = await _run(request, jobfile, crews, ledger, taken, result, environment)
        if history.changed:
            await ledger.save_reported_warnings(batch, history.kept)
        if not request.once or (result.run_id is not None and not result.counts.left):  # ticks are called often
            number, job_ids = await ledger.without_output(batch)
            result = replace(result, without_output=number, without_output_jobs=job_ids)
        return await _with_findings(result, ledger, batch, seconds=environment.clock.monotonic() - began)


async def _with_findings(result: RunResult, ledger: Ledger, batch: BatchKey, *, seconds: float) -> RunResult:
    """Return the result with the ledger's facts about the jobs; the run took this many seconds."""
    return replace(
        result,
        failing=await ledger.failing(batch),
        failures=await ledger.failure_groups(batch, SHOWN_GROUPS),
        duplicates=await ledger.duplicates(batch),
        unanswered=await ledger.unanswered(batch),
        unsure=await ledger.unsure_count(batch),
        wall_seconds=seconds,
    )


async def _set_values(
    request: RunRequest, jobfile: JobFile, ledger: Ledger, environment: RunEnvironment
) -> Mapping[str, Any]:
    """Return the values that `set` has replaced, and report each."""
    control = await control_of(ledger, jobfile.batch)
    for line in set_lines(control, jobfile.batch, str(ledger.path), request.program):
        environment.warn(line, lasting=True)
    return control.overrides


def _next_step(action: Action, request: RunRequest, jobfile: JobFile, ledger: Path) -> str:
    """Return what you can do about a warning, with the command that does it from the current folder."""
    place, program = str(ledger), request.program
    match action:
        case RecordKickoff(job_id, kickoff_id):
            command = attach_command(jobfile.batch, job_id, place, program, kickoff_id=kickoff_id)
            return f"once the ledger is writable again, record it with: {command}"
        case WatchFormerAddress(crew, url):
            options = [option for option in request.source.hints(jobfile) if not option.startswith(CREW_OPTIONS)]
            step = "to watch them with another token"
            if len(jobfile.crews) == 1 or crew == DEFAULT_CREW:
                options += [f"--crew-url {quoted(url)}", "--watch-only", "--token-file TOKEN_FILE"]
            else:  # these options are for the one crew of a job file
                options.append("--watch-only")
                step += f", give crew {crew} that url and token in the job file"
            return f"{step}: {run_command(str(request.source.path), place, *options, program=program)}"


async def _watch_only(
    request: RunRequest,
    jobfile: JobFile,
    crews: RunCrews,
    ledger: Ledger,
    environment: RunEnvironment,
    refusal: NeedsConsent,
) -> None:
    """Watch the executions in progress although the changed file is refused: they are paid for."""
    batch = await ledger.batch(jobfile.batch)
    counts = Counts() if batch is None else await ledger.counts(batch)
    if batch is None or not (counts.open or counts.waiting):
        return
    environment.warn(f"{refusal}; first, batchcrew watches the executions in progress until they end")
    result = RunResult(batch=batch.batch, run_id=None, counts=counts, ledger=str(ledger.path))
    only = replace(request, limit=0)
    await _run(only, jobfile, crews, ledger, Ingested(batch, None), result, environment)


async def _prepare_jobs(
    request: RunRequest,
    jobfile: JobFile,
    settings: RunSettings,
    ledger: Ledger,
    batch: BatchKey,
    environment: RunEnvironment,
) -> WebhookCounts | None:
    """Report what you must know before money is spent, and reset the jobs that are to run again.

    Return the number of kickoffs in doubt that stored webhooks have found again; None if there is none.
    """
    found_again = await ledger.recover_by_webhooks(batch)
    source = request.source
    commands = commands_of(jobfile, source, str(ledger.path), request.program)
    await report_earlier_days(ledger, batch, environment.observe, source=source, program=request.program)
    for line in await moved_crews(ledger, batch, jobfile, commands):
        environment.warn(line)
    await settle_stale(ledger, batch, settings, source, jobfile, commands, environment.observe)
    if request.retry_failed:
        await ledger.retry(batch, states=[JobState.FAILED])
    return WebhookCounts(found_again=found_again) if found_again else None


async def _run(
    request: RunRequest,
    jobfile: JobFile,
    crews: RunCrews,
    ledger: Ledger,
    taken: Ingested,
    result: RunResult,
    environment: RunEnvironment,
) -> RunResult:
    opening = open_webhooks(
        with_options(jobfile.webhooks, listen=request.webhook_listen, url=request.webhook_url),
        ledger,
        taken.batch,
        environment,
        crews=jobfile.crews,
        single_pass=request.once,
    )
    async with opening as webhooks:  # before anything is paid: its port may be in use
        result = await _run_with(webhooks, request, crews, ledger, taken, result, environment)
        if webhooks is None or result.run_id is None:
            return result
        webhooks.record_counts()
        return replace(result, webhooks=webhooks.counts)


async def _run_with(
    webhooks: Webhooks | None,
    request: RunRequest,
    crews: RunCrews,
    ledger: Ledger,
    taken: Ingested,
    result: RunResult,
    environment: RunEnvironment,
) -> RunResult:
    await crews.name_webhooks(no_extras if webhooks is None else webhooks.fields)
    jobfile, batch = crews.jobfile, taken.batch
    stopped_before = await ledger.latest_stop(batch)
    run_id = await ledger.open_run(
        batch.id,
        pid=os.getpid(),
        host=socket.gethostname(),
        version=__version__,
        kind="tick" if request.once else "run",
        urls={name: crew_address(crew) for name, crew in jobfile.crews.items()},
        prices=price_lists(jobfile.crews),
    )
    if webhooks is not None:
        found_again = 0 if result.webhooks is None else result.webhooks.found_again
        webhooks.start_counting(partial(ledger.save_webhook_counts, run_id), found_again=found_again)
    if ledger.recovered:
        environment.warn(f"{_ids(ledger.recovered)} from the spill file; the executions are resumed")
    await ledger.reserve_spill(batch, crews.settings.most_in_progress)
    environment.observe(run_started(result, run_id, request.source.path, jobfile, crews.settings))
    run = RunContext(
        environment=environment,
        ledger=ledger,
        batch=batch,
        run_id=run_id,
        settings=crews.settings,
        single_pass=request.once,
        judging=Judging(jobfile.rules, ledger),
        changer=LiveSettings(crews, ledger, run_id).begin(),
        webhooks=webhooks,
    )
    run.expect = partial(report_rest, run, jobfile.crews)
    engine = await _schedule(run, crews, request, may_start=taken.decided)
    before = result.counts
    result = run_ended(result, run_id, engine, await ledger.counts(batch), environment.stop)
    stopped = result.stopped.value if result.stopped else None
    waits = StopReason.WAITING
    result = replace(
        result,
        spending=await ledger.run_spending(run_id),
        crew_ended=any(isinstance(crew, ServedCrew) for crew in jobfile.crews.values()),
        repeated=(request.once or result.stopped is waits) and stopped == stopped_before and result.counts == before,
    )
    await ledger.close_run(
        run_id,
        kickoffs=result.kickoffs,
        stopped=stopped,
        exit_code=int(exit_codes.of_run(result)),
        cost=result.cost,
        stop_detail=result.stop_detail,
    )
    return result


async def _schedule(run: RunContext, crews: RunCrews, request: RunRequest, *, may_start: bool) -> EngineResult:
    """Run the engine, with clients for the crews and for the addresses at which they were before."""
    addresses = await run.ledger.addresses(run.batch)
    renamed = await renamed_crews(run.ledger, crews.jobfile, addresses)
    async with crews.open_former({(renamed.get((name, url), name), url) for name, url in addresses}) as former:
        connected = Crews(settings=crews.jobfile.crews, clients=await crews.open(), former=former, renamed=renamed)
        return await Scheduler(run, connected, limit=request.limit, may_start=may_start, wait=request.wait).run()


_UNDECIDED = (
    "a crew did not answer which columns it is sent: no job starts before it does, or before `send:` in the job file"
    " names them"
)


def _ids(number: int) -> str:
    return "1 kickoff id was read" if number == 1 else f"{number} kickoff ids were read"

"""Plan a batch before money is spent, for `batchcrew check`. Nothing is kicked off, and the ledger is not changed."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from batchcrew.app.consent import Commands, moved_crews, plan_problem, reruns, stale_note
from batchcrew.app.crew_names import crew_groups
from batchcrew.app.estimate import estimate
from batchcrew.app.expectation import expect, histories
from batchcrew.app.ingest import check_owner, commands_of
from batchcrew.app.ledger_location import exists
from batchcrew.app.plan_notes import delivery_note, limits, next_run, spending
from batchcrew.app.served_check import Columns, served_crew_check
from batchcrew.app.set_values import control_of, pause_lines, set_lines, settings_in_force
from batchcrew.app.staging import (
    InputsAnswer,
    StagedWithColumns,
    skipped_note,
    stage_with_columns,
    stated_inputs,
    without_mistakes,
)
from batchcrew.app.wiring import Crews, Source, ledger_of, open_clients
from batchcrew.base.clock import Clock
from batchcrew.base.crew_details import CrewDetails
from batchcrew.base.errors import JobFileError, Problem
from batchcrew.config.settings import RunSettings
from batchcrew.jobfile import JobFile, Problems, Question, RowsDescription, Sending
from batchcrew.ledger import BatchKey, LedgerReader, Staged, ToStart
from batchcrew.model.control import Control
from batchcrew.model.crew_answers import CrewInputs, NotSent, Unusable
from batchcrew.model.forecast import Forecast, PastJob
from batchcrew.model.job import Job
from batchcrew.model.run import Counts, Plan
from batchcrew.reports.crew_check import CrewCheck, SampleJob
from batchcrew.telling.sender import unusable_receivers

_SHOWN_MISSING = 5
_SHOWN_SAMPLES = 3
SEED = 1
"""Random seed of the simulated batches of a forecast, so that the same plan has the same forecast."""
_Starts: TypeAlias = Mapping[str, ToStart]
"""The jobs that a run would start, by crew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The plan of a batch."""

    batch: str
    jobfile: str
    plan: Plan
    to_kick_off: int
    """Jobs that the next run would start."""
    kickoffs: tuple[int, int]
    """Kickoffs until every job has ended: without any retry, and with every retry that `retry.attempts` allows."""
    cost: str | None
    """Their cost, `25.00 to 75.00 USD`; None if no price is known."""
    crews: tuple[CrewCheck, ...]
    notes: tuple[str, ...]
    """Sentences to read before the run: the effect of `delivery`, warnings."""
    samples: tuple[SampleJob, ...] = ()
    """The first jobs as their crew would receive them."""
    missing_inputs: int
    """Jobs without inputs that their crew requires: they would fail without a kickoff."""
    unusable: bool
    """A crew cannot be used: a run would end with exit 5."""
    needs_consent: str | None = None
    """Why a run would stop before its first kickoff (`run.plan_guard`)."""
    forecast: Forecast
    """The expected cost, failures and duration of the rest of the batch."""
    rows_files: tuple[RowsDescription, ...] = ()
    """Descriptions of how each rows file is read."""
    questions: tuple[Question, ...] = ()
    """Questions about values in the rows files that may be wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """The batch that is checked, and how its run is called."""

    source: Source
    jobfile: JobFile
    settings: RunSettings
    commands: Commands
    ledger_note: str
    retry_failed: bool
    limit: int | None
    control: Control = field(default_factory=Control)

    @property
    def rerun(self) -> bool:
        """Return whether stale jobs run again."""
        return reruns(self.settings, self.source)

    @property
    def put_back(self) -> tuple[str, ...]:
        """Return the states of jobs that the run resets to pending first."""
        return (*(["stale"] if self.rerun else []), *(["failed"] if self.retry_failed else []))


@dataclass(slots=True)
class _Stream:
    """Counts the jobs as they stream by, and keeps the first ones."""

    jobs: Counter[str] = field(default_factory=Counter)
    samples: list[SampleJob] = field(default_factory=list)

    def through(self, jobs: Iterator[Job]) -> Iterable[Job]:
        """Yield the same jobs; count them from zero at each call."""
        self.jobs.clear()
        self.samples.clear()
        for job in jobs:
            self.jobs[job.crew] += 1
            if len(self.samples) < _SHOWN_SAMPLES:
                self.samples.append(SampleJob(job.job_id, job.crew, job.inputs, job.meta))
            yield job

    def columns(self, crew: str, sending: Sending) -> Columns:
        """Return what the first jobs of a crew name, and the columns that it is not sent."""
        names = dict.fromkeys(name for job in self.samples if job.crew == crew for name in job.inputs)
        return Columns(sent=tuple(names), not_sent=sending.left_out(crew))


@dataclass(slots=True)
class _CrewAnswers:
    """The crews' inputs, requested once from each crew when they are first needed."""

    jobfile: JobFile
    clock: Clock
    warnings: list[str]
    offline: bool
    answers: dict[str, InputsAnswer] | None = None
    details: dict[str, CrewDetails] = field(default_factory=dict)
    """Of the served crews that have been loaded."""

    async def get(self) -> Mapping[str, InputsAnswer]:
        """Return each crew's answer; none with `--offline`."""
        if self.answers is None:
            self.answers = {} if self.offline else await self._request()
        return self.answers

    async def required(self) -> Mapping[str, Sequence[str]]:
        """Return the inputs that each crew requires."""
        answers = await self.get()
        return {name: answer.required for name, answer in answers.items() if isinstance(answer, CrewInputs)}

    async def inputs(self, names: frozenset[str]) -> Mapping[str, CrewInputs | None]:
        """Return the inputs of these crews; see `RequestInputs`."""
        return stated_inputs({name: answer for name, answer in (await self.get()).items() if name in names})

    async def _request(self) -> dict[str, InputsAnswer]:
        crews = Crews(self.jobfile.crews, self.jobfile.path.parent, on_details=self.details.__setitem__)
        opened = open_clients(crews, concurrency=1, clock=self.clock, warn=self.warnings.append)
        async with opened as clients:
            return {name: await client.inputs() for name, client in clients.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """The job file compared with the ledger."""

    staged: Staged
    starts: _Starts
    sending: Sending
    undecided: frozenset[str]
    """Crews whose answer would decide which columns they are sent, and that did not answer."""
    before: Counts | None
    """The batch's jobs as the ledger has them; None for a new batch."""
    stale: tuple[str, ...]
    """The ids of the first jobs that the ledger has as stale."""
    kickoffs_used: int
    history: Mapping[str, list[PastJob]]
    """The ended jobs of each crew."""
    rows_files: tuple[RowsDescription, ...]
    questions: tuple[Question, ...]


async def check_batch(
    source: Source,
    *,
    ledger: Path | None,
    offline: bool,
    clock: Clock,
    program: str = "batchcrew",
    retry_failed: bool = False,
    limit: int | None = None,
) -> CheckResult:
    """Read everything, request each crew's inputs, and compare the job file with the ledger.

    Args:
        ledger: as the command line names it; None: found.
        offline: send no requests to the crews.
        program: how this batchcrew was called: commands in the notes start with it.
        retry_failed: the run would put failed jobs back first.
        limit: most kickoffs of the run; 0: it would only watch.

    Raises:
        JobFileError, UsageError: the job file or an option is wrong.
        LedgerError: the ledger cannot be read.
    """
    jobfile, settings = await asyncio.to_thread(source.load)
    warnings = [*jobfile.warnings, *await asyncio.to_thread(unusable_receivers, jobfile.telling.receivers)]
    path = await ledger_of(jobfile, ledger, clock=clock, warn=warnings.append)
    is_there = await asyncio.to_thread(exists, path)
    batch = _Batch(
        source=source,
        jobfile=jobfile,
        settings=settings,
        commands=commands_of(jobfile, source, str(path), program),
        ledger_note=f"ledger: {path}" + ("" if is_there else " (the next run creates it)"),
        retry_failed=retry_failed,
        limit=limit,
    )
    stream, crews = _Stream(), _CrewAnswers(jobfile, clock, warnings, offline)
    async with LedgerReader(path if is_there else None, clock=clock) as reader:
        control = await control_of(reader, jobfile.batch)
        in_force = settings_in_force(settings, control.overrides, warnings.append, jobfile.crews)
        batch = replace(batch, settings=in_force, control=control)
        compared = await _compare(reader, batch, stream, crews, warnings)
    warnings += jobfile.row_warnings()
    if compared.staged.states.get("stale", 0) and not batch.rerun:
        warnings.append(_stale_warning(batch, compared))
    result = _result(batch, compared, stream, await crews.get(), warnings)
    described = {
        name: served_crew_check(name, details, stream.columns(name, compared.sending), jobfile, in_force, path)
        for name, details in crews.details.items()
    }
    return replace(result, crews=tuple(replace(one, served=described.get(one.name)) for one in result.crews))


async def _compare(
    reader: LedgerReader, batch: _Batch, stream: _Stream, crews: _CrewAnswers, warnings: list[str]
) -> _Compared:
    """Compare the job file with the ledger, with the columns that a run would send."""
    jobfile = batch.jobfile
    notice = await check_owner(reader, jobfile, take_over=batch.source.batch.take_over)
    warnings += [notice] if notice is not None else []
    known = await reader.batch(jobfile.batch)
    questions = await asyncio.to_thread(jobfile.questions)
    with _questions_first(questions):
        result = await _stage(reader, batch, known, stream, crews)
    staged, starts = result.staged
    warnings += await moved_crews(reader, known, jobfile, batch.commands) if known else []
    return _Compared(
        staged=staged,
        starts=starts,
        sending=result.sending,
        undecided=result.undecided,
        before=await reader.counts(known) if known else None,
        stale=await reader.stale(known) if known else (),
        kickoffs_used=await reader.kickoffs(known) if known else 0,
        history=await histories(reader, jobfile.crews),
        rows_files=await asyncio.to_thread(jobfile.describe),
        questions=questions,
    )


async def _stage(
    reader: LedgerReader, batch: _Batch, known: BatchKey | None, stream: _Stream, crews: _CrewAnswers
) -> StagedWithColumns[tuple[Staged, _Starts]]:
    """Stage the job file as a run would, and count the jobs that the run would start.

    Raises:
        JobFileError: the job file has mistakes.
    """
    jobfile = batch.jobfile

    async def stage(sending: Sending) -> tuple[Staged, _Starts]:
        problems = Problems()

        def jobs() -> Iterable[Job]:  # called again if the ledger changes meanwhile
            nonlocal problems
            problems = Problems()
            return stream.through(jobfile.jobs(problems, sending))

        async def required(staged: Staged) -> Mapping[str, Sequence[str]]:
            without_mistakes(staged, problems)
            return await crews.required()

        return await reader.stage(
            jobfile.batch,
            jobs,
            crew_groups=await crew_groups(reader, jobfile),
            reuse=batch.settings.reuse == "batch",
            required=required,
            put_back=batch.put_back,
        )

    return await stage_with_columns(reader, jobfile, known, stage=stage, request=crews.inputs)


@contextmanager
def _questions_first(questions: tuple[Question, ...]) -> Iterator[None]:
    """Put the questions before the mistakes of a rows file, because a wrong delimiter explains many of them.

    Raises:
        JobFileError: a rows file is wrong.
    """
    try:
        yield
    except JobFileError as error:
        first = [
            Problem(file=item.where.file, line=item.where.line, sheet=item.where.sheet, message=item.message)
            for item in questions
        ]
        raise JobFileError([*first, *error.problems], more=error.more) from None


def _stale_warning(batch: _Batch, compared: _Compared) -> str:
    plan = compared.staged.plan
    by_crew = {name: start.stale for name, start in compared.starts.items()}
    first, recorded = plan.stale_jobs or compared.stale, not plan.stale
    return stale_note(by_crew, first, batch.jobfile, batch.settings, batch.commands, recorded=recorded)


def _result(
    batch: _Batch,
    compared: _Compared,
    stream: _Stream,
    answers: Mapping[str, InputsAnswer],
    warnings: Sequence[str],
) -> CheckResult:
    jobfile, settings, starts = batch.jobfile, batch.settings, compared.starts
    missing = sum(start.missing for start in starts.values())
    to_kick_off = sum(start.pending for start in starts.values()) - missing
    to_kick_off = to_kick_off if batch.limit is None else min(to_kick_off, batch.limit)
    prices = {name: crew.price_list for name, crew in jobfile.crews.items()}
    kickoffs, money = estimate(starts, prices, settings, rerun=batch.rerun, kickoffs_used=compared.kickoffs_used)
    running = compared.staged.states.get("open", 0)
    return CheckResult(
        batch=jobfile.batch,
        jobfile=str(batch.source.path),
        plan=compared.staged.plan,
        to_kick_off=to_kick_off,
        kickoffs=kickoffs,
        cost=money,
        crews=tuple(
            _crew_check(name, crew.location, answers.get(name), stream.jobs[name], compared)
            for name, crew in jobfile.crews.items()
        ),
        notes=(
            batch.ledger_note,
            next_run(to_kick_off, running, settings.most_in_progress),
            spending(kickoffs, money, with_tokens=any(each and each.has_token_prices for each in prices.values())),
            *_notes(batch, compared, answers),
            *(f"warning: {line}" for line in warnings),
        ),
        samples=tuple(stream.samples),
        missing_inputs=missing,
        unusable=any(
            (isinstance(answer, Unusable | NotSent) or name in compared.undecided) and _is_needed(starts.get(name))
            for name, answer in answers.items()
        ),
        needs_consent=plan_problem(compared.staged, compared.before, settings, batch.source, jobfile),
        forecast=expect(starts, compared.history, jobfile.crews, settings, random.Random(SEED)),
        rows_files=compared.rows_files,
        questions=compared.questions,
    )


def _is_needed(start: ToStart | None) -> bool:
    """Return whether a run needs the crew at all."""
    return start is not None and start.pending + start.open > 0


def _crew_check(name: str, url: str, answer: InputsAnswer | None, jobs: int, compared: _Compared) -> CrewCheck:
    inputs = answer if isinstance(answer, CrewInputs) else None
    start, left_out = compared.starts.get(name, ToStart()), compared.sending.left_out(name)
    return CrewCheck(
        name=name,
        url=url,
        jobs=jobs,
        inputs=inputs,
        problem=None if inputs is answer else getattr(answer, "reason", None),
        missing_inputs=start.missing_by_input,
        missing_jobs=start.first_missing[:_SHOWN_MISSING],
        sent=tuple(column for column in compared.sending.offered.get(name, ()) if column not in left_out),
        not_sent=left_out,
    )


def _notes(batch: _Batch, compared: _Compared, answers: Mapping[str, InputsAnswer]) -> Iterator[str]:
    """Yield sentences about undecided columns, limits, delivery and skipped rows."""
    for name in sorted(compared.undecided):
        yield f"which columns crew {name} is sent is decided once it lists its inputs; all of them are shown here"
    commands = batch.commands
    yield from pause_lines(batch.control, commands.batch, commands.ledger, commands.program)
    yield from set_lines(batch.control, commands.batch, commands.ledger, commands.program)
    yield from limits(batch.settings, compared.kickoffs_used, batch.limit)
    yield delivery_note(batch.settings.delivery, answers.values(), batch.commands.retry("--held"))
    if compared.staged.skipped:
        yield skipped_note(compared.staged.skipped)

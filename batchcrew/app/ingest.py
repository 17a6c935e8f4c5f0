"""Ingest a job file: stage it, compare it with the ledger, decide, and merge it completely or not at all."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from batchcrew.app.consent import Commands, check_plan
from batchcrew.app.crew_names import crew_groups, with_addresses
from batchcrew.app.ledger_location import Owner, absolute, compare, recorded_as
from batchcrew.app.staging import (
    RequestInputs,
    send_everything,
    skipped_note,
    stage_with_columns,
    undecided_crews,
    without_mistakes,
)
from batchcrew.app.wiring import Source
from batchcrew.base.errors import JobFileError, Problem, StoppedEarly, UsageError
from batchcrew.base.text import clean_text
from batchcrew.config.settings import RunSettings
from batchcrew.engine import Stop
from batchcrew.jobfile import CHANGED, JobFile, Problems, Sending
from batchcrew.ledger import BatchKey, Ledger, Reading, Staged
from batchcrew.model.events import Observe, Warned
from batchcrew.model.job import Job
from batchcrew.model.run import Plan
from batchcrew.reports.commands import run_command

_SHOWN_COLUMNS, _SHOWN_COLUMN = 50, 60
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRequest:
    """A job file to ingest."""

    jobfile: JobFile
    source: Source
    settings: RunSettings
    """Settings of this run."""
    program: str = "batchcrew"
    """The program name that batchcrew was called with, with which commands in messages start."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """A batch in the state of its job file."""

    batch: BatchKey
    plan: Plan | None
    """None if the file has not changed since it was last ingested."""
    decided: bool = True
    """False while a crew whose inputs decide its columns was not reached: then nothing may be kicked off."""


async def ingest(
    ledger: Ledger,
    request: IngestRequest,
    *,
    stop: Stop,
    observe: Observe,
    request_inputs: RequestInputs = send_everything,
) -> Ingested:
    """Bring the ledger's batch to the state of the job file.

    Args:
        request_inputs: requests the inputs of crews, if these decide which columns are sent; default: all are sent.

    Raises:
        UsageError: the batch belongs to another job file.
        NeedsConsent: more would be paid for again than `run.plan_guard` allows; nothing was changed.
    """
    jobfile, source = request.jobfile, request.source
    notice = await check_owner(ledger, jobfile, take_over=source.batch.take_over)
    if notice is not None:
        observe(Warned(notice))
    recorded = await ledger.recorded_crews(jobfile.batch)
    crews = with_addresses(recorded, jobfile)
    ingested = await _Ingestion(ledger, request, crews, stop, observe).run(request_inputs)
    if ingested.plan is None and crews != recorded:
        await ledger.record_crews(ingested.batch, crews)
    paths = await asyncio.to_thread(
        recorded_as, jobfile.path, ledger.path, source.today.isoformat() if jobfile.dated else None
    )
    if paths != await ledger.recorded_jobfile(jobfile.batch):
        await ledger.record_jobfile(ingested.batch, paths)
    return ingested


async def check_owner(ledger: Reading, jobfile: JobFile, *, take_over: bool) -> str | None:
    """Return what to print when the batch is taken over; None if it is new, or belongs to this job file.

    Raises:
        UsageError: the batch belongs to another job file, and `take_over` is not given.
    """
    recorded = await ledger.recorded_jobfile(jobfile.batch)
    if recorded is None or ledger.path is None:
        return None
    owner = await asyncio.to_thread(compare, recorded, jobfile.path, ledger.path)
    if owner is Owner.SAME:
        return None
    before = clean_text(recorded.path or recorded.given)
    now = clean_text(str(await asyncio.to_thread(absolute, jobfile.path)))
    if owner is Owner.MOVED or take_over:
        return f"batch {jobfile.batch} belonged to {before}; it now belongs to {now}"
    raise UsageError(
        f"batch {jobfile.batch!r} in {ledger.path} belongs to another job file: {before} (this one is {now});"
        " nothing was changed. Give this one another name (`batch:` in a job file), another ledger (--ledger), or,"
        " if it replaces the other file, --take-over"
    )


@dataclass(frozen=True, slots=True)
class _Ingestion:
    """Merges one job file into the ledger."""

    ledger: Ledger
    request: IngestRequest
    crews: Mapping[str, Sequence[str]]
    """Every address of each crew, those of this job file included."""
    stop: Stop
    observe: Observe

    async def run(self, request_inputs: RequestInputs) -> Ingested:
        """Merge the job file if it has changed."""
        ledger, jobfile, settings = self.ledger, self.request.jobfile, self.request.settings
        before = await asyncio.to_thread(jobfile.stamps)
        digest = await asyncio.to_thread(jobfile.digest)
        known = await ledger.batch(jobfile.batch)
        if known is not None and known.digest == digest and await self._is_ready(known):
            if settings.on_change == "rerun":  # jobs that are stale already would run again
                await self._require_consent(None, known)
            await self._record_layouts(known)
            return Ingested(known, None)
        result = await stage_with_columns(ledger, jobfile, known, stage=self._stage, request=request_inputs)
        staged, undecided = result.staged, result.undecided
        await asyncio.to_thread(_require_unchanged, jobfile, before)
        await self._require_consent(staged, known)
        notes = [*_notes_on_columns(jobfile, result.sending), *_notes_on_changes(staged)]
        notes += [skipped_note(staged.skipped)] if staged.skipped else []
        for line in notes:
            self.observe(Warned(line))
        batch = await ledger.ingest(
            jobfile.batch,
            jobfile=str(jobfile.path),
            digest=digest,
            columns=staged.plan.columns,
            sent_columns=result.sent_columns or None,
            crews=self.crews,
            layouts=jobfile.layouts(),
        )
        return Ingested(batch, staged.plan, decided=not undecided)

    async def _record_layouts(self, known: BatchKey) -> None:
        """Record how the rows files are written if an earlier version of batchcrew, which did not, ingested them."""
        jobfile = self.request.jobfile
        if jobfile.has_rows_files and not await self.ledger.rows_layouts(known):
            await self.ledger.record_layouts(known, await asyncio.to_thread(jobfile.read_layouts))

    async def _is_ready(self, known: BatchKey) -> bool:
        """Return whether the columns of each crew are decided, or need no decision because every job has succeeded."""
        if not await undecided_crews(self.ledger, self.request.jobfile, known):
            return True
        counts = await self.ledger.counts(known)
        return counts.succeeded == counts.total

    async def _stage(self, sending: Sending) -> Staged:
        """Stage the job file and compare it with the ledger; change nothing.

        Raises:
            JobFileError: it has mistakes.
        """
        jobfile, problems = self.request.jobfile, Problems()
        staged = await self.ledger.stage(
            jobfile.batch,
            _until_stopped(jobfile.jobs(problems, sending), self.stop),
            crew_groups=await crew_groups(self.ledger, jobfile),
            reuse=self.request.settings.reuse == "batch",
        )
        return without_mistakes(staged, problems)

    async def _require_consent(self, staged: Staged | None, known: BatchKey | None) -> None:
        """Stop a plan that would pay again on a large scale.

        Raises:
            NeedsConsent: more would be paid for again than `run.plan_guard` allows.
        """
        request = self.request
        counts = await self.ledger.counts(known) if known is not None else None
        commands = commands_of(request.jobfile, request.source, str(self.ledger.path), request.program)
        check_plan(staged, counts, request.settings, request.source, request.jobfile, commands)


def _require_unchanged(jobfile: JobFile, before: Mapping[Path, object]) -> None:
    """Check that no file has changed since its digest was made: otherwise the next run would not read it again.

    Raises:
        JobFileError: a file has changed.
    """
    for path, stamp in jobfile.stamps().items():
        if stamp != before[path]:
            raise JobFileError([Problem(file=str(path), message=CHANGED)])


def commands_of(jobfile: JobFile, source: Source, ledger: str, program: str) -> Commands:
    """Return the commands that messages about the job file's batch name."""
    options = source.hints(jobfile)
    return Commands(program=program, batch=jobfile.batch, jobfile=str(source.path), ledger=ledger, options=options)


def _notes_on_columns(jobfile: JobFile, sending: Sending) -> Iterator[str]:
    """Yield a sentence about the columns that are not sent to a crew."""
    for crew in sorted(jobfile.undecided_crews):
        left_out = sending.left_out(crew)
        if left_out:
            which = f"crew {crew}: " if len(jobfile.crews) > 1 else ""
            number = "1 column is" if len(left_out) == 1 else f"{len(left_out)} columns are"
            names = ", ".join(clean_text(name, limit=_SHOWN_COLUMN) or "''" for name in left_out[:_SHOWN_COLUMNS])
            if len(left_out) > _SHOWN_COLUMNS:
                names += f", … ({len(left_out) - _SHOWN_COLUMNS} more: `check --json` lists them)"
            why = "the crew does not list it" if len(left_out) == 1 else "the crew does not list them"
            yield f"{which}{number} not sent: {names} ({why}; `send:` in the job file changes that)"


def _notes_on_changes(staged: Staged) -> Iterator[str]:
    """Yield the effects of a changed file that cost nothing; `check` prints the numbers itself."""
    plan = staged.plan
    if plan.running:
        number = "1 job" if plan.running == 1 else f"{plan.running} jobs"
        yield f"{number} changed in the file while in progress: the answers to the former inputs will be stale"
    if plan.restored:
        number = "1 job was" if plan.restored == 1 else f"{plan.restored} jobs were"
        yield f"{number} changed back to inputs that have an answer already: nothing to pay"
    if plan.reused:
        number = "1 job takes" if plan.reused == 1 else f"{plan.reused} jobs take"
        yield f"{number} over the answer of a job with the same inputs: nothing to pay"


async def report_earlier_days(
    ledger: Ledger, batch: BatchKey, observe: Observe, *, source: Source, program: str
) -> None:
    """Report the jobs that earlier days' batches of the same job file (`batch: leads-{date}`) have not finished."""
    for name, counts in (await ledger.left_behind(batch)).items():
        day = _DAY.search(name)
        if day is not None and _DAY.sub("", name) == _DAY.sub("", batch.batch):
            left = f"{counts.open} executions in progress and {counts.pending} jobs pending"
            finish = run_command(str(source.path), str(ledger.path), f"--date {day[0]}", *source.given, program=program)
            observe(Warned(f"batch {name} of this job file has {left}; to finish it: {finish}"))


def _until_stopped(jobs: Iterator[Job], stop: Stop) -> Iterable[Job]:
    """Yield the jobs until a signal comes.

    Raises:
        StoppedEarly: a signal came.
    """
    for job in jobs:
        if stop.requested:
            raise StoppedEarly(f"stopped {stop.detail} while the job file was read; nothing was started")
        yield job

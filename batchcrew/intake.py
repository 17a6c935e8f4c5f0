"""Taking a job file into the ledger: stream, compare, and merge whole or not at all."""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from batchcrew.engine import Stop
from batchcrew.errors import BatchcrewError, ExitCode, JobFileError, Problem, UsageError
from batchcrew.events import Observe, Warned
from batchcrew.jobfile import CHANGED, JobFile, Problems
from batchcrew.ledger import BatchKey, Duplicate, Ledger, LedgerReader, Reading, Staged
from batchcrew.ledger_location import Owner, absolute, compare, recorded_as
from batchcrew.models import Job, Plan
from batchcrew.reports.clean import clean_text
from batchcrew.reports.commands import run_command
from batchcrew.wiring import Source

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
JobFilter: TypeAlias = Callable[[Iterator[Job]], Iterable[Job]]
"""Looks at each job as it streams by."""


class StoppedEarly(BatchcrewError):
    """A signal came before anything was started."""

    exit_code = ExitCode.STOPPED


async def take_in(
    ledger: Ledger, jobfile: JobFile, *, source: Source, stop: Stop, observe: Observe
) -> tuple[BatchKey, Plan | None]:
    """Bring the ledger's batch to what the job file says; no plan when the file has not changed since.

    Raises:
        UsageError: the batch belongs to another job file.
    """
    notice = await check_owner(ledger, jobfile, take_over=source.take_over)
    if notice is not None:
        observe(Warned(notice))
    batch, plan = await _merge(ledger, jobfile, stop=stop, observe=observe)
    paths = await asyncio.to_thread(
        recorded_as, jobfile.path, ledger.path, source.today.isoformat() if jobfile.dated else None
    )
    if paths != await ledger.recorded_jobfile(jobfile.batch):
        await ledger.record_jobfile(batch, paths)
    return batch, plan


async def check_owner(ledger: Reading, jobfile: JobFile, *, take_over: bool) -> str | None:
    """Return what to print when the batch is taken over; None when it is this job file's, or new.

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


async def _merge(ledger: Ledger, jobfile: JobFile, *, stop: Stop, observe: Observe) -> tuple[BatchKey, Plan | None]:
    before = await asyncio.to_thread(jobfile.stamps)
    digest = await asyncio.to_thread(jobfile.digest)
    known = await ledger.batch(jobfile.batch)
    if known is not None and known.digest == digest:
        return known, None
    staged = await stage(ledger, jobfile, lambda jobs: _until_stopped(jobs, stop))
    for path, stamp in (await asyncio.to_thread(jobfile.stamps)).items():
        if stamp != before[path]:  # the digest would be another content's: the next run would not read the file
            raise JobFileError([Problem(file=str(path), message=CHANGED)])
    batch, changing = await ledger.take_in(
        jobfile.batch, jobfile=str(jobfile.path), digest=digest, columns=staged.plan.columns
    )
    if staged.skipped:
        observe(Warned(skipped_words(staged.skipped)))
    if changing:
        observe(Warned(f"{changing} jobs changed in the file while they run: the next run looks at them again"))
    if staged.plan.changed:
        observe(Warned(f"{staged.plan.changed} jobs changed in the file since they ended: they run again"))
    return batch, staged.plan


async def tell_what_was_left(
    ledger: Ledger, batch: BatchKey, observe: Observe, *, source: Source, program: str
) -> None:
    """An earlier day's batch of the same job file (`batch: leads-{date}`) may have work left that nobody runs now."""
    for name, counts in (await ledger.left_behind(batch)).items():
        day = _DAY.search(name)
        if day is not None and _DAY.sub("", name) == _DAY.sub("", batch.batch):
            left = f"{counts.open} executions in flight and {counts.pending} jobs pending"
            finish = run_command(str(source.path), str(ledger.path), f"--date {day[0]}", *source.given, program=program)
            observe(Warned(f"batch {name} of this job file has {left}; to finish it: {finish}"))


def skipped_words(number: int) -> str:
    """Say how many rows `duplicates: skip` left out."""
    return f"{number} {'row is' if number == 1 else 'rows are'} skipped: identical to an earlier row"


async def stage(ledger: Ledger, jobfile: JobFile, through: JobFilter) -> Staged:
    """Stream the job file next to the ledger and compare; all its mistakes are one error, nothing is changed."""
    problems = Problems()
    return _without_mistakes(await ledger.stage(jobfile.batch, through(jobfile.jobs(problems))), problems)


async def plan_with(ledger: LedgerReader, jobfile: JobFile, through: JobFilter) -> Staged:
    """Compare the job file with a ledger that is only read; the same errors."""
    problems = Problems()

    def jobs() -> Iterable[Job]:
        nonlocal problems
        problems = Problems()
        return through(jobfile.jobs(problems))

    return _without_mistakes(await ledger.stage(jobfile.batch, jobs), problems)


def _without_mistakes(staged: Staged, problems: Problems) -> Staged:
    problems.raise_if_any()
    if staged.duplicates:
        raise JobFileError(
            [
                Problem(file=found.again.file, line=found.again.line, column=found.again.column, message=_same(found))
                for found in staged.duplicates
            ]
        )
    return staged


def _same(found: Duplicate) -> str:
    first, again = found.first, found.again
    if not found.identical:
        return (
            f"duplicate job id {found.job_id!r} (first used at {first.file}:{first.line}); each job needs its own id"
            " (an `id` column, or `id:` in the job file)"
        )
    same = f"rows {first.line} and {again.line} are identical"
    if first.file != again.file:
        same = f"this row and {first.file}:{first.line} are identical"
    return (
        f"{same} (the same crew and inputs, and no id); give each row an id, or write `duplicates: skip` or"
        " `duplicates: number` in the `rows` entry of the job file"
    )


def _until_stopped(jobs: Iterator[Job], stop: Stop) -> Iterator[Job]:
    for job in jobs:
        if stop.requested:
            raise StoppedEarly(f"stopped {stop.detail} while the job file was read; nothing was started")
        yield job

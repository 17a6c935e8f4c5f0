"""Taking a job file into the ledger: stream, compare, and merge whole or not at all."""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from batchcrew.engine import Stop
from batchcrew.errors import BatchcrewError, ExitCode, JobFileError, Problem
from batchcrew.events import Observe, Warned
from batchcrew.jobfile import CHANGED, JobFile, Problems
from batchcrew.ledger import BatchKey, Duplicate, Ledger, LedgerReader, Staged
from batchcrew.models import Job, Plan
from batchcrew.reports.commands import run_command

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
JobFilter: TypeAlias = Callable[[Iterator[Job]], Iterable[Job]]
"""Looks at each job as it streams by."""


class StoppedEarly(BatchcrewError):
    """A signal came before anything was started."""

    exit_code = ExitCode.STOPPED


async def take_in(ledger: Ledger, jobfile: JobFile, *, stop: Stop, observe: Observe) -> tuple[BatchKey, Plan | None]:
    """Bring the ledger's batch to what the job file says; no plan when the file has not changed since."""
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


async def tell_what_was_left(ledger: Ledger, batch: BatchKey, observe: Observe, *, program: str) -> None:
    """An earlier day's batch of the same job file (`batch: leads-{date}`) may have work left that nobody runs now."""
    for name, counts in (await ledger.left_behind(batch)).items():
        day = _DAY.search(name)
        if day is not None and _DAY.sub("", name) == _DAY.sub("", batch.batch):
            left = f"{counts.open} executions in flight and {counts.pending} jobs pending"
            finish = run_command(batch.jobfile, str(ledger.path), f"--date {day[0]}", program=program)
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

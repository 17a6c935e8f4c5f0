"""Taking a job file into the ledger: stream, compare, decide, and merge it completely or not at all."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from batchcrew.app.consent import Commands, check_plan
from batchcrew.app.ledger_location import Owner, absolute, compare, recorded_as
from batchcrew.app.wiring import Source
from batchcrew.base.errors import JobFileError, Problem, StoppedEarly, UsageError
from batchcrew.base.export_columns import MARK
from batchcrew.base.text import clean_text
from batchcrew.config.settings import RunSettings
from batchcrew.crew import crew_address
from batchcrew.engine import Stop
from batchcrew.jobfile import CHANGED, EVERYTHING, JobFile, Problems, Sending
from batchcrew.ledger import BatchKey, Duplicate, Ledger, LedgerReader, Reading, SentColumns, Staged, ToStart
from batchcrew.model.crew_answers import CrewInputs
from batchcrew.model.events import Observe, Warned
from batchcrew.model.job import Job
from batchcrew.model.run import Plan
from batchcrew.reports.commands import run_command

_SHOWN_COLUMNS, _SHOWN_COLUMN = 50, 60
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
JobFilter: TypeAlias = Callable[[Iterator[Job]], Iterable[Job]]
"""Looks at each job as it streams by."""
AskCrews: TypeAlias = Callable[[frozenset[str]], Awaitable[Mapping[str, CrewInputs | None]]]
"""Ask these crews for their inputs. None: the crew answers and does not say; a crew that is missing was not reached."""


@dataclass(frozen=True, slots=True)
class TakenIn:
    """A batch that is as its job file says."""

    batch: BatchKey
    plan: Plan | None
    """None when the file has not changed since."""
    decided: bool = True
    """False while a crew could not be asked which columns it wants: nothing may be kicked off."""


async def take_in(
    ledger: Ledger,
    jobfile: JobFile,
    *,
    source: Source,
    stop: Stop,
    observe: Observe,
    settings: RunSettings | None = None,
    ask: AskCrews | None = None,
    program: str = "batchcrew",
) -> TakenIn:
    """Bring the ledger's batch to what the job file says.

    Args:
        settings: of this run; default the job file's.
        ask: asks crews for their inputs, where these decide what is sent; None: all columns are sent.
        program: how this batchcrew was called.

    Raises:
        UsageError: the batch belongs to another job file.
        NeedsConsent: more would be paid for again than `run.plan_guard` allows; nothing was changed.
    """
    notice = await check_owner(ledger, jobfile, take_over=source.batch.take_over)
    if notice is not None:
        observe(Warned(notice))
    commands = commands_of(jobfile, source, str(ledger.path), program)
    recorded = await ledger.recorded_crews(jobfile.batch)
    crews = _with_addresses(recorded, jobfile)
    intake = _Intake(ledger, jobfile, source, stop, observe, settings or jobfile.run, commands, crews)
    taken = await intake.merge(ask)
    if taken.plan is None and crews != recorded:
        await ledger.record_crews(taken.batch, crews)
    paths = await asyncio.to_thread(
        recorded_as, jobfile.path, ledger.path, source.today.isoformat() if jobfile.dated else None
    )
    if paths != await ledger.recorded_jobfile(jobfile.batch):
        await ledger.record_jobfile(taken.batch, paths)
    return taken


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


@dataclass(slots=True)
class _Intake:
    """One job file on its way into the ledger."""

    ledger: Ledger
    jobfile: JobFile
    source: Source
    stop: Stop
    observe: Observe
    settings: RunSettings
    commands: Commands
    crews: Mapping[str, Sequence[str]]
    """Every address of each crew, those of this job file included."""

    async def merge(self, ask: AskCrews | None) -> TakenIn:
        ledger, jobfile = self.ledger, self.jobfile
        before = await asyncio.to_thread(jobfile.stamps)
        digest = await asyncio.to_thread(jobfile.digest)
        known = await ledger.batch(jobfile.batch)
        if known is not None and known.digest == digest:
            if self.settings.on_change == "rerun":  # jobs that are stale already would run again
                check_plan(None, await ledger.counts(known), self.settings, self.source, jobfile, self.commands)
            return TakenIn(known, None)
        chosen = await chosen_columns(ledger, jobfile, known)
        sending = sending_of(known, chosen)
        staged = await self._stage(sending)
        undecided = frozenset() if EVERYTHING in chosen else jobfile.undecided_crews.difference(chosen)
        if undecided:
            # the file is right: now a crew may be contacted
            answers = dict.fromkeys(undecided) if ask is None else await ask(undecided)
            chosen = {**chosen, **{crew: wanted_columns(answer) for crew, answer in answers.items()}}
            first, sending = sending, sending_of(known, chosen)
            sending.found(first)
            if any(sending.differs_from_all(crew) for crew in answers):
                staged = await self._stage(sending)
            undecided = undecided.difference(answers)
        for path, stamp in (await asyncio.to_thread(jobfile.stamps)).items():
            if stamp != before[path]:  # the digest would be another content's: the next run would not read the file
                raise JobFileError([Problem(file=str(path), message=CHANGED)])
        counts = await ledger.counts(known) if known is not None else None
        check_plan(staged, counts, self.settings, self.source, jobfile, self.commands)
        notes = [*notes_on_columns(jobfile, sending), *notes_on_changes(staged)]
        notes += [skipped_words(staged.skipped)] if staged.skipped else []
        for line in notes:
            self.observe(Warned(line))
        batch = await ledger.take_in(
            jobfile.batch,
            jobfile=str(jobfile.path),
            digest=None if undecided else digest,
            columns=staged.plan.columns,
            sent_columns=chosen or None,
            crews=self.crews,
        )
        return TakenIn(batch, staged.plan, decided=not undecided)

    async def _stage(self, sending: Sending) -> Staged:
        """Stream the job file next to the ledger and compare; all its mistakes are one error, nothing is changed."""
        problems = Problems()
        staged = await self.ledger.stage(
            self.jobfile.batch,
            _until_stopped(self.jobfile.jobs(problems, sending), self.stop),
            crew_groups=await crew_groups(self.ledger, self.jobfile),
            reuse=self.settings.reuse == "batch",
        )
        return _without_mistakes(staged, problems)


def wanted_columns(answer: CrewInputs | None) -> list[str] | Literal["all"]:
    """Return the columns that a crew wants; a crew that lists none does not say."""
    return [entry.name for entry in answer.inputs] if answer is not None and answer.inputs else "all"


async def chosen_columns(ledger: Reading, jobfile: JobFile, known: BatchKey | None) -> SentColumns:
    """Return which columns the batch's crews are sent, as recorded; a crew that was renamed keeps its former choice."""
    recorded: SentColumns = (known.sent_columns if known else None) or {}
    groups = await crew_groups(ledger, jobfile) if recorded else {}
    chosen = dict(recorded)
    for crew in jobfile.undecided_crews.difference(recorded):
        for former, columns in recorded.items():
            if former not in jobfile.crews and groups.get(former) == groups.get(crew, crew):
                chosen[crew] = columns
    return chosen


def commands_of(jobfile: JobFile, source: Source, ledger: str, program: str) -> Commands:
    """Return the commands that messages about the job file's batch name."""
    options = source.hints(jobfile)
    return Commands(program=program, batch=jobfile.batch, jobfile=str(source.path), ledger=ledger, options=options)


def sending_of(known: BatchKey | None, chosen: SentColumns) -> Sending:
    """Return which columns are sent, by what was chosen for the batch."""
    columns = {crew: None if names == "all" else names for crew, names in chosen.items()}
    return Sending(columns, exported=known is not None and MARK in known.columns)


def notes_on_columns(jobfile: JobFile, sending: Sending) -> Iterator[str]:
    """Yield which columns are not sent."""
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


def notes_on_changes(staged: Staged) -> Iterator[str]:
    """Yield what a changed file means, where it costs nothing; `check` prints the numbers itself."""
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


async def crew_groups(ledger: Reading, jobfile: JobFile) -> dict[str, str]:
    """Return a common name for the names of one crew: those that share an address, now or earlier.

    A name that the job file no longer has may have been renamed more than once, and its address changed in between.
    """
    now = {name: crew_address(crew) for name, crew in jobfile.crews.items()}
    groups: dict[str, str] = {}
    for name, address in now.items():
        first = next(other for other, its in now.items() if its == address)
        if first != name:
            groups[name] = first
    addresses = {name: set(known) for name, known in (await ledger.recorded_crews(jobfile.batch)).items()}
    for name, known in (await ledger.crew_addresses(jobfile.batch)).items():
        addresses.setdefault(name, set()).update(known)
    for name in addresses.keys() - now.keys():
        same = _present_name(name, now, addresses)
        if same is not None:
            groups[name] = groups.get(same, same)
    return groups


def _present_name(name: str, now: Mapping[str, str], addresses: Mapping[str, set[str]]) -> str | None:
    """Return which crew of the job file had this name before; None: none of them.

    Args:
        now: the address of each crew of the job file.
        addresses: every address that each name ever had.
    """
    reached, seen = [name], {name}
    for former in reached:
        its = addresses[former]
        same = sorted(other for other, address in now.items() if address in its)
        same += sorted(other for other in now if not its.isdisjoint(addresses.get(other, ())))
        if same:
            return same[0]
        further = sorted(other for other in addresses if other not in seen and not its.isdisjoint(addresses[other]))
        reached += further
        seen.update(further)
    return None


async def renamed_crews(
    ledger: Reading, jobfile: JobFile, addresses: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """Return which crew of the job file is meant by names that it no longer has.

    Only a crew that was itself at that address is: its token goes to no host that was never named for it.

    Args:
        addresses: (former name, address) of executions in progress.
    """
    crews = _with_addresses(await ledger.recorded_crews(jobfile.batch), jobfile)
    renamed = {}
    for former, address in addresses:
        names = [name for name in jobfile.crews if address in crews[name]]
        if former not in jobfile.crews and names:
            renamed[former, address] = names[0]
    return renamed


def _with_addresses(recorded: Mapping[str, Sequence[str]], jobfile: JobFile) -> dict[str, list[str]]:
    """Return the addresses that were recorded, and those that the job file gives as the latest ones."""
    crews = {name: list(addresses) for name, addresses in recorded.items()}
    for name, crew in jobfile.crews.items():
        address = crew_address(crew)
        crews[name] = [*(known for known in crews.get(name, ()) if known != address), address]
    return crews


async def report_earlier_days(
    ledger: Ledger, batch: BatchKey, observe: Observe, *, source: Source, program: str
) -> None:
    """Report what an earlier day's batch of the same job file (`batch: leads-{date}`) has left that nobody runs now."""
    for name, counts in (await ledger.left_behind(batch)).items():
        day = _DAY.search(name)
        if day is not None and _DAY.sub("", name) == _DAY.sub("", batch.batch):
            left = f"{counts.open} executions in progress and {counts.pending} jobs pending"
            finish = run_command(str(source.path), str(ledger.path), f"--date {day[0]}", *source.given, program=program)
            observe(Warned(f"batch {name} of this job file has {left}; to finish it: {finish}"))


def skipped_words(number: int) -> str:
    """Say how many rows `duplicates: skip` left out."""
    return f"{number} {'row is' if number == 1 else 'rows are'} skipped: identical to an earlier row"


async def plan_with(
    ledger: LedgerReader,
    jobfile: JobFile,
    sending: Sending,
    through: JobFilter,
    *,
    reuse: bool,
    put_back: Collection[str],
    required: Callable[[], Awaitable[Mapping[str, Sequence[str]]]],
) -> tuple[Staged, Mapping[str, ToStart]]:
    """Compare the job file with a ledger that is only read; the same errors.

    Args:
        put_back: states of jobs that the run puts back to pending first.
        required: asks the crews for the inputs that they require, once the file is known to be right.
    """
    problems = Problems()

    def jobs() -> Iterable[Job]:
        nonlocal problems
        problems = Problems()
        return through(jobfile.jobs(problems, sending))

    async def ask(staged: Staged) -> Mapping[str, Sequence[str]]:
        _without_mistakes(staged, problems)
        return await required()

    groups = await crew_groups(ledger, jobfile)
    return await ledger.stage(jobfile.batch, jobs, crew_groups=groups, reuse=reuse, required=ask, put_back=put_back)


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

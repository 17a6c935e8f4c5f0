"""What `batchcrew check` does: the plan before money is spent. Kicks nothing off and leaves the ledger alone."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from batchcrew.app.consent import attempts_of, moved_crews, plan_problem, reruns, stale_words
from batchcrew.app.ingest import (
    check_owner,
    chosen_columns,
    commands_of,
    plan_with,
    sending_of,
    skipped_words,
    wanted_columns,
)
from batchcrew.app.ledger_location import exists
from batchcrew.app.wiring import Source, ledger_of, open_crews
from batchcrew.base.clock import Clock
from batchcrew.base.errors import JobFileError, Problem
from batchcrew.config.money import cost
from batchcrew.config.settings import Delivery, RunSettings
from batchcrew.config.values import Price
from batchcrew.jobfile import EVERYTHING, JobFile, Question, RowsDescription, Sending
from batchcrew.ledger import BatchKey, LedgerReader, SentColumns, Staged, ToStart
from batchcrew.model.crew_answers import CrewInputs, NotSent, Unclear, Unusable
from batchcrew.model.job import Job
from batchcrew.model.run import Plan
from batchcrew.reports.crew_check import CrewCheck, SampleJob

SHOWN_LACKING = 5
SHOWN_SAMPLES = 3

InputsAnswer = CrewInputs | Unusable | NotSent | Unclear


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
    """What these cost, `25.00 to 75.00 USD`; None where no price is known."""
    crews: tuple[CrewCheck, ...]
    notes: tuple[str, ...]
    """Sentences to read before the run: what delivery means, warnings."""
    samples: tuple[SampleJob, ...] = ()
    """The first jobs as their crew would receive them."""
    lacking: int
    """Jobs without inputs that their crew requires: they would fail without a kickoff."""
    most_lack: bool = False
    """Most jobs of a crew do: a run would start nothing."""
    unusable: bool
    """A crew cannot be worked with: a run would end with exit 5."""
    needs_consent: str | None = None
    """Why a run would stop before its first kickoff (`run.plan_guard`)."""
    rows_files: tuple[RowsDescription, ...] = ()
    """How each rows file is read."""
    questions: tuple[Question, ...] = ()
    """What looks wrong in them and may be right."""


@dataclass(slots=True)
class _Watch:
    """Looks at each job as it streams by."""

    jobs: Counter[str] = field(default_factory=Counter)
    samples: list[SampleJob] = field(default_factory=list)

    def through(self, jobs: Iterator[Job]) -> Iterable[Job]:
        """The same jobs, counted again at each call."""
        self.jobs.clear()
        self.samples.clear()
        for job in jobs:
            self.jobs[job.crew] += 1
            if len(self.samples) < SHOWN_SAMPLES:
                self.samples.append(SampleJob(job.job_id, job.crew, job.inputs, job.meta))
            yield job


@dataclass(slots=True)
class _Asked:
    """What the crews answered; each is asked once."""

    jobfile: JobFile
    ledger: Path
    clock: Clock
    warnings: list[str]
    offline: bool
    answers: dict[str, InputsAnswer] | None = None
    undecided: frozenset[str] = frozenset()
    """Crews whose answer would decide which columns they are sent, and that did not answer."""

    async def required(self) -> Mapping[str, Sequence[str]]:
        """Return the inputs that each crew requires."""
        if self.answers is None:
            self.answers = {} if self.offline else await _ask(self.jobfile, self.ledger, self.clock, self.warnings)
        return {name: answer.required for name, answer in self.answers.items() if isinstance(answer, CrewInputs)}

    def wanted(self, names: frozenset[str]) -> SentColumns:
        """Return which columns these crews are sent; one that was not reached, or fails for now, is not in it."""
        known = {name: answer for name, answer in (self.answers or {}).items() if name in names}
        return {
            name: wanted_columns(answer if isinstance(answer, CrewInputs) else None)
            for name, answer in known.items()
            if isinstance(answer, CrewInputs) or (isinstance(answer, Unclear) and not answer.passing)
        }


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
    """Read everything, ask each crew for its inputs (unless `offline`), compare with the ledger.

    Commands in the notes start with `program`.

    Args:
        retry_failed: the run would put failed jobs back first.
        limit: most kickoffs of the run; 0: it would only watch.

    Raises:
        JobFileError, UsageError: the job file or an option is wrong.
        LedgerError: the ledger cannot be read.
    """
    jobfile, settings = await asyncio.to_thread(source.load)
    warnings = list(jobfile.warnings)
    ledger = await ledger_of(jobfile, ledger, clock=clock, warn=warnings.append)
    there = await asyncio.to_thread(exists, ledger)
    watch, asked = _Watch(), _Asked(jobfile, ledger, clock, warnings, offline)
    commands = commands_of(jobfile, source, str(ledger), program)
    async with LedgerReader(ledger if there else None, clock=clock) as opened:
        notice = await check_owner(opened, jobfile, take_over=source.batch.take_over)
        warnings += [notice] if notice is not None else []
        known = await opened.batch(jobfile.batch)
        questions = await asyncio.to_thread(jobfile.questions)
        with _questions_first(questions):
            put_back = [*(["stale"] if reruns(settings, source) else []), *(["failed"] if retry_failed else [])]
            sending, staged, starts = await _compare(opened, jobfile, settings, known, watch, asked, put_back)
        before = await opened.counts(known) if known else None
        spent = await opened.kickoffs(known) if known else 0
        warnings += await moved_crews(opened, known, jobfile, commands) if known else []
        stale = await opened.stale(known) if known else ()
    warnings += jobfile.row_warnings()
    stale_number = staged.states.get("stale", 0)
    rerun = reruns(settings, source)
    if stale_number and not rerun:
        by_crew = {name: start.stale for name, start in starts.items()}
        first, recorded = staged.plan.stale_jobs or stale, not staged.plan.stale
        warnings.append(stale_words(by_crew, first, jobfile, settings, commands, recorded=recorded))
    lacking = sum(start.missing for start in starts.values())
    to_kick_off = sum(start.pending for start in starts.values()) - lacking
    to_kick_off = to_kick_off if limit is None else min(to_kick_off, limit)
    prices = {name: crew.price_per_kickoff for name, crew in jobfile.crews.items()}
    kickoffs, money = _limited(_kickoffs(starts, settings, rerun=rerun), prices, settings, spent)
    answers = asked.answers or {}
    return CheckResult(
        batch=jobfile.batch,
        jobfile=str(source.path),
        plan=staged.plan,
        to_kick_off=to_kick_off,
        kickoffs=kickoffs,
        cost=money,
        crews=tuple(
            _checked(name, crew.location, answers.get(name), watch, starts.get(name, ToStart()), sending)
            for name, crew in jobfile.crews.items()
        ),
        notes=(
            f"ledger: {ledger}" + ("" if there else " (the next run creates it)"),
            _next_run(to_kick_off, staged.states.get("open", 0), settings.concurrency),
            _spending(kickoffs, money),
            *(
                f"which columns crew {name} is sent is decided once it lists its inputs; all of them are shown here"
                for name in sorted(asked.undecided)
            ),
            *_limits(settings, spent, limit),
            _meaning(settings.delivery, answers.values(), commands.retry("--held")),
            *([skipped_words(staged.skipped)] if staged.skipped else []),
            *(f"warning: {line}" for line in warnings),
        ),
        samples=tuple(watch.samples),
        lacking=lacking,
        most_lack=any(start.missing * 2 > watch.jobs[name] for name, start in starts.items() if start.missing),
        unusable=any(
            (isinstance(answer, Unusable | NotSent) or name in asked.undecided) and _needs(starts.get(name))
            for name, answer in answers.items()
        ),
        needs_consent=plan_problem(staged, before, settings, source, jobfile),
        rows_files=await asyncio.to_thread(jobfile.describe),
        questions=questions,
    )


def _needs(start: ToStart | None) -> bool:
    """Whether a run needs the crew at all."""
    return start is not None and start.pending + start.open > 0


@contextmanager
def _questions_first(questions: tuple[Question, ...]) -> Iterator[None]:
    """Put the questions before the mistakes of a rows file: a wrong delimiter explains many of them.

    Raises:
        JobFileError: a rows file is wrong.
    """
    try:
        yield
    except JobFileError as error:
        asked = [Problem(file=item.where.file, line=item.where.line, message=item.message) for item in questions]
        raise JobFileError([*asked, *error.problems], more=error.more) from None


async def _compare(
    ledger: LedgerReader,
    jobfile: JobFile,
    settings: RunSettings,
    known: BatchKey | None,
    watch: _Watch,
    asked: _Asked,
    put_back: Sequence[str],
) -> tuple[Sending, Staged, Mapping[str, ToStart]]:
    """Compare the file with the ledger, with the columns that a run would send."""
    chosen = await chosen_columns(ledger, jobfile, known)

    async def compared(sending: Sending) -> tuple[Staged, Mapping[str, ToStart]]:
        reuse = settings.reuse == "batch"
        return await plan_with(
            ledger, jobfile, sending, watch.through, reuse=reuse, put_back=put_back, required=asked.required
        )

    sending = sending_of(known, chosen)
    staged, starts = await compared(sending)
    undecided = frozenset() if EVERYTHING in chosen else jobfile.undecided_crews.difference(chosen)
    wanted = asked.wanted(undecided)
    asked.undecided = undecided.difference(wanted)
    first, sending = sending, sending_of(known, {**chosen, **wanted})
    sending.found(first)
    if any(sending.differs_from_all(crew) for crew in undecided):
        staged, starts = await compared(sending)
    return sending, staged, starts


async def _ask(jobfile: JobFile, ledger: Path, clock: Clock, warnings: list[str]) -> dict[str, InputsAnswer]:
    crews = open_crews(jobfile, concurrency=1, ledger=ledger, clock=clock, warn=warnings.append, keep=False)
    async with crews as clients:
        return {name: await client.inputs() for name, client in clients.items()}


def _checked(
    name: str, url: str, answer: InputsAnswer | None, watch: _Watch, start: ToStart, sending: Sending
) -> CrewCheck:
    inputs = answer if isinstance(answer, CrewInputs) else None
    left_out = sending.left_out(name)
    return CrewCheck(
        name=name,
        url=url,
        jobs=watch.jobs[name],
        inputs=inputs,
        problem=None if inputs is answer else getattr(answer, "reason", None),
        lacking=start.lacking,
        lacking_jobs=start.first_missing[:SHOWN_LACKING],
        sent=tuple(column for column in sending.offered.get(name, ()) if column not in left_out),
        not_sent=left_out,
    )


def _kickoffs(
    starts: Mapping[str, ToStart], settings: RunSettings, *, rerun: bool
) -> tuple[Counter[str], Counter[str]]:
    """Return the least and the most kickoffs of each crew until every job has ended.

    Args:
        rerun: stale jobs run again; and so do those whose inputs changed while they are in progress.
    """
    attempts = attempts_of(settings)
    least, most = Counter[str](), Counter[str]()
    for name, start in starts.items():
        least[name] = start.pending - start.missing + (start.outdated if rerun else 0)
        most[name] = -start.missing * attempts
        for (state, used), number in start.used.items():
            most[name] += number * max(1 if state == "pending" else 0, attempts - used)
        most[name] = max(least[name], most[name])
    return least, most


def _limited(
    kickoffs: tuple[Counter[str], Counter[str]], prices: Mapping[str, Price | None], settings: RunSettings, spent: int
) -> tuple[tuple[int, int], str | None]:
    """Return these kickoffs and what they cost, as far as `max_kickoffs` of the batch allows them."""
    least, most = kickoffs
    totals = least.total(), most.total()
    if settings.max_kickoffs is not None and settings.max_kickoffs.batch is not None:
        left = max(0, settings.max_kickoffs.batch - spent)
        if totals[1] > left:
            totals = min(totals[0], left), left
            if len(prices) > 1 and left:  # which crews they go to is not known
                return totals, None
            least, most = (Counter(dict.fromkeys(prices, number)) for number in totals)
    return totals, cost(prices, least, most)


def _spending(kickoffs: tuple[int, int], money: str | None) -> str:
    least, most = kickoffs
    number = f"{least}" if least == most else f"{least} to {most} (with retries)"
    return f"kickoffs: {number}" + (f", {money}" if money else "")


def _next_run(to_kick_off: int, running: int, concurrency: int) -> str:
    jobs = "1 job" if to_kick_off == 1 else f"{to_kick_off} jobs"
    resumed = f" and resume {'1 execution' if running == 1 else f'{running} executions'}" if running else ""
    return f"a run would start {jobs}{resumed}, at most {concurrency} at a time"


def _limits(settings: RunSettings, spent: int, limit: int | None) -> Iterator[str]:
    """Yield the limits that can stop a run before its last job."""
    if limit is not None:
        kickoffs = "1 kickoff" if limit == 1 else f"{limit} kickoffs"
        yield f"at most {kickoffs} in this run (--limit)" if limit else "no kickoff (--watch-only)"
    if settings.canary is not None:
        share = f"{float(settings.canary.succeed * 100):g}%"
        jobs = "1 job" if settings.canary.jobs == 1 else f"{settings.canary.jobs} jobs"
        yield f"canary: {jobs} first, of which {share} must succeed before the rest starts"
    most = settings.max_kickoffs
    if most is not None and most.run is not None:
        yield f"at most {most.run} kickoffs per run (max_kickoffs)"
    if most is not None and most.batch is not None:
        yield f"at most {most.batch} kickoffs in the batch (max_kickoffs), {spent} used so far"


def _meaning(delivery: Delivery, answers: Iterable[InputsAnswer], retry: str) -> str:
    """Return what the chosen delivery means for a kickoff whose answer is lost."""
    asked = list(answers)
    if asked and all(isinstance(answer, CrewInputs) and answer.idempotent_kickoff for answer in asked):
        return "a kickoff whose answer is lost is sent again with the same idempotency key, so nothing runs twice"
    if delivery == "at_most_once":
        return f"delivery at_most_once: a job whose kickoff's answer is lost is put on hold; retry it with `{retry}`"
    return "delivery at_least_once: a job whose kickoff's answer is lost is kicked off again, so it may run twice"

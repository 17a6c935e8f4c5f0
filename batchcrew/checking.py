"""What `batchcrew check` does: the plan before money is spent. Kicks nothing off and leaves the ledger alone."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from batchcrew.clock import Clock
from batchcrew.intake import check_owner, plan_with, skipped_words
from batchcrew.jobfile import JobFile
from batchcrew.ledger import LedgerReader
from batchcrew.ledger_location import exists
from batchcrew.models import Counts, CrewInputs, Job, NotSent, Plan, Unclear, Unusable
from batchcrew.money import cost
from batchcrew.reports.commands import PROGRAM, retry_command
from batchcrew.reports.crew_check import CrewCheck
from batchcrew.settings import Delivery, RunSettings
from batchcrew.wiring import Source, ledger_of, open_crews

SHOWN_LACKING = 5

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
    """Sentences a person should read before the run: what delivery means, warnings."""
    lacking: int
    """Jobs without inputs that their crew asks for."""
    unusable: bool
    """A crew cannot be worked with: a run would end with exit 5."""


@dataclass(slots=True)
class InputsWatch:
    """Looks at each job as it streams by: does it give what its crew asks for?"""

    required: Mapping[str, tuple[str, ...]]
    jobs: Counter[str] = field(default_factory=Counter)
    lacking_total: int = 0
    lacking: dict[str, Counter[str]] = field(default_factory=dict)
    first: dict[str, list[str]] = field(default_factory=dict)

    def through(self, jobs: Iterator[Job]) -> Iterable[Job]:
        """The same jobs, counted anew at each call."""
        self.jobs.clear()
        self.lacking.clear()
        self.first.clear()
        self.lacking_total = 0
        for job in jobs:
            self.jobs[job.crew] += 1
            missing = [name for name in self.required.get(job.crew, ()) if name not in job.inputs]
            if missing:
                self.lacking_total += 1
                self.lacking.setdefault(job.crew, Counter()).update(missing)
                first = self.first.setdefault(job.crew, [])
                if len(first) < SHOWN_LACKING:
                    first.append(f"{job.job_id} ({job.where.file}:{job.where.line})")
            yield job


async def check_batch(
    source: Source, *, ledger: Path | None, offline: bool, clock: Clock, program: str = PROGRAM
) -> CheckResult:
    """Read everything, ask each crew for its inputs (unless `offline`), compare with the ledger.

    Commands in the notes start with `program`.

    Raises:
        JobFileError, UsageError: the job file or an option is wrong.
        LedgerError: the ledger cannot be read.
    """
    jobfile, settings = source.load()
    warnings = list(jobfile.warnings)
    ledger = await ledger_of(jobfile, ledger, clock=clock, warn=warnings.append)
    answers = {} if offline else await _ask(jobfile, ledger, clock, warnings)
    watch = InputsWatch({name: answer.required for name, answer in answers.items() if isinstance(answer, CrewInputs)})
    there = await asyncio.to_thread(exists, ledger)
    async with LedgerReader(ledger if there else None, clock=clock) as opened:
        notice = await check_owner(opened, jobfile, take_over=source.take_over)
        warnings += [notice] if notice is not None else []
        known = await opened.batch(jobfile.batch)
        staged = await plan_with(opened, jobfile, watch.through)
        plan = staged.plan
        counts = await opened.counts(known) if known else Counts()
        spent = await opened.kickoffs(known) if known else 0
        waiting = await opened.kickoffs_left(known, _attempts(settings)) if known else (0, 0)
    held = retry_command(jobfile.batch, str(ledger), "--held", program=program)
    to_kick_off = plan.new + plan.changed + counts.pending
    prices = {name: crew.price_per_kickoff for name, crew in jobfile.crews.items()}
    kickoffs = _kickoffs(plan.new + plan.changed, waiting, settings, spent)
    # which crew the pending jobs are for matters only where several have prices: then all of the file's are counted
    every = Counter({name: number * _attempts(settings) for name, number in watch.jobs.items()})
    least, most = (dict.fromkeys(prices, number) for number in kickoffs) if len(prices) == 1 else (watch.jobs, every)
    money = cost(prices, least, most)
    return CheckResult(
        batch=jobfile.batch,
        jobfile=str(source.path),
        plan=plan,
        to_kick_off=to_kick_off,
        kickoffs=kickoffs,
        cost=money,
        crews=tuple(_checked(name, crew.url, answers.get(name), watch) for name, crew in jobfile.crews.items()),
        notes=(
            f"ledger: {ledger}" + ("" if there else " (the next run creates it)"),
            _next_run(to_kick_off, counts, settings.concurrency),
            _spending(kickoffs, money if len(prices) == 1 else None),
            *([f"every job of the file costs {money}, with retries"] if money and len(prices) > 1 else []),
            *_limits(settings, spent),
            _meaning(settings.delivery, answers.values(), held),
            *([skipped_words(staged.skipped)] if staged.skipped else []),
            *(f"warning: {warning}" for warning in warnings),
        ),
        lacking=watch.lacking_total,
        unusable=any(isinstance(answer, Unusable | NotSent) for answer in answers.values()),
    )


async def _ask(jobfile: JobFile, ledger: Path, clock: Clock, warnings: list[str]) -> dict[str, InputsAnswer]:
    crews = open_crews(jobfile, concurrency=1, ledger=ledger, clock=clock, warn=warnings.append, keep=False)
    async with crews as clients:
        return {name: await client.inputs() for name, client in clients.items()}


def _checked(name: str, url: str, answer: InputsAnswer | None, watch: InputsWatch) -> CrewCheck:
    inputs = answer if isinstance(answer, CrewInputs) else None
    return CrewCheck(
        name=name,
        url=url,
        jobs=watch.jobs[name],
        inputs=inputs,
        problem=None if inputs is answer else getattr(answer, "reason", None),
        lacking=watch.lacking.get(name, {}),
        lacking_jobs=tuple(watch.first.get(name, ())),
    )


def _attempts(settings: RunSettings) -> int:
    """Return the most kickoffs that one job may take."""
    retried = settings.retry.on or settings.delivery == "at_least_once"
    return settings.retry.attempts if retried else 1


def _kickoffs(new: int, waiting: tuple[int, int], settings: RunSettings, spent: int) -> tuple[int, int]:
    least, most = new + waiting[0], new * _attempts(settings) + waiting[1]
    if settings.max_kickoffs is not None and settings.max_kickoffs.batch is not None:
        left = max(0, settings.max_kickoffs.batch - spent)
        return min(least, left), min(most, left)
    return least, most


def _spending(kickoffs: tuple[int, int], money: str | None) -> str:
    least, most = kickoffs
    number = f"{least}" if least == most else f"{least} to {most} (with retries)"
    return f"kickoffs: {number}" + (f", {money}" if money else "")


def _next_run(to_kick_off: int, counts: Counts, concurrency: int) -> str:
    taken_up = f", take up {counts.open} in flight" if counts.open else ""
    return f"a run would kick off {to_kick_off} jobs{taken_up}, at most {concurrency} at a time"


def _limits(settings: RunSettings, spent: int) -> Iterator[str]:
    """What holds a run back before its last job."""
    if settings.canary is not None:
        share = f"{float(settings.canary.succeed * 100):g}%"
        yield f"canary: {settings.canary.jobs} jobs go first; {share} of them must succeed before the rest may start"
    most = settings.max_kickoffs
    if most is not None and most.run is not None:
        yield f"at most {most.run} kickoffs a run (max_kickoffs)"
    if most is not None and most.batch is not None:
        yield f"at most {most.batch} kickoffs of the batch (max_kickoffs), {spent} are spent"


def _meaning(delivery: Delivery, answers: Iterable[InputsAnswer], retry: str) -> str:
    """What the chosen delivery means for a kickoff whose answer is lost."""
    asked = list(answers)
    if asked and all(isinstance(answer, CrewInputs) and answer.idempotent_kickoff for answer in asked):
        return "a kickoff whose answer is lost is sent again under its key: the crew knows it, nothing runs twice"
    if delivery == "at_most_once":
        return f"delivery at_most_once: a job whose kickoff's answer is lost is held; release it with `{retry}`"
    return "delivery at_least_once: a job whose kickoff's answer is lost is kicked off again, so it may run twice"

"""What `batchcrew check` does: the plan before money is spent. Kicks nothing off and leaves the ledger alone."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from batchcrew.clock import Clock
from batchcrew.intake import stage
from batchcrew.jobfile import JobFile
from batchcrew.ledger import Ledger
from batchcrew.models import (
    CheckResult,
    Counts,
    CrewCheck,
    CrewInputs,
    Job,
    Lacking,
    NotSent,
    Plan,
    Unclear,
    Unusable,
)
from batchcrew.wiring import Source, open_crews

SHOWN_LACKING = 10


@dataclass(slots=True)
class InputsWatch:
    """Looks at each job as it streams by: does it give what its crew asks for?"""

    required: Mapping[str, tuple[str, ...]]
    total: int = 0
    first: list[Lacking] = field(default_factory=list)

    def through(self, jobs: Iterator[Job]) -> Iterable[Job]:
        """The same jobs."""
        for job in jobs:
            missing = tuple(name for name in self.required.get(job.crew, ()) if name not in job.inputs)
            if missing:
                self.total += 1
                if len(self.first) < SHOWN_LACKING:
                    self.first.append(Lacking(job_id=job.job_id, where=job.where, missing=missing))
            yield job


async def check_batch(source: Source, *, ledger: Path, offline: bool, clock: Clock) -> CheckResult:
    """Read everything, ask each crew for its inputs (unless `offline`), compare with the ledger.

    Raises:
        JobFileError, UsageError: the job file or an option is wrong.
        LedgerError: the ledger cannot be read.
    """
    jobfile, settings = source.load()
    crew_warnings: list[str] = []
    crews: list[CrewCheck] = [CrewCheck(name=name, url=crew.url) for name, crew in jobfile.crews.items()]
    if not offline:
        crews = await _ask(jobfile, ledger, clock, crew_warnings)
    watch = InputsWatch({crew.name: _required(crew) for crew in crews})
    async with Ledger(ledger if ledger.exists() else None, clock=clock) as opened:
        known = await opened.batch(jobfile.batch)
        plan = (await stage(opened, jobfile, watch.through)).plan
        counts = await opened.counts(known) if known else None
    return CheckResult(
        batch=jobfile.batch,
        jobfile=str(source.path),
        plan=plan,
        counts=counts,
        to_kick_off=_to_kick_off(plan, counts),
        concurrency=settings.concurrency,
        delivery=settings.delivery,
        crews=tuple(crews),
        lacking=tuple(watch.first),
        lacking_total=watch.total,
        warnings=(*jobfile.warnings, *crew_warnings),
    )


def _to_kick_off(plan: Plan, counts: Counts | None) -> int:
    """New and changed jobs, and those that an earlier run left pending."""
    return plan.new + plan.changed + (counts.pending if counts else 0)


def _required(crew: CrewCheck) -> tuple[str, ...]:
    return tuple(entry.name for entry in crew.inputs or () if entry.required)


async def _ask(jobfile: JobFile, ledger: Path, clock: Clock, warnings: list[str]) -> list[CrewCheck]:
    checks = []
    async with open_crews(
        jobfile, concurrency=1, ledger=ledger, clock=clock, warn=warnings.append, keep=False
    ) as clients:
        for name, client in clients.items():
            answer = await client.inputs()
            url = jobfile.crews[name].url
            match answer:
                case CrewInputs():
                    checks.append(
                        CrewCheck(
                            name=name, url=url, inputs=answer.inputs, idempotent_kickoff=answer.idempotent_kickoff
                        )
                    )
                case Unusable(reason) | NotSent(reason):
                    checks.append(CrewCheck(name=name, url=url, problem=reason, unusable=True))
                case Unclear(reason):
                    checks.append(CrewCheck(name=name, url=url, problem=reason))
    return checks

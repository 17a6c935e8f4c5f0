"""Require consent before a changed job file makes you pay again for jobs that have succeeded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from batchcrew.app.wiring import Source
from batchcrew.base.errors import NeedsConsent
from batchcrew.base.text import clean_text
from batchcrew.config.money import cost
from batchcrew.config.settings import RunSettings
from batchcrew.crew import crew_address
from batchcrew.jobfile import JobFile
from batchcrew.ledger import BatchKey, Ledger, Reading, Staged
from batchcrew.model.events import Observe, Warned
from batchcrew.model.run import Counts
from batchcrew.reports.commands import keep_command, quoted, retry_command, run_command

LEAST_GUARDED = 10
"""Fewer jobs than this need no consent."""
_SHOWN_ID = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """The commands that a message names: how this batchcrew was called, and for which batch."""

    program: str
    batch: str
    jobfile: str
    ledger: str
    options: Sequence[str]

    def run(self, *options: str) -> str:
        """Return the command that runs the batch with these options too."""
        return run_command(self.jobfile, self.ledger, *self.options, *options, program=self.program)

    def keep(self) -> str:
        """Return the command that keeps the answers of stale jobs."""
        return keep_command(self.batch, self.ledger, program=self.program)

    def retry(self, *options: str) -> str:
        """Return the command that resets ended jobs."""
        return retry_command(self.batch, self.ledger, *options, program=self.program)


def attempts_of(settings: RunSettings) -> int:
    """Return the most kickoffs that one job may take."""
    retried = settings.retry.on or settings.delivery == "at_least_once"
    return settings.retry.attempts if retried else 1


def price_of(number: int, jobfile: JobFile, settings: RunSettings, by_crew: Mapping[str, int] | None = None) -> str:
    """Return the cost of `number` jobs, retries included, as `3 to 9 kickoffs, 1.50 to 4.50 USD`.

    Args:
        by_crew: the number of jobs by crew; default: all of the only crew.
    """
    most = number * attempts_of(settings)
    text = f"{number} kickoffs" if number == most else f"{number} to {most} kickoffs"
    prices = {name: crew.price_list for name, crew in jobfile.crews.items()}
    if number == most == 1:
        text = "1 kickoff"
    money = None
    if by_crew is None and len(prices) == 1:
        by_crew = dict.fromkeys(prices, number)
    if by_crew is not None:
        money = cost(prices, by_crew, {name: jobs * attempts_of(settings) for name, jobs in by_crew.items()})
    return f"{text}, {money}" if money else text


def check_plan(
    staged: Staged | None,
    before: Counts | None,
    settings: RunSettings,
    source: Source,
    jobfile: JobFile,
    commands: Commands,
) -> None:
    """Stop a plan that would pay again on a large scale.

    Args:
        staged: the jobs of the file, compared with the ledger; None: the file has not changed.
        before: the batch's jobs as the ledger has them; None for a new batch.

    Raises:
        NeedsConsent: see `run.plan_guard`.
    """
    _stop(plan_problem(staged, before, settings, source, jobfile), source, commands)


def _stop(problem: str | None, source: Source, commands: Commands) -> None:
    if problem is not None:
        accept = commands.run(*(["--rerun-changed"] if source.batch.rerun_changed else []), "--accept-changes")
        raise NeedsConsent(
            f"{problem}; nothing was started. If that is meant: `{accept}`; never to be stopped for it,"
            " `run: {plan_guard: off}`"
        )


def plan_problem(
    staged: Staged | None, before: Counts | None, settings: RunSettings, source: Source, jobfile: JobFile
) -> str | None:
    """Return how much a plan would pay again; None if that is accepted, or little."""
    guard: Decimal | None = settings.plan_guard
    if before is None or guard is None or source.batch.accept_changes:
        return None
    succeeded = before.succeeded + before.stale
    replaced = min(staged.plan.removed_succeeded, staged.new_without_id) if staged is not None else 0
    if staged is not None and replaced >= LEAST_GUARDED and replaced > guard * succeeded:
        return (
            f"{staged.plan.removed_succeeded} of {succeeded} jobs that have succeeded are no longer in the file, and"
            f" {staged.new_without_id} new ones without an id have appeared: {price_of(replaced, jobfile, settings)}"
            " again if these are the same rows, edited"
        )
    stale = before.stale if staged is None else staged.states.get("stale", 0)
    reruns = stale if settings.on_change == "rerun" and not source.batch.rerun_changed else 0
    if reruns >= LEAST_GUARDED and reruns > guard * succeeded:
        return (
            f"{reruns} of {succeeded} jobs that have succeeded have other inputs now and would run again"
            f" (`on_change: rerun`): {price_of(reruns, jobfile, settings)}"
        )
    return None


def reruns(settings: RunSettings, source: Source) -> bool:
    """Return whether stale jobs run again."""
    return source.batch.rerun_changed or settings.on_change == "rerun"


async def settle_stale(
    ledger: Ledger,
    batch: BatchKey,
    settings: RunSettings,
    source: Source,
    jobfile: JobFile,
    commands: Commands,
    observe: Observe,
) -> None:
    """Reset stale jobs to pending if they are to run again; otherwise list them, with the cost of a rerun."""
    by_crew = await ledger.stale_by_crew(batch)
    if not by_crew:
        return
    if reruns(settings, source):
        number = await ledger.rerun_stale(batch)
        again = "1 job runs again: its" if number == 1 else f"{number} jobs run again: their"
        price = price_of(number, jobfile, settings, by_crew)
        observe(Warned(f"{again} inputs changed since the answer came ({price})"))
        return
    observe(Warned(stale_note(by_crew, await ledger.stale(batch), jobfile, settings, commands)))


def stale_note(
    by_crew: Mapping[str, int],
    first: Sequence[str],
    jobfile: JobFile,
    settings: RunSettings,
    commands: Commands,
    *,
    recorded: bool = True,
) -> str:
    """List the stale jobs, the cost of a rerun, and the two commands that settle them.

    Args:
        by_crew: their number by crew.
        first: the ids of the first ones.
        recorded: whether the ledger has them as stale already; otherwise `keep` works only after the next run.
    """
    number = sum(by_crew.values())
    names = ", ".join(clean_text(job_id, limit=_SHOWN_ID) for job_id in first)
    names += ", …" if len(first) < number else ""
    jobs = "1 job is stale: its" if number == 1 else f"{number} jobs are stale: their"
    return (
        f"{jobs} inputs changed since the answer came: {names}. To run again"
        f" ({price_of(number, jobfile, settings, by_crew)}): {commands.run('--rerun-changed')}; to keep the"
        f" {'answer' if number == 1 else 'answers'}{'' if recorded else ', after the next run'}: {commands.keep()}"
    )


async def moved_crews(ledger: Reading, batch: BatchKey, jobfile: JobFile, commands: Commands) -> list[str]:
    """Return a line for each crew whose address has changed since the batch's latest run: its answers are kept."""
    lines = []
    recorded = await ledger.crew_addresses(batch.batch)
    every = list(dict.fromkeys(address for addresses in recorded.values() for address in addresses))
    for name, crew in jobfile.crews.items():
        now = crew_address(crew)
        if recorded.get(name, [None])[-1] == now:
            continue
        for former in every:
            number = await ledger.answers_from(batch, name, former) if former != now else 0
            if number:
                kept = "1 answer that came from it is" if number == 1 else f"{number} answers that came from it are"
                again = f"{commands.retry(f'--from-url {quoted(former)}')} && {commands.run()}"
                lines.append(f"crew {name} was at {former} and is at {now} now: {kept} kept; to run again: {again}")
    return lines

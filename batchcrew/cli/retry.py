"""`batchcrew retry`."""

from pathlib import Path
from typing import Any

import click

from batchcrew.app.batches import RetryPlan, cancel_retry, plan_retry, retry_jobs
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.base.text import clean_text
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import (
    batch_and_jobs,
    batch_option,
    existing,
    ledger_option,
    option,
)
from batchcrew.cli.output import confirm
from batchcrew.cli.program import current_program
from batchcrew.cli.prompt import agreed, at_a_terminal
from batchcrew.ledger import RetrySelection
from batchcrew.model.job import ENDED_JOB_STATES, JobState
from batchcrew.reports.commands import failures_command, retry_command, status_command

STATES = sorted(state.value for state in ENDED_JOB_STATES)
_WITH_A_REASON = ENDED_JOB_STATES - {JobState.SUCCEEDED, JobState.STALE}


@click.command()
@click.argument("batch", required=False)
@click.argument("jobs", nargs=-1)
@batch_option
@option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES),
    help="State of the jobs to reset; can be repeated. Default: failed.",
)
@option("--held", is_flag=True, help="Reset jobs that are on hold; the same as --state held.")
@option("--from-url", help="Only jobs whose answer came from the crew at this URL (default state: succeeded).")
@option(
    "--reason", metavar="PATTERN",
    help="Only jobs whose complete reason matches, such as 'RateLimit*': * is any text, and case does not matter.",
)  # fmt: skip
@option("--fingerprint", metavar="F", help="Only jobs of the failure group with this fingerprint, or its beginning.")
@option(
    "--job",
    "named",
    metavar="ID",
    multiple=True,
    envvar="BATCHCREW_JOB",
    help="Only this job, as with JOBS; can be repeated.",
)
@option("--cancel", is_flag=True, help="Undo: give jobs that were reset, and not kicked off since, their former state.")
@option("-y", "--yes", is_flag=True, help="Reset without a confirmation prompt.")
@ledger_option
def command(
    batch: str | None,
    jobs: tuple[str, ...],
    *,
    named_batch: str | None,
    named: tuple[str, ...],
    cancel: bool,
    yes: bool,
    ledger: Path,
    **conditions: Any,
) -> None:
    """Reset ended JOBS of BATCH (default: all failed ones) to pending, so that the next run starts them again.

    Jobs that you name may be in any ended state, unless --state limits it. You pay again for a succeeded job. With
    several options, a job must meet all of them. The number of jobs and the price of their kickoffs are shown first; on
    a terminal, batchcrew prompts for confirmation.
    """
    name, jobs = batch_and_jobs(batch, jobs, named_batch)
    jobs = (*jobs, *named)
    if cancel:
        if any(value not in ((), False, None) for value in conditions.values()):
            raise UsageError("--cancel cannot be combined with conditions; name the jobs, or cancel all of the batch")
        _cancel(name, jobs, existing(ledger))
    else:
        _retry(name, _selection(jobs, **conditions), existing(ledger), yes=yes)


def _selection(
    jobs: tuple[str, ...],
    *,
    states: tuple[str, ...],
    held: bool,
    from_url: str | None,
    reason: str | None,
    fingerprint: str | None,
) -> RetrySelection:
    """Return which jobs the options select; no succeeded job is reset because of its reason."""
    wanted = {JobState(state) for state in states} | ({JobState.HELD} if held else set())
    if not wanted:
        of_reason = reason is not None or fingerprint is not None
        if jobs:
            wanted = set(_WITH_A_REASON if of_reason else ENDED_JOB_STATES)
        else:
            wanted = {JobState.SUCCEEDED if from_url and not of_reason else JobState.FAILED}
    return RetrySelection(
        states=tuple(sorted(wanted)), job_ids=jobs, from_url=from_url, reason=reason, fingerprint=fingerprint
    )


def _retry(name: str, selection: RetrySelection, ledger: Path, *, yes: bool) -> None:
    clock, program = SystemClock(), current_program()
    plan = call(plan_retry(ledger, name, selection, clock=clock))
    states = " or ".join(selection.states)
    if not plan.jobs and (selection.reason is not None or selection.fingerprint is not None):
        shows = failures_command(name, str(ledger), program)
        raise UsageError(f"no {states} job meets these conditions; see `{shows}`")
    if plan.jobs:
        shown = f"{_jobs(plan.jobs)} of {clean_text(name)} ({states}): {_price(plan)}"
        if yes or not at_a_terminal():
            say(shown)
        elif not agreed(f"{shown}. Reset {'it' if plan.jobs == 1 else 'them'} to pending?", "nothing was reset"):
            raise UsageError("nothing was reset")
    put_back = call(retry_jobs(ledger, name, plan, clock=clock))
    if selection.job_ids and not put_back:
        shows = status_command(name, str(ledger), program)
        raise UsageError(f"none of these jobs is {states}; see `{shows}`")
    undo = retry_command(name, str(ledger), "--cancel", program=program)
    confirm(f"{_jobs(put_back)} of {clean_text(name)} {'is' if put_back == 1 else 'are'} pending again")
    if put_back:
        say(f"to undo this before the next run: {undo}")


def _cancel(name: str, jobs: tuple[str, ...], ledger: Path) -> None:
    number = call(cancel_retry(ledger, name, jobs, clock=SystemClock()))
    if jobs and not number:
        raise UsageError("nothing to undo: none of these jobs was reset and not kicked off since")
    confirm(f"{_jobs(number)} of {clean_text(name)} {'has its' if number == 1 else 'have their'} former state again")


def _price(plan: RetryPlan) -> str:
    kickoffs = "1 kickoff" if plan.jobs == 1 else f"{plan.jobs} kickoffs"
    if plan.cost is None:
        return f"at least {kickoffs}, price not known"
    more = "" if plan.cost_is_complete else ", and those whose price is not known"
    return f"at least {kickoffs}, {plan.cost}{more}"


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"

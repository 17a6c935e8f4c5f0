"""`batchcrew retry`."""

from pathlib import Path

import click

from batchcrew.app.batches import retry_jobs
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.cli.loop import call
from batchcrew.cli.options import (
    batch_and_jobs,
    batch_option,
    existing,
    ledger_option,
    option,
)
from batchcrew.cli.output import confirm
from batchcrew.cli.program import current_program
from batchcrew.model.job import ENDED_JOB_STATES, JobState
from batchcrew.reports.commands import status_command

STATES = sorted(state.value for state in ENDED_JOB_STATES)


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
@ledger_option
def command(
    batch: str | None,
    jobs: tuple[str, ...],
    *,
    named_batch: str | None,
    states: tuple[str, ...],
    held: bool,
    from_url: str | None,
    ledger: Path,
) -> None:
    """Reset ended JOBS of BATCH (default: all failed ones) to pending, so that the next run starts them again.

    Jobs that you name may be in any ended state, unless --state limits it. You pay again for a succeeded job.
    """
    name, jobs = batch_and_jobs(batch, jobs, named_batch)
    wanted = {JobState(state) for state in states} | ({JobState.HELD} if held else set())
    if not wanted:
        wanted = set(ENDED_JOB_STATES) if jobs else {JobState.SUCCEEDED if from_url else JobState.FAILED}
    put_back = call(
        retry_jobs(existing(ledger), name, jobs, states=sorted(wanted), from_url=from_url, clock=SystemClock())
    )
    if jobs and not put_back:
        shows = status_command(name, str(ledger), current_program())
        raise UsageError(f"none of these jobs is {' or '.join(sorted(wanted))}; see `{shows}`")
    confirm(f"1 job of {name} is pending again" if put_back == 1 else f"{put_back} jobs of {name} are pending again")

"""`batchcrew retry`."""

from pathlib import Path

import click

from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_argument, existing, known_batch, ledger_option, option
from batchcrew.cli.output import confirm
from batchcrew.cli.program import current_program
from batchcrew.clock import SystemClock, to_text
from batchcrew.errors import UsageError
from batchcrew.ledger import BatchLock, Ledger
from batchcrew.models import ENDED_JOB_STATES, JobState
from batchcrew.reports.commands import status_command

STATES = sorted(state.value for state in ENDED_JOB_STATES)


@click.command()
@batch_argument
@click.argument("jobs", nargs=-1)
@option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES),
    help="Which ended jobs; failed if not said. Several times for several states.",
)
@option("--held", is_flag=True, help="Release held jobs: the same as --state held.")
@ledger_option
def command(batch: str, jobs: tuple[str, ...], *, states: tuple[str, ...], held: bool, ledger: Path) -> None:
    """Put ended JOBS of BATCH (all of them, if none is named) back to pending; the next run starts them.

    Named jobs may be in any ended state, unless --state says which.
    """
    wanted = {JobState(state) for state in states} | ({JobState.HELD} if held else set())
    if not wanted:
        wanted = set(ENDED_JOB_STATES) if jobs else {JobState.FAILED}
    put_back = call(_retry(existing(ledger), batch, jobs, sorted(wanted)))
    if jobs and not put_back:
        shows = status_command(batch, str(ledger), current_program())
        raise UsageError(f"none of these jobs is {' or '.join(sorted(wanted))}: `{shows}` shows them")
    confirm(f"{put_back} jobs of {batch} are pending again")


async def _retry(path: Path, batch: str, jobs: tuple[str, ...], states: list[JobState]) -> int:
    clock = SystemClock()
    async with Ledger(path, clock=clock) as ledger:
        key = await known_batch(ledger, batch)
        async with BatchLock(path, batch, since=to_text(clock.now())):
            return await ledger.retry(key, states=states, job_ids=jobs)

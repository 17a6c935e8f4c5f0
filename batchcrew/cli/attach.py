"""`batchcrew attach`."""

from pathlib import Path

import click

from batchcrew.app.adopt import attach
from batchcrew.base.clock import SystemClock
from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_argument, existing, known_batch, ledger_option
from batchcrew.cli.output import confirm
from batchcrew.ledger import Ledger


@click.command()
@batch_argument
@click.argument("job")
@click.argument("kickoff_id")
@ledger_option
def command(batch: str, job: str, kickoff_id: str, *, ledger: Path) -> None:
    """Have JOB of BATCH watched under KICKOFF_ID by the next run, with a fresh deadline.

    For a job whose kickoff's answer was lost (the vendor's dashboard shows the id), and for an execution of the job
    that timed out or was lost and still runs (`batchcrew recheck` shows its id).
    """
    call(_attach(existing(ledger), batch, job, kickoff_id))
    confirm(f"job {job} of {batch} is watched under {kickoff_id} by the next run")


async def _attach(path: Path, batch: str, job: str, kickoff_id: str) -> None:
    clock = SystemClock()
    async with Ledger(path, clock=clock) as ledger:
        await attach(await known_batch(ledger, batch), job, kickoff_id, ledger=ledger, clock=clock)

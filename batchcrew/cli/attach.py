"""`batchcrew attach`."""

from pathlib import Path

import click

from batchcrew.app.adopt import attach
from batchcrew.app.batches import known_batch
from batchcrew.base.clock import SystemClock
from batchcrew.base.text import one_line
from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_argument, existing, ledger_option
from batchcrew.cli.output import confirm
from batchcrew.ledger import Ledger


@click.command()
@batch_argument
@click.argument("job")
@click.argument("kickoff_id")
@ledger_option
def command(batch: str, job: str, kickoff_id: str, *, ledger: Path) -> None:
    """Record KICKOFF_ID as an execution of JOB of BATCH; the next run watches it, with a new deadline.

    Use it for a job whose kickoff's answer was lost (the vendor's dashboard shows the id), or for an execution that
    timed out or was lost and is still running (`batchcrew recheck` shows its id).
    """
    call(_attach(existing(ledger), batch, job, kickoff_id))
    confirm(one_line(f"the next run will watch kickoff {kickoff_id} for job {job} of {batch}"))


async def _attach(path: Path, batch: str, job: str, kickoff_id: str) -> None:
    clock = SystemClock()
    async with Ledger(path, clock=clock) as ledger:
        await attach(await known_batch(ledger, batch), job, kickoff_id, ledger=ledger, clock=clock)

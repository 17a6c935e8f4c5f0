"""`batchcrew keep`."""

from pathlib import Path

import click

from batchcrew.app.batches import keep_answers
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.base.text import clean_text
from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_and_jobs, batch_option, existing, ledger_option
from batchcrew.cli.output import confirm
from batchcrew.cli.program import current_program
from batchcrew.reports.commands import status_command


@click.command()
@click.argument("batch", required=False)
@click.argument("jobs", nargs=-1)
@batch_option
@ledger_option
def command(batch: str | None, jobs: tuple[str, ...], *, named_batch: str | None, ledger: Path) -> None:
    """Accept the answers of stale JOBS of BATCH (default: all of them), which then count as succeeded again.

    A job is stale if its inputs changed in the file after it succeeded. Nothing is started or paid for.
    """
    name, jobs = batch_and_jobs(batch, jobs, named_batch)
    kept = call(keep_answers(existing(ledger), name, jobs, clock=SystemClock()))
    if jobs and not kept:
        shows = status_command(name, str(ledger), current_program())
        raise UsageError(f"none of these jobs is stale with an answer to keep; see `{shows}`")
    answers = "1 answer" if kept == 1 else f"{kept} answers"
    confirm(f"kept {answers} of {clean_text(name)}")

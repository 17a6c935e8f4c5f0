"""`batchcrew delete`."""

from pathlib import Path

import click

from batchcrew.app.upkeep import counts_of, delete
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.base.text import clean_text, one_line
from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_argument, existing, ledger_option, option
from batchcrew.cli.prompt import agreed
from batchcrew.model.run import Counts


@click.command()
@batch_argument
@option("-y", "--yes", is_flag=True, help="Delete without a confirmation prompt.")
@ledger_option
def command(batch: str, *, yes: bool, ledger: Path) -> None:
    """Delete BATCH from the ledger: its jobs, attempts, answers and runs. Prompts for confirmation first.

    The job file and exports are not deleted. If you run the job file again, you pay for every job again.
    """
    clock = SystemClock()
    counts = call(counts_of(existing(ledger), batch, clock=clock))
    if not (yes or agreed(_question(batch, counts, ledger), "nothing was deleted")):
        raise UsageError("nothing was deleted")
    jobs = call(delete(ledger, batch, clock=clock))
    click.echo(f"deleted {clean_text(batch)} with {jobs} {'job' if jobs == 1 else 'jobs'} from {one_line(str(ledger))}")


def _question(batch: str, counts: Counts, ledger: Path) -> str:
    jobs = counts.total + counts.removed
    question = f"Delete {clean_text(batch)} with {jobs} {'job' if jobs == 1 else 'jobs'} from {one_line(str(ledger))}?"
    lost = [f"{counts.succeeded} {'answer' if counts.succeeded == 1 else 'answers'}"] if counts.succeeded else []
    if counts.open:
        lost.append(f"{counts.open} {'execution' if counts.open == 1 else 'executions'} still running on the crew")
    return f"{question} This discards {' and '.join(lost)}." if lost else question

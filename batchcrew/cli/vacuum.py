"""`batchcrew vacuum`."""

from pathlib import Path

import click

from batchcrew.cli.loop import call
from batchcrew.cli.options import existing, ledger_option
from batchcrew.clock import SystemClock
from batchcrew.quantities import format_size
from batchcrew.upkeep import vacuum


@click.command()
@ledger_option
def command(*, ledger: Path) -> None:
    """Make the ledger's file as small as what is in it, after batches were deleted.

    Exit 4 while a run uses the ledger. It needs free disk space of up to twice the file's size.
    """
    before, after = call(vacuum(existing(ledger), clock=SystemClock()))
    click.echo(f"{ledger}: {format_size(before)} before, {format_size(after)} now")

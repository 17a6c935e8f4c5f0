"""`batchcrew vacuum`."""

from pathlib import Path

import click

from batchcrew.app.upkeep import vacuum
from batchcrew.base.clock import SystemClock
from batchcrew.base.quantities import format_size
from batchcrew.base.text import one_line
from batchcrew.cli.loop import call
from batchcrew.cli.options import existing, ledger_option


@click.command()
@ledger_option
def command(*, ledger: Path) -> None:
    """Shrink the ledger file after batches were deleted.

    It needs free disk space of up to twice the file's size. Exit 4 if a run is using the ledger.
    """
    done = call(vacuum(existing(ledger), clock=SystemClock()))
    before, after = format_size(done.before), format_size(done.after)
    if done.waits_for_readers:
        click.echo(one_line(f"{ledger}: {before}; it shrinks to {after} once the program that is reading it has ended"))
    else:
        click.echo(one_line(f"{ledger}: shrunk from {before} to {after}"))

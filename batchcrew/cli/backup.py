"""`batchcrew backup`."""

from pathlib import Path

import click

from batchcrew.app.upkeep import backup
from batchcrew.base.clock import SystemClock
from batchcrew.base.quantities import format_size
from batchcrew.base.text import one_line
from batchcrew.cli.loop import call
from batchcrew.cli.options import existing, ledger_option


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@ledger_option
def command(path: Path, *, ledger: Path) -> None:
    """Copy the ledger to the new file PATH, even while runs use it.

    The copy is a consistent snapshot, is verified, and is readable by its owner only. An existing file is never
    overwritten.
    """
    size = call(backup(existing(ledger), path, clock=SystemClock()))
    click.echo(one_line(f"{path}: complete copy of {ledger} ({format_size(size)})"))

"""`batchcrew upgrade`."""

from pathlib import Path

import click

from batchcrew.app.upkeep import upgrade
from batchcrew.base.clock import SystemClock
from batchcrew.base.text import one_line
from batchcrew.cli.loop import call
from batchcrew.cli.options import existing, ledger_option


@click.command()
@ledger_option
def command(*, ledger: Path) -> None:
    """Upgrade a ledger that an earlier version of batchcrew wrote.

    A run upgrades its ledger automatically; commands that only read do not. No job is changed or started.
    """
    before, after = call(upgrade(existing(ledger), clock=SystemClock()))
    if before == after:
        click.echo(one_line(f"{ledger} is up to date (schema {after})"))
    else:
        click.echo(one_line(f"upgraded {ledger} from schema {before} to {after}"))

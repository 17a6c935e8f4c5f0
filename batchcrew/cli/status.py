"""`batchcrew status`."""

from pathlib import Path

import click

from batchcrew.app.watch import read_status
from batchcrew.base.clock import SystemClock
from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_if_named, batch_option, existing, json_option, ledger_option, option
from batchcrew.cli.output import print_report, terminal_columns
from batchcrew.cli.program import current_program
from batchcrew.reports.as_json import json_document, status_json
from batchcrew.reports.tables import render_status


@click.command()
@click.argument("batch", required=False)
@batch_option
@option(
    "--watch",
    "watched",
    is_flag=True,
    envvar="BATCHCREW_WATCH",
    help="Show the run in progress until it ends: redrawn on a terminal, else a line for each change.",
)
@ledger_option
@json_option
def command(batch: str | None, *, named_batch: str | None, watched: bool, ledger: Path, as_json: bool) -> None:
    """Show the counts of BATCH (default: the one that ran last) and its executions in progress."""
    name = batch_if_named(batch, named_batch)
    if watched:
        from batchcrew.cli.watching import watch  # noqa: PLC0415 - it imports rich

        watch(existing(ledger), name, as_json=as_json)
        return
    clock = SystemClock()
    status = call(read_status(existing(ledger), name, clock))
    if as_json:
        click.echo(json_document(status_json(status)))
    else:
        print_report(render_status(status, clock.now(), str(ledger), current_program(), width=terminal_columns()))

"""`batchcrew status`."""

from pathlib import Path

import click

from batchcrew.app.batches import named_or_latest
from batchcrew.base.clock import SystemClock
from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_if_named, batch_option, existing, json_option, ledger_option
from batchcrew.cli.output import print_report, terminal_columns
from batchcrew.cli.program import current_program
from batchcrew.ledger import LedgerReader
from batchcrew.model.views import BatchStatus
from batchcrew.reports.as_json import json_document, status_json
from batchcrew.reports.tables import render_status


@click.command()
@click.argument("batch", required=False)
@batch_option
@ledger_option
@json_option
def command(batch: str | None, *, named_batch: str | None, ledger: Path, as_json: bool) -> None:
    """Show the counts of BATCH (default: the one that ran last) and its executions in progress."""
    clock = SystemClock()
    status = call(_status(existing(ledger), batch_if_named(batch, named_batch), clock))
    if as_json:
        click.echo(json_document(status_json(status)))
    else:
        print_report(render_status(status, clock.now(), str(ledger), current_program(), width=terminal_columns()))


async def _status(path: Path, batch: str | None, clock: SystemClock) -> BatchStatus:
    async with LedgerReader(path, clock=clock) as ledger:
        return await ledger.status(await named_or_latest(ledger, batch))

"""`batchcrew list`."""

from pathlib import Path

import click

from batchcrew.base.clock import SystemClock
from batchcrew.cli.loop import call
from batchcrew.cli.options import existing, json_option, ledger_option
from batchcrew.cli.output import print_report, terminal_columns
from batchcrew.ledger import LedgerReader
from batchcrew.model.views import BatchLine
from batchcrew.reports.as_json import json_document, list_json
from batchcrew.reports.tables import render_list


@click.command()
@ledger_option
@json_option
def command(*, ledger: Path, as_json: bool) -> None:
    """List the batches in the ledger, the one that ran last first."""
    lines = call(_lines(existing(ledger)))
    if as_json:
        click.echo(json_document(list_json(lines)))
    else:
        print_report(render_list(lines, width=terminal_columns()))


async def _lines(path: Path) -> list[BatchLine]:
    async with LedgerReader(path, clock=SystemClock()) as ledger:
        return await ledger.batches()

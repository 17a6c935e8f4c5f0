"""`batchcrew runs`."""

from pathlib import Path

import click

from batchcrew.app.batches import known_batch
from batchcrew.base.clock import SystemClock
from batchcrew.cli.loop import call
from batchcrew.cli.options import existing, json_option, ledger_option, option
from batchcrew.cli.output import terminal_columns
from batchcrew.ledger import LedgerReader
from batchcrew.model.money import MonthLine
from batchcrew.model.views import RunLine
from batchcrew.reports.as_json import json_document, months_json, runs_json
from batchcrew.reports.runs_table import render_months, render_runs


@click.command()
@click.argument("batch", required=False)
@option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, envvar="BATCHCREW_RUNS_LIMIT",
    help="Maximum number of runs to list.",
)  # fmt: skip
@option("--months", is_flag=True, help="List what each month's kickoffs have used and cost, instead of the runs.")
@ledger_option
@json_option
def command(batch: str | None, *, limit: int, months: bool, ledger: Path, as_json: bool) -> None:
    """List the runs of BATCH (default: of all batches): what each one did, what it cost, and why it stopped.

    The newest run comes first. Ticks that found nothing to start are not recorded. A month is that of the kickoff, in
    local time.
    """
    clock = SystemClock()
    if months:
        found = call(_months(existing(ledger), batch, clock))
        click.echo(json_document(months_json(found)) if as_json else render_months(found))
        return
    lines = call(_runs(existing(ledger), batch, limit, clock))
    if as_json:
        click.echo(json_document(runs_json(lines)))
    else:
        click.echo(render_runs(lines, clock.now(), with_batch=batch is None, width=terminal_columns()))


async def _months(path: Path, batch: str | None, clock: SystemClock) -> list[MonthLine]:
    async with LedgerReader(path, clock=clock) as ledger:
        return await ledger.months(None if batch is None else await known_batch(ledger, batch))


async def _runs(path: Path, batch: str | None, limit: int, clock: SystemClock) -> list[RunLine]:
    async with LedgerReader(path, clock=clock) as ledger:
        return await ledger.runs(None if batch is None else await known_batch(ledger, batch), limit)

"""`batchcrew compare`."""

from collections.abc import Callable
from pathlib import Path

import click

from batchcrew.app.batches import known_batch
from batchcrew.app.report import compare_batches
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.cli.loop import call
from batchcrew.cli.options import existing, json_option, ledger_option, option
from batchcrew.cli.program import current_program
from batchcrew.ledger.report_reader import ReportReader
from batchcrew.model.comparison import Comparison
from batchcrew.reports.as_json import json_document
from batchcrew.reports.html.comparison_page import comparison_html
from batchcrew.reports.report.comparison import comparison_json, comparison_markdown, comparison_text

_FORMATS: dict[str, Callable[[Comparison], str]] = {
    "text": comparison_text,
    "md": comparison_markdown,
    "html": comparison_html,
}


@click.command()
@click.argument("before")
@click.argument("after")
@option(
    "-f",
    "--format",
    "format_",
    type=click.Choice(tuple(_FORMATS)),
    default="text",
    show_default=True,
    envvar="BATCHCREW_COMPARE_FORMAT",
    help="Format of the comparison.",
)
@option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    envvar="BATCHCREW_COMPARE_LIMIT",
    help="Maximum number of rows to list; all are counted.",
)
@ledger_option
@json_option
def command(before: str, after: str, *, format_: str, limit: int, ledger: Path, as_json: bool) -> None:
    """Compare the batch AFTER with the batch BEFORE, such as today's with yesterday's.

    Rows are matched by their job_id.
    """
    if before == after:
        raise UsageError(f"{before!r} is given twice; name two batches")
    comparison = call(_compare(existing(ledger), before, after, limit))
    if as_json:
        click.echo(json_document(comparison_json(comparison)))
    else:
        click.echo(_FORMATS[format_](comparison), nl=False)


async def _compare(path: Path, before: str, after: str, limit: int) -> Comparison:
    async with ReportReader(path, clock=SystemClock()) as ledger:
        old, new = await known_batch(ledger, before), await known_batch(ledger, after)
        return await compare_batches(ledger, old, new, limit=limit, program=current_program())

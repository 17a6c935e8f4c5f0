"""`batchcrew export`."""

from pathlib import Path

import click

from batchcrew.app.batches import known_batch
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.base.sqlite_files import is_database_file
from batchcrew.base.text import one_line
from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_option, existing, from_environment, ledger_option, one_batch, option
from batchcrew.cli.streams import data_stdout
from batchcrew.ledger import LedgerReader
from batchcrew.reports.export.formats import DEFAULT_FORMAT, EXPORT_FORMATS, format_of
from batchcrew.reports.export.rows import export
from batchcrew.reports.export.table import build_table


@click.command()
@click.argument("batch", required=False)
@batch_option
@option(
    "-f",
    "--format",
    "format_",
    type=click.Choice(tuple(EXPORT_FORMATS)),
    envvar="BATCHCREW_FORMAT",
    help=f"Format of the export. Default: by the suffix of the file of --output, else {DEFAULT_FORMAT}.",
)
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write; it is replaced only once the export is complete. `-` and default: stdout.",
)
@option(
    "--all",
    "with_removed",
    is_flag=True,
    envvar="BATCHCREW_ALL",
    help="Include jobs that are no longer in the file, at the end.",
)
@ledger_option
def command(
    batch: str | None,
    *,
    named_batch: str | None,
    format_: str | None,
    output: Path | None,
    with_removed: bool,
    ledger: Path,
) -> None:
    """Export one row per job of BATCH, in the file's order: the file's own columns, then the job's result."""
    batch = one_batch(batch, named_batch)
    if output == Path("-"):
        output = None
    if output is not None and is_database_file(output, ledger):
        raise UsageError(f"invalid --output: {output} belongs to the ledger; name another file")
    if format_ is None or (from_environment("format_") and output is not None):
        format_ = (format_of(output) if output is not None else None) or format_ or DEFAULT_FORMAT
    number = call(_export(existing(ledger), batch, format_, output, with_removed=with_removed))
    if output is not None:
        click.echo(f"{number} {'row' if number == 1 else 'rows'} written to {one_line(str(output))}", err=True)


async def _export(path: Path, batch: str, format_: str, output: Path | None, *, with_removed: bool) -> int:
    async with LedgerReader(path, clock=SystemClock()) as ledger:
        key = await known_batch(ledger, batch)
        rows, stale = ledger.results(key, with_removed=with_removed), bool((await ledger.counts(key)).stale)
        table = build_table(key.columns, stale=stale)
        return await export(rows, table, format=format_, path=output, stdout=data_stdout())

"""`batchcrew inbox`."""

from pathlib import Path
from typing import Any

import click

from batchcrew.app.batches import named_or_latest
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.base.sqlite_files import is_database_file
from batchcrew.base.text import one_line
from batchcrew.cli.loop import call
from batchcrew.cli.options import (
    batch_if_named,
    batch_option,
    existing,
    from_environment,
    json_option,
    ledger_option,
    option,
)
from batchcrew.cli.program import current_program
from batchcrew.cli.streams import data_stdout
from batchcrew.ledger import LedgerReader
from batchcrew.reports.as_json import json_document, wait_json
from batchcrew.reports.export.output import FileTarget, StreamTarget
from batchcrew.reports.inbox import inbox_end, inbox_lines
from batchcrew.reports.inbox_sheet import SHEET_FORMATS, SheetFormat, inbox_sheet, sheet_format_of


@click.command()
@click.argument("batch", required=False)
@batch_option
@option(
    "-f",
    "--format",
    "format_",
    type=click.Choice(("text", *SHEET_FORMATS)),
    envvar="BATCHCREW_INBOX_FORMAT",
    help="csv and xlsx are sheets: fill in their columns decision and feedback, for `batchcrew answer`."
    " Default: by the suffix of the file of --output, else text.",
)
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    envvar="BATCHCREW_INBOX_OUTPUT",
    help="File for the sheet; `-` and default: stdout.",
)
@ledger_option
@json_option
def command(
    batch: str | None,
    *,
    named_batch: str | None,
    format_: str | None,
    output: Path | None,
    ledger: Path,
    as_json: bool,
) -> None:
    """Show the jobs of BATCH (default: the one that ran last) that wait for human input, with their task's output.

    With `-o inbox.csv` or `-o inbox.xlsx`, it is a sheet. Write approve or reject into the column decision, and what
    to improve into feedback; then call `batchcrew answer BATCH --csv inbox.csv` or `--xlsx inbox.xlsx`.
    """
    if format_ is None or (output is not None and from_environment("format_")):
        format_ = (sheet_format_of(output) if output is not None else None) or format_ or "text"
    sheet = next((one for one in SHEET_FORMATS if one == format_), None)
    if output is not None and sheet is None:
        raise UsageError("--output requires a sheet: --format csv or xlsx, or a file that ends in .csv or .xlsx")
    if output is not None and is_database_file(output, ledger):
        raise UsageError(f"invalid --output: {output} belongs to the ledger; name another file")
    path, name = existing(ledger), batch_if_named(batch, named_batch)
    if as_json:
        click.echo(json_document(call(_json(path, name))))
    elif sheet is not None:
        target = None if output == Path("-") else output
        if sheet == "xlsx" and target is None and data_stdout().isatty():
            raise UsageError("xlsx is a binary format, which a terminal cannot show; name a file with --output")
        number = call(_sheet(path, name, target, sheet))
        if target is not None:
            click.echo(f"{number} {'row' if number == 1 else 'rows'} written to {one_line(str(target))}", err=True)
    else:
        call(_text(path, name))


async def _text(path: Path, name: str | None) -> None:
    clock, number = SystemClock(), 0
    async with LedgerReader(path, clock=clock) as ledger:
        key = await named_or_latest(ledger, name)
        async for line in ledger.inbox(key):
            number += 1
            click.echo("\n".join(inbox_lines(line, clock.now())))
    click.echo(inbox_end(key.batch, number, str(path), current_program()))


async def _json(path: Path, name: str | None) -> dict[str, Any]:
    async with LedgerReader(path, clock=SystemClock()) as ledger:
        key = await named_or_latest(ledger, name)
        return {"batch": key.batch, "waiting": [wait_json(line) async for line in ledger.inbox(key)]}


async def _sheet(path: Path, name: str | None, output: Path | None, format_: SheetFormat) -> int:
    number = 0
    target = StreamTarget(data_stdout()) if output is None else FileTarget(output)
    async with LedgerReader(path, clock=SystemClock()) as ledger:
        key = await named_or_latest(ledger, name)
        target.open()
        try:
            sheet = inbox_sheet(format_, target)
            sheet.begin()
            async for line in ledger.inbox(key):
                sheet.add(line)
                number += 1
            sheet.end()
            target.finish()
        finally:
            target.close()
    return number

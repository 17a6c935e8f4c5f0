"""`batchcrew report`."""

from pathlib import Path

import click

from batchcrew.app.batches import named_or_latest
from batchcrew.app.report import default_path, read_report, write_report
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.base.sqlite_files import is_database_file
from batchcrew.base.text import one_line
from batchcrew.cli.loop import call
from batchcrew.cli.options import (
    Size,
    batch_if_named,
    batch_option,
    existing,
    format_option,
    ledger_option,
    option,
    output_option,
)
from batchcrew.cli.program import current_program
from batchcrew.cli.streams import data_stdout
from batchcrew.ledger.report_reader import ReportReader
from batchcrew.reports.report.formats import DEFAULT_FORMAT, REPORT_FORMATS
from batchcrew.reports.report.report_format import ReportFormat, ReportSource

_STDOUT = Path("-")
_SUFFIXES = {".html": "html", ".htm": "html", ".md": "md", ".markdown": "md", ".txt": "text", ".json": "json"}


@click.command()
@click.argument("batch", required=False)
@batch_option
@format_option("report", REPORT_FORMATS, f"--output, else {DEFAULT_FORMAT}", "BATCHCREW_REPORT_FORMAT")
@output_option("report", "`-`: stdout. Default: stdout; of html, a file next to the ledger.", "BATCHCREW_REPORT_OUTPUT")
@option(
    "--outputs-limit",
    type=Size(),
    envvar="BATCHCREW_OUTPUTS_LIMIT",
    metavar="SIZE",
    help="Bytes in an HTML report for the inputs, tasks, attempts and outputs of jobs, compressed, such as 20MB;"
    " 0: none. Default: 2MB, less if the table of all jobs is large.",
)
@ledger_option
def command(
    batch: str | None,
    *,
    named_batch: str | None,
    format_: str | None,
    output: Path | None,
    outputs_limit: int | None,
    ledger: Path,
) -> None:
    """Report on BATCH (default: the one that ran last): its results, cost, times and failures.

    HTML is one file with charts and a table of all jobs, which opens without a network. Markdown is for chat and pull
    requests, the text for mail, JSON (with every figure) for programs.
    """
    by_suffix = _SUFFIXES.get("" if output is None else output.suffix.lower(), DEFAULT_FORMAT)
    chosen = REPORT_FORMATS[format_ or by_suffix]
    if output is not None and is_database_file(output, ledger):
        raise UsageError(f"invalid --output: {output} belongs to the ledger; name another file")
    path = call(_report(existing(ledger), batch_if_named(batch, named_batch), chosen, output, outputs_limit))
    if path is not None:
        click.echo(one_line(str(path)))


async def _report(
    ledger_path: Path, batch: str | None, chosen: ReportFormat, output: Path | None, outputs_limit: int | None
) -> Path | None:
    """Write the report; return the file, or None for stdout."""
    async with ReportReader(ledger_path, clock=SystemClock()) as ledger:
        key = await named_or_latest(ledger, batch)
        program = current_program()
        report = await read_report(ledger, key, program=program)
        path = None if output == _STDOUT else output
        if output is None and chosen.to_file:
            path = default_path(ledger_path, key.batch, chosen.suffix)
        source = ReportSource(ledger=ledger, key=key, program=program, outputs_limit=outputs_limit)
        await write_report(report, chosen, source, path=path, stdout=data_stdout())
        return path

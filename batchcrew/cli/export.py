"""`batchcrew export`."""

import csv
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from batchcrew.app.batches import known_batch
from batchcrew.app.export import Exported, ExportRequest, export_batch
from batchcrew.base.clock import Clock, SystemClock, to_text
from batchcrew.base.errors import UsageError
from batchcrew.base.quantities import parse_duration
from batchcrew.base.sqlite_files import is_database_file
from batchcrew.base.text import one_line
from batchcrew.cli.export_progress import ProgressLine
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import (
    Command,
    batch_option,
    existing,
    format_option,
    from_environment,
    ledger_option,
    one_batch,
    option,
    output_option,
)
from batchcrew.cli.streams import data_stdout
from batchcrew.ledger import LedgerReader
from batchcrew.model.job import JobState
from batchcrew.model.result_selection import ResultSelection, RowPer
from batchcrew.reports.export.formats import DEFAULT_FORMAT, EXPORT_FORMATS, format_of
from batchcrew.reports.export.sheet_options import SheetOptions, parse_delimiter


def _rows_options(command: Command) -> Command:
    """Add the options that choose rows."""
    for add in reversed(
        (
            option(
                "--all", "with_removed", is_flag=True, envvar="BATCHCREW_ALL",
                help="Include jobs that are no longer in the file, at the end.",
            ),
            option(
                "--state", "states", multiple=True, type=click.Choice([state.value for state in JobState]),
                envvar="BATCHCREW_EXPORT_STATE", help="Only jobs in this state, such as failed; can be repeated.",
            ),
            option(
                "--reason", metavar="PATTERN", envvar="BATCHCREW_EXPORT_REASON",
                help="Only jobs whose complete reason matches, such as 'RateLimit*': * is any text.",
            ),
            option(
                "--fingerprint", metavar="F", envvar="BATCHCREW_EXPORT_FINGERPRINT",
                help="Only jobs of the failure group with this fingerprint, as `failures` shows it, or its beginning.",
            ),
            option(
                "--job", "jobs", metavar="ID", multiple=True, envvar="BATCHCREW_EXPORT_JOB",
                help="Only this job; can be repeated.",
            ),
            option(
                "--since", metavar="TIME", envvar="BATCHCREW_EXPORT_SINCE",
                help="Only jobs whose latest attempt ended since a time (2026-02-03T04:05), or a duration ago (2h).",
            ),
            option("--tasks", is_flag=True, envvar="BATCHCREW_EXPORT_TASKS", help="One row for each task of a job."),
            option(
                "--attempts", is_flag=True, envvar="BATCHCREW_EXPORT_ATTEMPTS",
                help="One row for each attempt of a job.",
            ),
        )
    ):  # fmt: skip
        command = add(command)
    return command


def _columns_options(command: Command) -> Command:
    """Add the options that choose columns, and how their cells are written."""
    for add in reversed(
        (
            option(
                "--columns", metavar="A,B,C", envvar="BATCHCREW_EXPORT_COLUMNS",
                help="Only these columns, in this order: the file's own and batchcrew's, such as email,output.",
            ),
            option(
                "--flatten", is_flag=True, envvar="BATCHCREW_EXPORT_FLATTEN",
                help="Add a column for each key of JSON answers, such as output.lead_score.",
            ),
            option(
                "--tokens", is_flag=True, envvar="BATCHCREW_EXPORT_TOKENS",
                help="Add columns with the tokens and the cost of each job.",
            ),
            option(
                "--artifacts", is_flag=True, envvar="BATCHCREW_EXPORT_ARTIFACTS",
                help="Add a column with the files that the tasks of a served crew have written.",
            ),
            option(
                "--delimiter", metavar="D", envvar="BATCHCREW_EXPORT_DELIMITER",
                help="Delimiter of csv: one character, or tab. Default: that of the rows file.",
            ),
            option(
                "--encoding", metavar="NAME", envvar="BATCHCREW_EXPORT_ENCODING",
                help="Encoding of csv and tsv, such as cp1252. Default: that of the rows file.",
            ),
            option(
                "--bom/--no-bom", default=None, envvar="BATCHCREW_EXPORT_BOM",
                help="Whether csv and tsv begin with a byte order mark. Default: as the rows file.",
            ),
            option(
                "--excel", is_flag=True, envvar="BATCHCREW_EXPORT_EXCEL",
                help="Write csv or tsv so that a double click opens it in Excel, in every language: UTF-16, tabs.",
            ),
            option(
                "--formulas", type=click.Choice(("escape", "keep")), envvar="BATCHCREW_EXPORT_FORMULAS",
                help="Whether csv and tsv escape what a spreadsheet would run in a crew's answers. Default: escape.",
            ),
        )
    ):  # fmt: skip
        command = add(command)
    return command


@click.command()
@click.argument("batch", required=False)
@batch_option
@format_option("export", EXPORT_FORMATS, f"the file of --output, else {DEFAULT_FORMAT}", "BATCHCREW_FORMAT")
@output_option("export", "`-` and default: stdout.")
@_rows_options
@_columns_options
@ledger_option
def command(
    batch: str | None,
    *,
    named_batch: str | None,
    format_: str | None,
    output: Path | None,
    ledger: Path,
    **options: Any,
) -> None:
    """Export one row per job of BATCH, in the file's order: the file's own columns, then the job's result.

    CSV and TSV are written as the rows file was: with its delimiter, encoding, quoting and line ends.
    """
    batch = one_batch(batch, named_batch)
    if output == Path("-"):
        output = None
    if output is not None and is_database_file(output, ledger):
        raise UsageError(f"invalid --output: {output} belongs to the ledger; name another file")
    if format_ is None or (output is not None and from_environment("format_")):
        format_ = (format_of(output) if output is not None else None) or format_ or DEFAULT_FORMAT
    clock = SystemClock()
    request = _request(format_, clock, **options)
    exported = call(_export(existing(ledger), batch, request, output, clock))
    for note in exported.notes:
        say(f"note: {one_line(note)}")
    if output is not None:
        number = exported.rows
        click.echo(f"{number} {'row' if number == 1 else 'rows'} written to {one_line(str(output))}", err=True)


def _request(format_: str, clock: Clock, *, tasks: bool, attempts: bool, **options: Any) -> ExportRequest:
    if tasks and attempts:
        raise UsageError("--tasks and --attempts cannot be combined: a row is either a task or an attempt")
    return ExportRequest(
        format=format_,
        selection=ResultSelection(
            states=tuple(JobState(state) for state in options["states"]),
            job_ids=options["jobs"],
            reason=options["reason"],
            fingerprint=options["fingerprint"],
            since=None if options["since"] is None else _since(options["since"], clock),
            with_removed=options["with_removed"],
            artifacts=options["artifacts"],
            per=RowPer.TASK if tasks else RowPer.ATTEMPT if attempts else RowPer.JOB,
        ),
        columns=None if options["columns"] is None else _names(options["columns"]),
        flatten=options["flatten"],
        tokens=options["tokens"],
        sheet=SheetOptions(
            delimiter=None if options["delimiter"] is None else parse_delimiter(options["delimiter"]),
            encoding=options["encoding"],
            bom=options["bom"],
            excel=options["excel"],
        ),
        formulas=options["formulas"],
    )


def _names(text: str) -> tuple[str, ...]:
    """Return the names in a list that is separated by commas; one that contains a comma is in quotes.

    Raises:
        UsageError: there are none, or it is not such a list.
    """
    try:
        names = tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True, strict=True), []))
    except csv.Error as error:
        raise UsageError(f"invalid --columns: '{one_line(text)}' ({error})") from None
    if not any(names):
        raise UsageError("--columns names no column (expected e.g. email,output)")
    return names


def _since(text: str, clock: Clock) -> str:
    """Return a time, or the time that was a duration ago, as UTC text.

    Raises:
        UsageError: the text is neither.
    """
    try:
        return to_text(datetime.fromisoformat(text.strip()).astimezone(UTC))
    except (ValueError, OverflowError):
        pass
    try:
        return to_text(clock.now() - timedelta(seconds=parse_duration(text)))
    except ValueError:
        raise UsageError(
            f"invalid --since: '{one_line(text)}' (expected a time such as 2026-02-03T04:05, or a duration such as 2h)"
        ) from None


async def _export(path: Path, batch: str, request: ExportRequest, output: Path | None, clock: Clock) -> Exported:
    async with LedgerReader(path, clock=clock) as ledger:
        key = await known_batch(ledger, batch)
        with ProgressLine(sys.stderr, await ledger.number_of_results(key, request.selection)) as progress:
            return await export_batch(ledger, key, request, path=output, stdout=data_stdout(), progress=progress.show)

"""`batchcrew init`."""

import os
from pathlib import Path

import click

from batchcrew.app.new_jobfile import InitRequest, init
from batchcrew.base.clock import SystemClock
from batchcrew.base.text import one_line
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import json_option, option
from batchcrew.cli.output import confirm
from batchcrew.cli.program import current_program
from batchcrew.cli.sources import read_token
from batchcrew.reports.as_json import json_document
from batchcrew.reports.commands import quoted


@click.command()
@click.argument("target", metavar="URL|TARGET")
@option(
    "--dir",
    "folder",
    envvar="BATCHCREW_DIR",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Folder to write to; it is created if it does not exist. Default: this folder.",
)
@option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File that holds the crew's token. Default: $CREW_TOKEN. The token is never written.",
)
@option(
    "--input",
    "inputs",
    multiple=True,
    envvar="BATCHCREW_INPUT_NAMES",
    metavar="NAME",
    help="Name of an input, for a crew that does not list its inputs; can be repeated.",
)
@option("--xlsx", is_flag=True, envvar="BATCHCREW_INIT_XLSX", help="Write an Excel workbook, rows.xlsx, as rows file.")
@option("--force", is_flag=True, help="Replace jobs.yaml and the rows file if they exist.")
@json_option
def command(
    *,
    target: str,
    folder: Path,
    token_file: Path | None,
    inputs: tuple[str, ...],
    xlsx: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write jobs.yaml, and rows.csv with a column for each input of the crew and one example row.

    URL is the address of a deployed crew. TARGET is a crew on this machine, as `batchcrew serve` takes it, or `demo`:
    it is loaded for a moment to read its inputs, and the job file names the address of `batchcrew serve`. Nothing is
    kicked off, and files that exist are not replaced without --force.

    Exit 5 if the crew cannot be reached, or does not list its inputs and no --input names them.
    """
    request = InitRequest(
        target=target,
        folder=folder,
        token=read_token(token_file),
        environ=dict(os.environ),
        inputs=inputs,
        force=force,
        workbook=xlsx,
        program=current_program(),
    )
    written = call(init(request, clock=SystemClock(), warn=lambda text: say(f"warning: {one_line(text)}")))
    names = [entry.name for entry in written.inputs]
    if as_json:
        files = {"jobfile": str(written.jobfile), "rows": str(written.rows), "inputs": names}
        click.echo(json_document(files))
        return
    columns = "1 input" if len(names) == 1 else f"{len(names)} inputs"
    confirm(one_line(f"wrote {written.jobfile} and {written.rows} ({columns}: {', '.join(names) or 'none'})"))
    token = "set CREW_TOKEN, " if written.needs_token else ""
    say(f"next: {token}replace the example row, then {current_program()} check {quoted(str(written.jobfile))}")

"""`batchcrew check`."""

from pathlib import Path
from typing import Any

import click
import orjson

from batchcrew.checking import check_batch
from batchcrew.cli.loop import call
from batchcrew.cli.options import json_option, ledger_option, option, source, source_options
from batchcrew.clock import SystemClock
from batchcrew.errors import ExitCode
from batchcrew.reports.as_json import check_json
from batchcrew.reports.plan import render_check


@click.command()
@source_options
@ledger_option
@option("--offline", is_flag=True, help="Leave the crews alone: read the files and the ledger only.")
@json_option
def command(jobfile: Path, ledger: Path, offline: bool, as_json: bool, **options: Any) -> int:
    """Read JOBFILE whole, ask each crew for its inputs and print the plan. Kicks nothing off.

    Exit 2 when the file is wrong or jobs lack inputs, 5 when no crew can be worked with.
    """
    result = call(check_batch(source(jobfile, options, {}), ledger=ledger, offline=offline, clock=SystemClock()))
    if as_json:
        click.echo(orjson.dumps(check_json(result), option=orjson.OPT_INDENT_2))
    else:
        click.echo(render_check(result))
    if result.lacking_total:
        return ExitCode.USAGE
    if any(crew.unusable for crew in result.crews):
        return ExitCode.CREW_UNUSABLE
    return ExitCode.SUCCEEDED

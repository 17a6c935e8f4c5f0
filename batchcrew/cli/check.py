"""`batchcrew check`."""

from pathlib import Path
from typing import Any

import click

from batchcrew.cli.checking import check_and_report
from batchcrew.cli.options import jobfile_ledger_option, json_option, option
from batchcrew.cli.running import overrides, settings_options
from batchcrew.cli.sources import consent_options, source, source_options


@click.command()
@source_options
@consent_options
@jobfile_ledger_option
@settings_options
@option("--offline", is_flag=True, help="Leave the crews alone: read the files and the ledger only.")
@json_option
def command(jobfile: Path | None, *, ledger: Path | None, offline: bool, as_json: bool, **options: Any) -> int:
    """Read JOBFILE completely, ask each crew for its inputs and print the plan of a run. Kicks nothing off.

    It also prints how each rows file is read (rows, encoding, delimiter, columns), and questions about what looks wrong
    in it and may be right, such as a first line that looks like a row. A question changes no exit code.

    Exit 2 when the file is wrong or jobs are missing inputs, 5 when a crew cannot be used, 3 when a run would stop
    before its first kickoff.
    """
    settings = overrides(options)
    jobs, ledger = source(jobfile, ledger, options, settings)
    return check_and_report(jobs, ledger, offline=offline, as_json=as_json)

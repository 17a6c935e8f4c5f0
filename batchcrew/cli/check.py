"""`batchcrew check`."""

import click

from batchcrew.cli.checking import check_and_report
from batchcrew.cli.options import json_option, option
from batchcrew.cli.sources import Target, jobfile_options


@click.command()
@jobfile_options(consent=True, settings=True)
@option("--offline", is_flag=True, help="Read only the files and the ledger; send no requests to the crews.")
@json_option
def command(*, target: Target, offline: bool, as_json: bool) -> int:
    """Read all of JOBFILE, request each crew's list of inputs, and print what a run would do and cost. Start nothing.

    The output also shows how each rows file is read (rows, encoding, delimiter, columns), and questions about what may
    be wrong in it, such as a first line that looks like a row. Questions do not change the exit code.

    Exit 2 if the file is invalid or jobs are missing inputs, 5 if a crew is unusable, 3 if a run would stop before its
    first kickoff.
    """
    return check_and_report(target, offline=offline, as_json=as_json)

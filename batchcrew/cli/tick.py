"""`batchcrew tick`."""

import click

from batchcrew.app.run import RunRequest
from batchcrew.cli.program import current_program
from batchcrew.cli.running import Reporting, reporting_options, run_and_report
from batchcrew.cli.sources import Target, jobfile_options


@click.command()
@jobfile_options(consent=True, settings=True)
@reporting_options
def command(*, target: Target, reporting: Reporting) -> int:
    """Do the work of JOBFILE's batch that is due now, then exit.

    A tick polls the executions that are due, records their results and starts jobs where slots are free. Called by
    cron every minute, ticks finish the batch without a resident process, with the same guarantees and limits as `run`.

    Exit 3 while work is left.
    """
    request = RunRequest(source=target.source, ledger=target.ledger, once=True, program=current_program())
    return run_and_report(request, reporting)

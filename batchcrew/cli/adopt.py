"""`batchcrew adopt`."""

import sys
from pathlib import Path

import click

from batchcrew.app.adopt import adopt
from batchcrew.app.run import RunRequest
from batchcrew.base.clock import SystemClock
from batchcrew.cli.interruption import interrupt
from batchcrew.cli.loop import call
from batchcrew.cli.options import option
from batchcrew.cli.program import current_program
from batchcrew.cli.running import Reporting, run_and_report
from batchcrew.cli.signals import with_signals
from batchcrew.cli.sources import Target, jobfile_options
from batchcrew.engine import Stop
from batchcrew.progress.quiet import QuietProgress


@click.command()
@jobfile_options()
@option(
    "--csv",
    "ids",
    required=True,
    envvar="BATCHCREW_CSV",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV file that lists the executions, with the columns job_id,kickoff_id.",
)
def command(*, target: Target, ids: Path) -> int:
    """Record executions of JOBFILE's jobs that another script started (all or none), and watch them until they end.

    No job is started; `batchcrew run` later starts the jobs that are left.
    """
    number = call(_adopt(target, ids))
    click.echo(f"{number} {'execution' if number == 1 else 'executions'} adopted", err=True)
    request = RunRequest(source=target.source, ledger=target.ledger, limit=0, program=current_program())
    return run_and_report(request, Reporting())


async def _adopt(target: Target, ids: Path) -> int:
    stop = Stop()
    work = adopt(
        target.source,
        ids,
        ledger=target.ledger,
        stop=stop,
        clock=SystemClock(),
        observe=QuietProgress(sys.stderr).observe,
        program=current_program(),
    )
    return await with_signals(work, stop, after=interrupt)

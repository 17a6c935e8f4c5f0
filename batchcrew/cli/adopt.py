"""`batchcrew adopt`."""

import sys
from pathlib import Path
from typing import Any

import click

from batchcrew.app.adopt import adopt
from batchcrew.app.run import RunRequest
from batchcrew.app.wiring import Source
from batchcrew.base.clock import SystemClock
from batchcrew.cli.interruption import interrupt
from batchcrew.cli.loop import call
from batchcrew.cli.options import jobfile_ledger_option, option
from batchcrew.cli.program import current_program
from batchcrew.cli.running import Reporting, run_and_report
from batchcrew.cli.signals import with_signals
from batchcrew.cli.sources import source, source_options
from batchcrew.engine import Stop
from batchcrew.progress.quiet import QuietProgress


@click.command()
@source_options
@option(
    "--csv",
    "ids",
    required=True,
    envvar="BATCHCREW_CSV",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV file that lists the executions, with the columns job_id,kickoff_id.",
)
@jobfile_ledger_option
def command(jobfile: Path | None, *, ids: Path, ledger: Path | None, **options: Any) -> int:
    """Record executions of JOBFILE's jobs that another script started (all or none), and watch them until they end.

    No job is started; `batchcrew run` later starts the jobs that are left.
    """
    jobs, ledger = source(jobfile, ledger, options, {})
    number = call(_adopt(jobs, ids, ledger))
    click.echo(f"{number} {'execution' if number == 1 else 'executions'} adopted", err=True)
    return run_and_report(RunRequest(source=jobs, ledger=ledger, limit=0, program=current_program()), Reporting())


async def _adopt(jobs: Source, ids: Path, ledger: Path | None) -> int:
    stop = Stop()
    observe = QuietProgress(sys.stderr).observe
    work = adopt(jobs, ids, ledger=ledger, stop=stop, clock=SystemClock(), observe=observe, program=current_program())
    return await with_signals(work, stop, after=interrupt)

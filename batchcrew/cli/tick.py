"""`batchcrew tick`."""

from pathlib import Path
from typing import Any

import click

from batchcrew.app.run import RunRequest
from batchcrew.cli.options import jobfile_ledger_option
from batchcrew.cli.program import current_program
from batchcrew.cli.running import Reporting, overrides, reporting_options, run_and_report, settings_options
from batchcrew.cli.sources import consent_options, source, source_options


@click.command()
@source_options
@consent_options
@jobfile_ledger_option
@settings_options
@reporting_options
def command(
    jobfile: Path | None,
    *,
    ledger: Path | None,
    monitor: str | None,
    quiet: bool,
    log_format: str,
    as_json: bool,
    **options: Any,
) -> int:
    """Do the work of JOBFILE's batch that is due now, then exit.

    A tick polls the executions that are due, records their results and starts jobs where slots are free. Called by
    cron every minute, ticks finish the batch without a resident process, with the same guarantees and limits as `run`.

    Exit 3 while work is left.
    """
    settings = overrides(options)
    jobs, ledger = source(jobfile, ledger, options, settings)
    request = RunRequest(source=jobs, ledger=ledger, once=True, program=current_program())
    return run_and_report(request, Reporting(quiet=quiet, log_format=log_format, as_json=as_json, monitor=monitor))

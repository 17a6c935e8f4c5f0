"""`batchcrew run`."""

from pathlib import Path
from typing import Any

import click

from batchcrew.app.run import RunRequest
from batchcrew.cli.checking import check_and_report
from batchcrew.cli.options import jobfile_ledger_option, option
from batchcrew.cli.program import current_program
from batchcrew.cli.running import Reporting, overrides, reporting_options, run_and_report, settings_options
from batchcrew.cli.sources import consent_options, source, source_options


@click.command()
@source_options
@consent_options
@jobfile_ledger_option
@settings_options
@option(
    "--limit",
    type=click.IntRange(min=1),
    help="Maximum number of kickoffs in this run, in addition to the job file's limits.",
)
@option("--watch-only", is_flag=True, help="Start no jobs; only watch the executions in progress until they end.")
@option("--retry-failed", is_flag=True, help="Reset failed jobs to pending first, so that they run again.")
@option("--dry-run", is_flag=True, help="Print the plan and its cost, as `check` does, and start nothing.")
@option(
    "--drain",
    is_flag=True,
    help="On the first signal, wait for the executions in progress to end, instead of leaving them to the next run.",
)
@reporting_options
def command(
    jobfile: Path | None,
    *,
    ledger: Path | None,
    limit: int | None,
    watch_only: bool,
    retry_failed: bool,
    dry_run: bool,
    drain: bool,
    monitor: str | None,
    quiet: bool,
    log_format: str,
    as_json: bool,
    **options: Any,
) -> int:
    """Start or resume the batch of JOBFILE (.yaml, .json, .csv, .tsv or .jsonl).

    After any interruption, run the same command again: it resumes where it stopped.
    """
    settings = overrides(options)
    jobs, ledger = source(jobfile, ledger, options, settings)
    if dry_run:
        return check_and_report(
            jobs, ledger, offline=False, as_json=as_json, retry_failed=retry_failed, limit=0 if watch_only else limit
        )
    request = RunRequest(
        source=jobs,
        ledger=ledger,
        limit=0 if watch_only else limit,
        retry_failed=retry_failed,
        program=current_program(),
    )
    reporting = Reporting(quiet=quiet, log_format=log_format, as_json=as_json, monitor=monitor)
    return run_and_report(request, reporting, drain=drain)

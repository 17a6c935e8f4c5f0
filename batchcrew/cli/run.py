"""`batchcrew run`."""

from dataclasses import replace

import click

from batchcrew.app.run import RunRequest
from batchcrew.cli.options import option
from batchcrew.cli.program import current_program
from batchcrew.cli.running import Reporting, reporting_options, run_and_report
from batchcrew.cli.sources import Target, jobfile_options
from batchcrew.reports.commands import quoted


@click.command()
@jobfile_options(consent=True, settings=True)
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
@option(
    "--wait",
    is_flag=True,
    envvar="BATCHCREW_WAIT",
    help="Stay while jobs wait for human input, instead of ending when only such jobs are left.",
)
@option(
    "--webhook-listen",
    metavar="HOST:PORT",
    help="Address on which to receive webhooks of crews, such as 127.0.0.1:8787; port 0 picks a free one.",
)
@option(
    "--ui",
    "with_page",
    is_flag=True,
    envvar="BATCHCREW_UI",
    help="Also serve the live page (`batchcrew ui`) until the run ends.",
)
@option("--webhook-url", metavar="URL", help="URL at which crews reach that address. Default: the address itself.")
@reporting_options
def command(
    *,
    target: Target,
    limit: int | None,
    watch_only: bool,
    retry_failed: bool,
    dry_run: bool,
    drain: bool,
    wait: bool,
    webhook_listen: str | None,
    webhook_url: str | None,
    with_page: bool,
    reporting: Reporting,
) -> int:
    """Start or resume the batch of JOBFILE (.yaml, .json, .csv, .tsv or .jsonl).

    After any interruption, run the same command again: it resumes where it stopped.
    """
    limit = 0 if watch_only else limit
    if dry_run:
        from batchcrew.cli.checking import check_and_report  # noqa: PLC0415 - few runs need the plan

        return check_and_report(
            target, offline=False, as_json=reporting.as_json, retry_failed=retry_failed, limit=limit
        )
    webhooks = {"--webhook-listen": webhook_listen, "--webhook-url": webhook_url}
    given = tuple(f"{name} {quoted(value)}" for name, value in webhooks.items() if value is not None)
    request = RunRequest(
        source=replace(target.source, given=(*target.source.given, *given)),
        ledger=target.ledger,
        limit=limit,
        retry_failed=retry_failed,
        wait=wait,
        program=current_program(),
        webhook_listen=webhook_listen,
        webhook_url=webhook_url,
    )
    if not with_page:
        return run_and_report(request, reporting, drain=drain)
    from batchcrew.cli.page_of_run import page_of_run  # noqa: PLC0415 - few runs have a page

    with page_of_run(target, reporting.page_started, reporting.warn):
        return run_and_report(request, reporting, drain=drain)

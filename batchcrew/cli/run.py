"""`batchcrew run`."""

import asyncio
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import click

from batchcrew.cli.loop import call, with_signals
from batchcrew.cli.options import json_option, ledger_option, option, source, source_options
from batchcrew.clock import SystemClock
from batchcrew.engine import Stop
from batchcrew.errors import BatchBusy, ExitCode
from batchcrew.models import RunResult
from batchcrew.reports.as_json import json_document, summary_json
from batchcrew.reports.summary import exit_code, needs_person, render_summary
from batchcrew.runner import RunRequest, Surroundings, run_batch
from batchcrew.wiring import ProgressKind, open_progress

OVERRIDES = (
    "concurrency",
    "rate",
    "timeout",
    "max_runtime",
    "delivery",
    "stop_after_failures",
    "canary",
    "max_kickoffs",
)


@click.command()
@source_options
@ledger_option
@option("--concurrency", type=int, help="Executions in flight.")
@option("--rate", help="Kickoffs per second, minute or hour: 2/s, 60/m.")
@option("--timeout", help="Longest time of one execution: 30m.")
@option("--max-runtime", help="Stop starting after this time; the next run goes on.")
@option(
    "--delivery",
    type=click.Choice(["at_least_once", "at_most_once"]),
    help="What becomes of a kickoff in doubt: sent again, or held for a person.",
)
@option("--stop-after-failures", help="Stop starting after so many failed jobs (20) or such a share (10%).")
@option("--canary", type=click.IntRange(min=1), help="So many jobs first; the rest start when these have succeeded.")
@option("--max-kickoffs", type=click.IntRange(min=1), help="Most kickoffs of this run.")
@option("--limit", type=click.IntRange(min=1), help="Kick off at most so many in this run.")
@option("--watch-only", is_flag=True, help="Kick nothing off: only watch what is in flight to its end.")
@option("--retry-failed", is_flag=True, help="Put failed jobs back first.")
@option("--drain", is_flag=True, help="On the first signal, wait for the executions in flight.")
@option(
    "--ping",
    "monitor",
    envvar="BATCHCREW_PING",
    help="URL of a monitor (healthchecks style): told of start, success and failure.",
)
@option("-q", "--quiet", is_flag=True, help="Print only what needs a person: cron mails only then.")
@option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one object a line on stderr.",
)
@json_option
def command(
    jobfile: Path,
    *,
    ledger: Path,
    limit: int | None,
    watch_only: bool,
    retry_failed: bool,
    drain: bool,
    monitor: str | None,
    quiet: bool,
    log_format: str,
    as_json: bool,
    **options: Any,
) -> int:
    """Start or continue the batch of JOBFILE (.yaml, .json, .csv, .tsv or .jsonl).

    Run the same command again after any interruption: it goes on where it was.
    """
    overrides = {name: options.pop(name) for name in OVERRIDES}
    request = RunRequest(
        source=source(jobfile, options, overrides),
        ledger=ledger,
        limit=0 if watch_only else limit,
        retry_failed=retry_failed,
    )
    return run_and_report(request, quiet=quiet, log_format=log_format, as_json=as_json, drain=drain, monitor=monitor)


def run_and_report(
    request: RunRequest,
    *,
    quiet: bool = False,
    log_format: str = "text",
    as_json: bool = False,
    drain: bool = False,
    monitor: str | None = None,
) -> int:
    """Run a batch, print its summary, and say how it ended as an exit code."""
    kind: ProgressKind = "quiet" if quiet else "json" if log_format == "json" else "auto"
    try:
        result = call(_run(request, kind, drain=drain, monitor=monitor))
    except BatchBusy:
        if quiet:  # the other run goes on: nothing for a person
            return ExitCode.BUSY
        raise
    except asyncio.CancelledError:
        click.echo("batchcrew: ended at once; run it again to go on", err=True)
        return ExitCode.STOPPED
    if as_json:
        click.echo(json_document(summary_json(result)))
    elif kind == "json":
        click.echo(json.dumps({"event": "run_ended", **summary_json(result)}), err=True)
    elif not quiet or needs_person(result):
        click.echo(render_summary(result), err=True)
    return exit_code(result)


async def _run(request: RunRequest, kind: ProgressKind, *, drain: bool, monitor: str | None) -> RunResult:
    clock, stop = SystemClock(), Stop()
    with open_progress(sys.stderr, clock=clock, environ=os.environ, kind=kind) as progress:
        around = Surroundings(stop=stop, clock=clock, chance=random.Random(), observe=progress.observe, monitor=monitor)
        return await with_signals(run_batch(request, around), stop, drain=drain)

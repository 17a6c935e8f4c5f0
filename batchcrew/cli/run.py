"""`batchcrew run`."""

import asyncio
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
from batchcrew.errors import ExitCode
from batchcrew.models import RunResult
from batchcrew.reports.as_json import json_document, summary_json
from batchcrew.reports.summary import exit_code, render_summary
from batchcrew.runner import RunRequest, Surroundings, run_batch
from batchcrew.wiring import open_progress

OVERRIDES = ("concurrency", "rate", "timeout", "max_runtime", "delivery", "stop_after_failures")


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
@option("--limit", type=click.IntRange(min=1), help="Kick off at most so many in this run.")
@option("--retry-failed", is_flag=True, help="Put failed jobs back first.")
@json_option
def command(
    jobfile: Path, *, ledger: Path, limit: int | None, retry_failed: bool, as_json: bool, **options: Any
) -> int:
    """Start or continue the batch of JOBFILE (.yaml, .json, .csv, .tsv or .jsonl).

    Run the same command again after any interruption: it goes on where it was.
    """
    overrides = {name: options.pop(name) for name in OVERRIDES}
    request = RunRequest(
        source=source(jobfile, options, overrides), ledger=ledger, limit=limit, retry_failed=retry_failed
    )
    try:
        result = call(_run(request))
    except asyncio.CancelledError:
        click.echo("batchcrew: ended at once; run it again to go on", err=True)
        return ExitCode.STOPPED
    if as_json:
        click.echo(json_document(summary_json(result)))
    else:
        click.echo(render_summary(result), err=True)
    return exit_code(result)


async def _run(request: RunRequest) -> RunResult:
    clock, stop = SystemClock(), Stop()
    with open_progress(sys.stderr, clock=clock, environ=os.environ) as progress:
        around = Surroundings(stop=stop, clock=clock, chance=random.Random(), observe=progress.observe)
        return await with_signals(run_batch(request, around), stop)

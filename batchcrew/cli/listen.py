"""`batchcrew listen`."""

import asyncio
from datetime import datetime
from pathlib import Path

import click

from batchcrew.app.ledger_location import Search, find_ledger
from batchcrew.app.listen import ListenRequest, listen
from batchcrew.app.webhooks import with_options
from batchcrew.app.wiring import Source, ledger_of
from batchcrew.base.clock import SystemClock
from batchcrew.base.quantities import DEFAULT_LEDGER
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import existing, jobfile_ledger_option, option
from batchcrew.cli.signals import handle_in_loop
from batchcrew.cli.sources import environment
from batchcrew.config.webhooks import WebhookSettings
from batchcrew.jobfile import JobFileOptions
from batchcrew.model.webhook import WebhookCounts
from batchcrew.reports.webhooks import webhooks_line

SUFFIXES = frozenset({".yaml", ".yml", ".json", ".csv", ".tsv", ".jsonl", ".ndjson"})


@click.command()
@click.argument("jobfile_or_batch", metavar="JOBFILE|BATCH")
@option(
    "--webhook-listen",
    metavar="HOST:PORT",
    help="Address on which to receive webhooks. Default: `webhooks.listen` of the job file.",
)
@jobfile_ledger_option
def command(jobfile_or_batch: str, *, webhook_listen: str | None, ledger: Path | None) -> None:
    """Receive webhooks of a batch between its ticks, or while its run does not listen.

    They are stored in the ledger, where the next tick, or the run in progress, reads them. It starts nothing and polls
    nothing. Stop it with Ctrl-C or SIGTERM.
    """
    counts = call(_listen(jobfile_or_batch, ledger, webhook_listen))
    say(webhooks_line(counts) or "webhooks: none received")


async def _listen(name: str, ledger: Path | None, address: str | None) -> WebhookCounts:
    clock, stopped = SystemClock(), asyncio.Event()
    settings, batch = WebhookSettings(), name
    place: Path
    if Path(name).suffix.lower() in SUFFIXES:
        today = datetime.now().astimezone().date()
        source = Source(path=Path(name), environ=environment(), today=today, options=JobFileOptions())
        jobfile, _ = await asyncio.to_thread(source.load)
        settings, batch = jobfile.webhooks, jobfile.batch
        place = await ledger_of(jobfile, ledger, clock=clock, warn=say)
    else:
        place = await asyncio.to_thread(_found_ledger) if ledger is None else ledger
    request = ListenRequest(
        ledger=await asyncio.to_thread(existing, place),
        batch=batch,
        settings=with_options(settings, listen=address, url=None),
    )
    handle_in_loop(lambda number: stopped.set())
    return await listen(request, stopped, clock=clock, started=lambda url: say(f"listening for webhooks on {url}"))


def _found_ledger() -> Path:
    return find_ledger(Search.here()) or Path(DEFAULT_LEDGER)

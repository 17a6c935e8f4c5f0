"""`batchcrew show`."""

import shutil
from pathlib import Path

import click

from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_argument, existing, json_option, known_batch, ledger_option
from batchcrew.clock import SystemClock
from batchcrew.ledger import LedgerReader
from batchcrew.models import JobDetail
from batchcrew.reports.as_json import job_json, json_document
from batchcrew.reports.tables import render_job


@click.command()
@batch_argument
@click.argument("job")
@ledger_option
@json_option
def command(batch: str, job: str, *, ledger: Path, as_json: bool) -> None:
    """One JOB of BATCH: its inputs, attempts, tasks, output and errors."""
    detail = call(_detail(existing(ledger), batch, job))
    if as_json:
        click.echo(json_document(job_json(detail)))
    else:
        click.echo(render_job(detail, width=shutil.get_terminal_size().columns))


async def _detail(path: Path, batch: str, job: str) -> JobDetail:
    async with LedgerReader(path, clock=SystemClock()) as ledger:
        return await ledger.job(await known_batch(ledger, batch), job)

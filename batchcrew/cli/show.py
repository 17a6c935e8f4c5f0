"""`batchcrew show`."""

import shutil
from pathlib import Path

import click

from batchcrew.app.batches import known_batch
from batchcrew.app.next_poll import with_next_poll
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import NotInLedger
from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_argument, existing, json_option, ledger_option
from batchcrew.cli.program import current_program
from batchcrew.ledger import LedgerReader
from batchcrew.model.views import JobDetail
from batchcrew.reports.as_json import job_json, json_document
from batchcrew.reports.commands import export_command
from batchcrew.reports.job_detail import render_job
from batchcrew.reports.summary import job_commands


@click.command()
@batch_argument
@click.argument("job")
@ledger_option
@json_option
def command(batch: str, job: str, *, ledger: Path, as_json: bool) -> None:
    """Show one JOB of BATCH: its inputs, attempts, tasks, output and errors."""
    detail = call(_detail(existing(ledger), batch, job))
    if as_json:
        click.echo(json_document(job_json(detail)))
    else:
        click.echo(render_job(detail, width=shutil.get_terminal_size().columns))
        for purpose, command in job_commands(detail, str(ledger), current_program()):
            click.echo(f"  {purpose}: {command}")


async def _detail(path: Path, batch: str, job: str) -> JobDetail:
    clock = SystemClock()
    async with LedgerReader(path, clock=clock) as ledger:
        key = await known_batch(ledger, batch)
        try:
            return await with_next_poll(ledger, key, await ledger.job(key, job), clock.now())
        except NotInLedger as error:
            export = export_command(batch, str(path), current_program())
            raise NotInLedger(f"{error}; all jobs with their results: `{export}`") from error

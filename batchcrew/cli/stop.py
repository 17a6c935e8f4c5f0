"""`batchcrew stop`."""

from pathlib import Path

import click

from batchcrew.app.control import stop
from batchcrew.cli.control import control_request, reason_option, shown
from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_option, ledger_option, one_batch
from batchcrew.cli.output import confirm


@click.command()
@click.argument("batch", required=False)
@batch_option
@reason_option
@ledger_option
def command(batch: str | None, *, named_batch: str | None, reason: str | None, ledger: Path) -> None:
    """End the run of BATCH that is in progress, as Ctrl-C does: it exits with 3, and the next run resumes.

    Later runs are not affected. To keep cron from starting jobs, use `pause`.
    """
    request = control_request(one_batch(batch, named_batch), ledger, reason)
    if call(stop(request)):
        confirm(f"the run of {shown(request.batch)} ends now; its executions are left to the next run")
    else:
        confirm(f"no run of {shown(request.batch)} is in progress; nothing was stopped")

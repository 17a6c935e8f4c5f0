"""`batchcrew stop`."""

from pathlib import Path

import click

from batchcrew.app.control import Stopped, stop
from batchcrew.cli.control import confirm_as_json, control_request, reason_option, shown
from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_option, json_option, ledger_option, one_batch
from batchcrew.cli.output import confirm


@click.command()
@click.argument("batch", required=False)
@batch_option
@reason_option
@ledger_option
@json_option
def command(batch: str | None, *, named_batch: str | None, reason: str | None, ledger: Path, as_json: bool) -> None:
    """End the run of BATCH that is in progress, as Ctrl-C does: it exits with 3, and the next run resumes.

    Later runs are not affected. To keep cron from starting jobs, use `pause`.
    """
    request = control_request(one_batch(batch, named_batch), ledger, reason)
    done = call(stop(request))
    if as_json:
        confirm_as_json("stop", request, changed=done is not Stopped.NOTHING, reading=done is Stopped.WHEN_IT_HAS_READ)
        return
    match done:
        case Stopped.NOTHING:
            confirm(f"no run of {shown(request.batch)} is in progress; nothing was stopped")
        case Stopped.NOW:
            confirm(f"the run of {shown(request.batch)} ends now; its executions are left to the next run")
        case Stopped.WHEN_IT_HAS_READ:
            confirm(f"the run of {shown(request.batch)} still reads its job file; it ends then, and starts nothing")

"""`batchcrew unpause`."""

from pathlib import Path

import click

from batchcrew.app.control import unpause
from batchcrew.cli.control import confirm_as_json, control_request, reason_option, shown
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import batch_option, json_option, ledger_option, one_batch
from batchcrew.cli.output import confirm


@click.command()
@click.argument("batch", required=False)
@batch_option
@reason_option
@ledger_option
@json_option
def command(batch: str | None, *, named_batch: str | None, reason: str | None, ledger: Path, as_json: bool) -> None:
    """Start jobs of BATCH again after `pause`, in the run in progress and in later ones."""
    request = control_request(one_batch(batch, named_batch), ledger, reason)
    done = call(unpause(request))
    if as_json:
        confirm_as_json("unpause", request, changed=done.before is not None, running=done.running)
        return
    if done.before is None:
        confirm(f"{shown(request.batch)} is not paused; nothing was changed")
        return
    confirm(f"{shown(request.batch)} is not paused any more")
    say("the run in progress continues" if done.running else "no run is in progress: the next one starts jobs again")

"""`batchcrew pause`."""

from pathlib import Path

import click

from batchcrew.app.control import pause
from batchcrew.cli.control import command_of, confirm_as_json, control_request, reason_option, shown
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
    """Start no more jobs of BATCH, in the run in progress and in later ones, until `unpause`.

    Executions in progress are watched to their end. A run with only pending jobs left ends with exit 3.
    """
    request = control_request(one_batch(batch, named_batch), ledger, reason)
    done = call(pause(request))
    if as_json:
        confirm_as_json("pause", request, changed=done.before is None, running=done.running)
        return
    if done.before is not None:
        confirm(f"{shown(request.batch)} is paused already, {shown(str(done.before))}; nothing was changed")
        return
    confirm(f"{shown(request.batch)} is paused")
    if done.running:
        say("the run in progress starts nothing more, and watches its executions to their end")
    say(f"to start jobs again: {command_of('unpause', request)}")

"""Shared code of the commands `pause`, `unpause`, `set`, `cancel` and `stop`."""

from pathlib import Path
from typing import Any

from batchcrew.app.control import ControlRequest, in_force
from batchcrew.base.clock import SystemClock
from batchcrew.base.text import clean_name
from batchcrew.cli.loop import call
from batchcrew.cli.options import existing, option
from batchcrew.cli.output import confirm
from batchcrew.cli.program import current_program
from batchcrew.reports.as_json import json_document
from batchcrew.reports.commands import control_command
from batchcrew.reports.control import done_json

reason_option = option("--reason", metavar="TEXT", help="Why, for the ledger; `status` and `runs` show it.")
_NAME_COLUMNS = 60


def control_request(batch: str, ledger: Path, reason: str | None = None) -> ControlRequest:
    """Return the request of a command."""
    return ControlRequest(ledger=existing(ledger), batch=batch, clock=SystemClock(), reason=reason)


def shown(batch: str) -> str:
    """Return the name of a batch as a clean part of a line."""
    return clean_name(batch, _NAME_COLUMNS)


def command_of(name: str, request: ControlRequest, *options: str) -> str:
    """Return a command for the same batch."""
    return control_command(name, request.batch, str(request.ledger), *options, program=current_program())


def confirm_as_json(command: str, request: ControlRequest, *, changed: bool, **more: Any) -> None:
    """Print the result of a command, and the commands in force for the batch (see `done_json`)."""
    control = call(in_force(request))
    confirm(json_document(done_json(command, request.batch, control, changed=changed, **more)))

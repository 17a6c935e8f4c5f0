"""Render the commands that operators gave to a batch, for `status`, `runs` and `check`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from batchcrew.base.clock import from_text
from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_text
from batchcrew.model.control import Control, ControlLine, Given
from batchcrew.reports.commands import PROGRAM, control_command

_COLUMNS = 300


def written(value: Any) -> str:
    """Return a set value as the command line writes it."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {each}" for name, each in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)


def control_lines(
    control: Control, batch: str, now: datetime, ledger: str = "", program: str = PROGRAM
) -> Iterator[str]:
    """Yield a line for a pause, for the settings of each `set`, and for executions that are cancelled.

    Args:
        now: aware.
        ledger: as commands name it.
    """
    if control.pause is not None:
        unpause = control_command("unpause", batch, ledger, program=program)
        yield f"paused {_when(control.pause, now)}; to start jobs again: `{unpause}`"
    by_given: dict[Given, list[str]] = {}
    for name, each in control.settings.items():
        by_given.setdefault(each.given, []).append(f"{name}={clean_text(written(each.value), limit=_COLUMNS)}")
    for given, shown in by_given.items():
        reset = control_command("set", batch, ledger, "--reset", program=program)
        yield f"set {_when(given, now)}: {', '.join(shown)}; to reset: `{reset}`"
    if control.letting_go:
        jobs, them = ("1 job is", "it") if control.letting_go == 1 else (f"{control.letting_go} jobs are", "them")
        yield f"{jobs} cancelled, but the run in progress still watches {them}"


def pause_words(control: Control) -> list[str]:
    """Return `paused by alice@host (reason)` if the batch is paused."""
    return [] if control.pause is None else [clean_text(f"paused {control.pause}", limit=_COLUMNS)]


def command_text(line: ControlLine) -> str:
    """Return one clean line with the change of a command, its operator and its reason."""
    value = line.value
    match line.command:
        case "set" if isinstance(value, Mapping):
            what = ", ".join(f"{name}={written(each)}" for name, each in value.items())
        case "reset" if isinstance(value, list):
            what = ", ".join(map(str, value))
        case "cancel" if isinstance(value, Mapping):
            what = f"{value.get('pending', 0)} pending, {value.get('in_progress', 0)} in progress"
        case _:
            what = ""
    return clean_text(f"{what} {line.given}".strip(), limit=_COLUMNS)


def control_json(control: Control) -> dict[str, Any]:
    """Return `{"paused", "settings", "letting_go"}`.

    `paused` is `{"by", "at", "reason"}` or null, and `settings` has `{"value", "by", "at", "reason"}` by name.
    """
    return {
        "paused": None if control.pause is None else asdict(control.pause),
        "settings": {name: {"value": each.value, **asdict(each.given)} for name, each in control.settings.items()},
        "letting_go": control.letting_go,
    }


def done_json(command: str, batch: str, control: Control, *, changed: bool, **more: Any) -> dict[str, Any]:
    """Return `{"batch", "command", "changed", …, "control"}`, where `control` is what applies to the batch now."""
    return {"batch": batch, "command": command, "changed": changed, **more, "control": control_json(control)}


def command_json(line: ControlLine) -> dict[str, Any]:
    """Return `{"command", "value", "by", "at", "reason"}`."""
    return {"command": line.command, "value": line.value, **asdict(line.given)}


def _when(given: Given, now: datetime) -> str:
    seconds = max(0.0, (now - from_text(given.at)).total_seconds())
    return f"{clean_text(str(given), limit=_COLUMNS)}, {format_duration(seconds)} ago"

"""The settings of a batch that `batchcrew set` has replaced."""

from collections.abc import Callable, Mapping
from typing import Any

from batchcrew.base.errors import UsageError
from batchcrew.config.crews import CrewSettings
from batchcrew.config.money import check_max_cost
from batchcrew.config.settings import RunSettings, with_set_values
from batchcrew.ledger import Reading
from batchcrew.model.control import Control
from batchcrew.reports.commands import control_command
from batchcrew.reports.control import written


async def control_of(ledger: Reading, batch: str) -> Control:
    """Return what applies to the batch of that name, which may be new."""
    key = await ledger.batch(batch)
    return Control() if key is None else await ledger.control(key)


def settings_in_force(
    settings: RunSettings,
    overrides: Mapping[str, Any],
    warn: Callable[[str], None],
    crews: Mapping[str, CrewSettings],
) -> RunSettings:
    """Return the settings of the job file and the command line with the values that `set` has replaced.

    Values that this version of batchcrew does not accept are reported and not used.
    """
    try:
        changed = with_set_values(settings, overrides)
        check_max_cost(changed.max_cost, crews)
        return changed
    except UsageError as error:
        warn(f"the settings of `set` are not used: {error}")
        return settings


def set_lines(control: Control, batch: str, ledger: str, program: str) -> list[str]:
    """Return a sentence for each setting that `set` has replaced.

    Args:
        ledger: as commands name it.
    """
    reset = control_command("set", batch, ledger, "--reset", program=program)
    return [
        f"{name}={written(each.value)} was set {each.given} and replaces the value of the job file and of options;"
        f" to reset it: `{reset}`"
        for name, each in control.settings.items()
    ]


def pause_lines(control: Control, batch: str, ledger: str, program: str) -> list[str]:
    """Return a sentence about the batch's pause, if it is paused.

    Args:
        ledger: as commands name it.
    """
    if control.pause is None:
        return []
    unpause = control_command("unpause", batch, ledger, program=program)
    return [f"paused {control.pause}: a run starts no job before `{unpause}`"]

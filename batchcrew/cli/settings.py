"""The options that override settings of the job file's `run:` section. They are derived from the declarations there."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from batchcrew.cli.options import option
from batchcrew.config.declarations import Setting
from batchcrew.config.settings import settings_with_option

Command = TypeVar("Command", bound=Callable[..., Any])


def settings_options(command: Command) -> Command:
    """Add an option for each setting that is declared to have one."""
    for setting in reversed(settings_with_option().values()):
        command = option(
            f"--{setting.name.replace('_', '-')}",
            type=_type(setting),
            help=f"{setting.summary} Default: the job file's value, else {setting.default}.",
        )(command)
    return command


def _type(setting: Setting) -> click.ParamType[Any]:
    if setting.choices:
        return click.Choice(setting.choices)
    if setting.option is not None and setting.option.number_only:
        return click.IntRange(min=1)
    return click.INT if setting.is_number else click.STRING

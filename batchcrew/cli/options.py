"""Options that commands share, and the rule that every option has a `BATCHCREW_…` variable."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from batchcrew.app.ledger_location import Search, exists, find_ledger, is_here
from batchcrew.base.errors import NotInLedger, UsageError
from batchcrew.base.quantities import DEFAULT_LEDGER, parse_size
from batchcrew.base.text import one_line
from batchcrew.cli.loop import say

Command = TypeVar("Command", bound=Callable[..., Any])


class Option(click.Option):
    """An option whose variable is `BATCHCREW_` and its name, shown in its help."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        settings.setdefault("show_envvar", True)
        super().__init__(*arguments, **settings)
        if self.envvar is None and self.name is not None:
            self.envvar = f"BATCHCREW_{self.name.upper()}"


class Size(click.ParamType):  # type: ignore[type-arg]  # generic only in click's latest types
    """A number of bytes, such as `10MB` or `64MiB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """Return `click.option` with its environment variable."""
    return click.option(*names, cls=Option, **settings)


def _found(context: click.Context, parameter: click.Parameter, given: Path | None) -> Path:
    """Return the ledger that is given, else the nearest one from the current folder upward."""
    if given is not None or context.resilient_parsing:
        return given or Path(DEFAULT_LEDGER)
    ledger = find_ledger(Search.here())
    if ledger is not None and not is_here(ledger):
        say(f"ledger: {one_line(str(ledger))}")
    return ledger or Path(DEFAULT_LEDGER)


ledger_option = option(
    "--ledger",
    type=click.Path(path_type=Path),
    callback=_found,
    help=f"The SQLite file that records everything. Default: the nearest {DEFAULT_LEDGER} in this folder or above.",
)
jobfile_ledger_option = option(
    "--ledger",
    type=click.Path(path_type=Path),
    help="The SQLite file that records everything. Default: found from the job file and the current folder.",
)
stored_token_option = option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File that holds the crew's token. Default: the token of the batch's job file.",
)
json_option = option("--json", "as_json", is_flag=True, envvar="BATCHCREW_JSON", help="Print JSON on stdout.")
batch_argument = click.argument("batch")
batch_option = option(
    "--batch", "named_batch", envvar="BATCHCREW_BATCH", help="The name of the batch, instead of the argument BATCH."
)


def format_option(what: str, formats: Iterable[str], default: str, envvar: str) -> Callable[[Command], Command]:
    """Return `--format`, whose value is passed as `format_`.

    Args:
        what: the name of the thing that is written: `export`, `report`.
    """
    return option(
        "-f",
        "--format",
        "format_",
        type=click.Choice(tuple(formats)),
        envvar=envvar,
        help=f"Format of the {what}. Default: by the suffix of {default}.",
    )


def output_option(what: str, default: str, envvar: str = "BATCHCREW_OUTPUT") -> Callable[[Command], Command]:
    """Return `--output`, the file that is written.

    Args:
        default: the end of the help text, about `-` and the default.
    """
    return option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        envvar=envvar,
        help=f"File to write; it is replaced only once the {what} is complete. {default}",
    )


def one_batch(argument: str | None, named: str | None) -> str:
    """Return the batch that the argument BATCH or `--batch` names.

    The argument wins over the option's variable, as the option itself does.

    Raises:
        UsageError: neither is given, or both are.
    """
    if argument is not None and named is not None and not from_environment("named_batch"):
        raise UsageError("BATCH and --batch cannot be combined; give one of them")
    batch = named if argument is None else argument
    if batch is None:
        raise UsageError("missing BATCH (or --batch)")
    return batch


def batch_if_named(argument: str | None, named: str | None) -> str | None:
    """Return the batch as `one_batch` does; None if neither names one, which selects the batch that ran last.

    Raises:
        UsageError: both are given.
    """
    return None if argument is None and named is None else one_batch(argument, named)


def batch_and_jobs(argument: str | None, jobs: tuple[str, ...], named: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the batch and the jobs of a command with the arguments BATCH and JOBS and the option `--batch`.

    With `--batch` on the command line, every argument is a job.

    Raises:
        UsageError: no batch is given.
    """
    if named is not None and argument is not None and not from_environment("named_batch"):
        return named, (argument, *jobs)
    return one_batch(argument, named), jobs


def from_environment(parameter: str) -> bool:
    """Return whether the command got the option's value from its environment variable."""
    return click.get_current_context().get_parameter_source(parameter) is ParameterSource.ENVIRONMENT


def existing(ledger: Path) -> Path:
    """Return the ledger's path if the file exists.

    Raises:
        NotInLedger: the file was not found; reading commands do not create one.
        UsageError: the folder cannot be read.
    """
    if not exists(ledger):
        raise NotInLedger(f"ledger not found: {ledger}; run a batch first, or name the ledger with --ledger")
    return ledger

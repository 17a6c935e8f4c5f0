"""Options that commands share, and the rule that every option has a `BATCHCREW_…` variable."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from batchcrew.errors import NotInLedger, UsageError
from batchcrew.ledger import BatchKey, Ledger
from batchcrew.settings import DEFAULT_LEDGER
from batchcrew.wiring import Source

Command = TypeVar("Command", bound=Callable[..., Any])


class Option(click.Option):
    """An option whose variable is `BATCHCREW_` and its name, shown in its help."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        settings.setdefault("show_envvar", True)
        super().__init__(*arguments, **settings)
        if self.envvar is None and self.name is not None:
            self.envvar = f"BATCHCREW_{self.name.upper()}"


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """`click.option` with its variable."""
    return click.option(*names, cls=Option, **settings)


ledger_option = option(
    "--ledger",
    type=click.Path(path_type=Path),
    default=Path(DEFAULT_LEDGER),
    show_default=True,
    help="The SQLite file that records everything.",
)
json_option = option("--json", "as_json", is_flag=True, envvar="BATCHCREW_JSON", help="Print JSON on stdout.")
batch_argument = click.argument("batch")

_SOURCE_OPTIONS = [
    option("--crew-url", help="The crew's URL, over the job file's (a rows file takes $CREW_URL)."),
    option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File that holds the crew's token. A token itself is never an option: `ps` would show it.",
    ),
    option("--encoding", help="Encoding of CSV and TSV files; UTF-8 if not said."),
    option("--delimiter", help="Delimiter of CSV files; detected if not said."),
    option("--allow-outside", is_flag=True, help="Let `rows:` name files outside the job file's folder."),
]


def source_options(command: Command) -> Command:
    """The job file's argument and what says how to read it."""
    for decorate in reversed(_SOURCE_OPTIONS):
        command = decorate(command)
    return click.argument("jobfile", type=click.Path(path_type=Path))(command)


def source(jobfile: Path, options: dict[str, Any], overrides: dict[str, Any]) -> Source:
    """The `Source` of a command's arguments; the environment is read here and nowhere else."""
    return Source(
        path=jobfile,
        environ=dict(os.environ),
        today=datetime.now().astimezone().date(),
        crew_url=options["crew_url"],
        crew_token=read_token(options["token_file"]),
        encoding=options["encoding"],
        delimiter=options["delimiter"],
        allow_outside=options["allow_outside"],
        overrides={name: value for name, value in overrides.items() if value is not None},
    )


def read_token(file: Path | None) -> str | None:
    """The token that a file holds.

    Raises:
        UsageError: it cannot be read or is empty.
    """
    if file is None:
        return None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {file}: {error}") from error
    if not token:
        raise UsageError(f"--token-file {file}: it is empty; write the crew's token into it")
    return token


def existing(ledger: Path) -> Path:
    """The ledger's path.

    Raises:
        NotInLedger: there is no such file; reading commands do not make one.
    """
    if not ledger.is_file():
        raise NotInLedger(f"there is no ledger at {ledger}: run a batch first, or name it with --ledger")
    return ledger


async def known_batch(ledger: Ledger, name: str) -> BatchKey:
    """The batch of that name.

    Raises:
        NotInLedger: the ledger has none; the message names those it has.
    """
    found = await ledger.batch(name)
    if found is None:
        names = [line.batch for line in await ledger.list()]
        known = f"it has {', '.join(names[:10])}" if names else "it is empty"
        raise NotInLedger(f"the ledger {ledger.path} has no batch {name!r}; {known}")
    return found

"""The job file's argument and the options that say how to read it."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from batchcrew.cli.options import option
from batchcrew.errors import UsageError
from batchcrew.wiring import Source

Command = TypeVar("Command", bound=Callable[..., Any])

_SOURCE_OPTIONS = [
    option("--crew-url", help="The crew's URL, over the job file's (a rows file takes $CREW_URL)."),
    option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File that holds the crew's token. A token itself is never an option: `ps` would show it.",
    ),
    option("--encoding", help="Encoding of CSV and TSV files; UTF-8 if not said."),
    option("--delimiter", help="Delimiter of CSV files; detected if not said."),
    option(
        "--date",
        type=click.DateTime(["%Y-%m-%d"]),
        metavar="YYYY-MM-DD",
        help="What {date} is in the job file: to finish an earlier day's batch. Today if not said.",
    ),
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
        today=(options["date"] or datetime.now().astimezone()).date(),
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

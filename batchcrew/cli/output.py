"""Find the terminal's width, and print messages whose loss does not change the exit code."""

import shutil
import sys

import click

from batchcrew.base.errors import OutputClosed, OutputError
from batchcrew.base.text import one_line
from batchcrew.cli.loop import say


def terminal_columns() -> int | None:
    """Return how wide the terminal on stdout is; None where stdout is a pipe or a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def confirm(text: str) -> None:
    """Print on stdout what was done. If that fails, print the error on stderr and continue."""
    try:
        click.echo(text)
    except OutputClosed:
        return
    except OutputError as error:
        say(f"batchcrew: {one_line(str(error))}")

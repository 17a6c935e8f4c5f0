"""Find the terminal's width, and print messages whose loss does not change the exit code."""

import shutil
import sys

import click

from batchcrew.base.errors import OutputClosed, OutputError
from batchcrew.base.text import one_line
from batchcrew.cli.colour import coloured, has_colour
from batchcrew.cli.loop import say


def terminal_columns() -> int | None:
    """Return how wide the terminal on stdout is; None where stdout is a pipe or a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_report(text: str) -> None:
    """Print a report on stdout, in colours if it is a terminal."""
    # click would remove colours that FORCE_COLOR requires
    click.echo(coloured(text, sys.stdout), color=has_colour(sys.stdout) or None)


def confirm(text: str) -> None:
    """Print on stdout what was done. If that fails, print the error on stderr and continue."""
    try:
        click.echo(text)
    except OutputClosed:
        return
    except OutputError as error:
        say(f"batchcrew: {one_line(str(error))}")

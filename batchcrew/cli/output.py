"""What commands print: how wide the terminal is, and messages that may be lost without changing the exit code."""

import shutil
import sys

import click

from batchcrew.base.errors import OutputClosed, OutputError
from batchcrew.cli.loop import say


def terminal_columns() -> int | None:
    """Return how wide the terminal on stdout is; None where stdout is a pipe or a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def confirm(text: str) -> None:
    """Print on stdout what was done. Where that cannot be written, stderr says so and nothing fails."""
    try:
        click.echo(text)
    except OutputClosed:
        return
    except OutputError as error:
        say(f"batchcrew: {error}")

"""Messages of a command that has done its work: they may be lost, and its exit code stays."""

import click

from batchcrew.cli.loop import say
from batchcrew.errors import OutputClosed, OutputError


def confirm(text: str) -> None:
    """Print on stdout what was done. Where that cannot be written, stderr says so and nothing fails."""
    try:
        click.echo(text)
    except OutputClosed:
        return
    except OutputError as error:
        say(f"batchcrew: {error}")

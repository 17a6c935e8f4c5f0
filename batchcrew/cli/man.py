"""`batchcrew man`."""

from datetime import datetime

import click

from batchcrew import __version__
from batchcrew.cli.help import SectionedGroup
from batchcrew.cli.manual import manual


@click.command()
@click.pass_context
def command(context: click.Context, /) -> None:
    """Print the manual page with every command, as roff: `batchcrew man | man -l -` shows it.

    To install it, write it to a folder of MANPATH, such as ~/.local/share/man/man1/batchcrew.1.
    """
    group = context.find_root().command
    assert isinstance(group, SectionedGroup)  # noqa: S101 - this is a command of one
    click.echo(manual(group, version=__version__, day=datetime.now().astimezone().date()), nl=False)

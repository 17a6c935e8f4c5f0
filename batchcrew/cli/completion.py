"""`batchcrew completion`."""

import click

from batchcrew.cli.completing import SHELLS, script


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script with which SHELL completes commands, options, batches, jobs, states and formats.

    Names of batches and jobs come from the ledger that the command would use. The script calls `batchcrew` at each
    completion, so it need not be installed again for a new version.
    """
    click.echo(script(shell), nl=False)

"""Prompt for a confirmation before something is done that costs money or answers."""

import sys

import click

from batchcrew.base.errors import StoppedEarly, UsageError


def agreed(question: str, undone: str) -> bool:
    """Return whether the question was answered with yes.

    Args: undone: the end of the error's message: `nothing was deleted`.

    Raises:
        StoppedEarly: Ctrl-C.
        UsageError: the prompt was not answered, as without a terminal.
    """
    try:
        return click.confirm(question, err=True)
    except click.Abort as abort:
        click.echo(err=True)  # the question's line has no end
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise StoppedEarly(f"interrupted; {undone}") from None
        if sys.stdin is not None and sys.stdin.isatty():  # Ctrl-D
            return False
        raise UsageError(f"{undone}: the prompt was not answered; use --yes to skip the prompt") from None


def at_a_terminal() -> bool:
    """Return whether a question can be read and answered."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()

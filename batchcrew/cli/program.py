"""Find the name by which this program was called, so that the commands that it prints work as they are printed."""

import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

NAME = "batchcrew"


def program_name(
    called: str, original: Sequence[str], *, as_module: bool, find: Callable[[str], str | None] = shutil.which
) -> str:
    """Return the first words of a command that starts this program again, quoted for a shell.

    Args:
        called: `sys.argv[0]`.
        original: `sys.orig_argv`, whose first word is the interpreter as it was called.
        as_module: it was started by `python -m batchcrew`.
        find: finds an executable on PATH.
    """
    if as_module:
        return f"{shlex.quote(original[0])} -m {NAME}"
    path = Path(called)
    if path.name != NAME:  # another program called `main`
        return NAME
    found = find(NAME)
    try:
        if found is not None and path.samefile(found):
            return NAME
    except OSError:  # one of the two no longer exists
        return NAME
    return shlex.quote(called)


def this_program() -> str:
    """Return how this process was started."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    as_module = spec is not None and spec.name == f"{NAME}.__main__"
    return program_name(sys.argv[0], sys.orig_argv, as_module=as_module)


def current_program() -> str:
    """Return the program's name as the command that is being called got it from `main`."""
    return click.get_current_context().find_root().info_name or NAME

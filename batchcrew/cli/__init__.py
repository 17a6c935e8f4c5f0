"""The command line: parse, call, print. `commands.py` lists the commands; each has its own file."""

import gc
import io
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from batchcrew import __version__
from batchcrew.base.errors import BatchcrewError, OutputClosed, StoppedEarly
from batchcrew.base.similar import did_you_mean
from batchcrew.base.text import clean_block, one_line
from batchcrew.cli.commands import COMMANDS, grouped_commands
from batchcrew.cli.help import HelpfulCommand, SectionedGroup
from batchcrew.cli.interruption import interruptible, raised, uninterruptible
from batchcrew.cli.leaving import leave
from batchcrew.cli.program import NAME, this_program
from batchcrew.cli.streams import guard_streams
from batchcrew.model import exit_codes

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["COMMANDS", "batchcrew", "main"]

GARBAGE_THRESHOLD = 5_000
"""New objects after which Python searches for garbage: an attempt makes hundreds, and nearly all are freed at once."""
COMPLETION = "_BATCHCREW_COMPLETE"
"""The variable by which a shell requests completions from click."""


class _Text(type(click.STRING)):  # type: ignore[misc]  # click does not export the class
    """A text that UTF-8 can express, as every name in a ledger is. Paths may have other bytes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail(f"{value!r} is not valid UTF-8", param, ctx)
        return super().convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from batchcrew.cli.completing import completions  # noqa: PLC0415 - only a shell that completes needs it

        return completions(param.name or "", ctx.params, incomplete)


_TEXT = _Text()


def _loaded(name: str) -> click.Command:
    """Import a command without searching its modules for garbage, now and later: they stay until the program ends."""
    gc.disable()
    try:
        return COMMANDS[name].load()
    finally:
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD)
        gc.enable()


class LazyGroup(SectionedGroup):
    """Lists its commands without importing them; imports one when it is called, so that `--help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]  # not list(): the module `list` of this package takes its name here

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = HelpfulCommand.of(cmd_name, _loaded(cmd_name))
        for parameter in command.params:
            if type(parameter.type) is type(click.STRING):
                parameter.type = _TEXT
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and name.isprintable() and not name.startswith("-"):
            ctx.fail(f"No such command {name!r}{did_you_mean(name, COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """Return the commands, without importing them, and the options."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a shell that completes needs it

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        fitting = [(name, command) for name, command in COMMANDS.items() if name.startswith(incomplete)]
        return [CompletionItem(name, help=command.summary) for name, command in fitting]

    def sections(self) -> Mapping[str, Mapping[str, str]]:
        return {
            heading: {name: COMMANDS[name].summary for name in names} for heading, names in grouped_commands().items()
        }


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Exit codes: {', '.join(f'{code} {meaning}' for code, meaning in exit_codes.SHORT_MEANINGS.items())}.",
)
@click.version_option(__version__, "-V", "--version", prog_name="batchcrew")
def batchcrew() -> None:
    """Run a deployed CrewAI crew for every row of a file, without losing a job or paying for one twice."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the `batchcrew` program and exit with a documented code, even when a signal arrives."""
    try:
        interruptible()
        guard_streams()
        try:
            code = _call(sys.argv[1:] if arguments is None else [*arguments])
        finally:
            uninterruptible()
    except KeyboardInterrupt as error:
        uninterruptible()
        click.echo(f"batchcrew: interrupted by {error}", err=True)
        code = exit_codes.INTERRUPTED
    leave(code)


def _call(arguments: list[str]) -> int:
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
    except Exception as error:
        if (interruption := raised()) and not isinstance(error, StoppedEarly):
            raise interruption from error
        return _reported(error)
    return int(code or 0)


def _reported(error: Exception) -> int:
    """Print why the command ended, and return its exit code."""
    match error:
        case click.exceptions.Exit():  # --help, --version
            return error.exit_code
        case click.ClickException():
            _show(error)
            return exit_codes.WRONG_COMMAND_LINE
        case click.Abort():  # a prompt was ended by Ctrl-C or the end of the input
            click.echo("batchcrew: interrupted", err=True)
            return exit_codes.INTERRUPTED
        case OutputClosed():  # the reader (head, less) has ended
            return exit_codes.of_error(error)
        case BatchcrewError():
            # a command in the message works as it is printed
            text = "\n".join(map(one_line, error.lines)).replace(f"`{NAME} ", f"`{this_program()} ")
            click.echo(f"batchcrew: {text}", err=True)
            return exit_codes.of_error(error)
        case _:
            click.echo(clean_block("".join(traceback.format_exception(error))), nl=False, err=True)
            click.echo(
                "batchcrew: internal error (a bug in batchcrew); the ledger still has the executions in progress",
                err=True,
            )
            return exit_codes.INTERNAL_ERROR


def _show(error: click.ClickException) -> None:
    """Print click's own message; it repeats arguments, which may come from anywhere."""
    if error.message:
        vars(error)["message"] = one_line(error.message)  # declared as final
    shown = io.StringIO()
    error.show(shown)
    click.echo(clean_block(shown.getvalue()), nl=False, err=True)


def _invoke(arguments: list[str]) -> Any:
    """Invoke the command as click's own `main` does, but without its handling of signals and broken pipes (exit 1)."""
    if COMPLETION in os.environ:
        from batchcrew.cli.completing import answer_shell  # noqa: PLC0415 - only a shell that completes needs it

        return answer_shell(batchcrew, os.environ[COMPLETION])
    with batchcrew.make_context(this_program(), arguments) as context:
        return batchcrew.invoke(context)

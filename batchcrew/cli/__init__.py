"""The command line: parse, call, print. One file per command; each is imported when it is called."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from batchcrew import __version__
from batchcrew.base.errors import BatchcrewError, ExitCode, OutputClosed
from batchcrew.cli.interruption import interruptible, uninterruptible
from batchcrew.cli.leaving import leave
from batchcrew.cli.program import NAME, this_program
from batchcrew.cli.streams import guard_streams

COMPLETION = "_BATCHCREW_COMPLETE"
"""The variable by which a shell asks click for completions."""

COMMANDS = {
    "run": ("batchcrew.cli.run", "Start or continue a batch; the one command cron needs."),
    "tick": ("batchcrew.cli.tick", "One step of a batch, for cron every minute: no resident process."),
    "check": ("batchcrew.cli.check", "Read everything, ask each crew for its inputs, print the plan."),
    "status": ("batchcrew.cli.status", "Counts of a batch and what is in flight."),
    "list": ("batchcrew.cli.list", "Every batch in the ledger."),
    "show": ("batchcrew.cli.show", "One job: attempts, tasks, output, errors."),
    "retry": ("batchcrew.cli.retry", "Put ended jobs back, for the next run."),
    "keep": ("batchcrew.cli.keep", "Keep the answers of jobs whose inputs changed after they succeeded."),
    "recheck": ("batchcrew.cli.recheck", "Look again at executions that timed out or were lost."),
    "attach": ("batchcrew.cli.attach", "Say under which kickoff_id a job runs."),
    "adopt": ("batchcrew.cli.adopt", "Take in executions that another script started."),
    "runs": ("batchcrew.cli.runs", "The history of a batch: what each run did, and why it stopped."),
    "export": ("batchcrew.cli.export", "The file's own rows with their answers beside them."),
    "backup": ("batchcrew.cli.backup", "Copy the ledger, also while runs use it."),
    "upgrade": ("batchcrew.cli.upgrade", "Upgrade a ledger that an earlier version wrote."),
    "delete": ("batchcrew.cli.delete", "Delete a batch with its answers."),
    "vacuum": ("batchcrew.cli.vacuum", "Make the ledger's file as small as what is in it."),
    "serve": ("batchcrew.cli.serve", "The crew API on this machine: of real CrewAI crews, or of a demo crew."),
    "schema": ("batchcrew.cli.schema", "The job file's JSON Schema, for editors."),
}


class LazyGroup(click.Group):
    """Knows its commands by name and line; imports one when it is called, so that `--help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]  # `list` is a command of this package once it is imported

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 every job succeeded, 1 finished with failures, 2 wrong usage or job file, "
    "3 stopped with work left (run it again), 4 another run holds the batch, 5 no crew can be worked with, "
    "70 a defect, or the ledger cannot be written.",
)
@click.version_option(__version__, prog_name="batchcrew")
def batchcrew() -> None:
    """Run deployed CrewAI crews for every row of a file, without losing a job or paying for one twice."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The `batchcrew` program: exits with a code of the table, also when a signal comes at any moment."""
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
        code = ExitCode.STOPPED
    leave(code)


def _call(arguments: list[str]) -> int:
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
    except click.exceptions.Exit as ended:  # --help, --version
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except click.Abort:  # a question was answered by Ctrl-C or the end of the input
        click.echo("batchcrew: interrupted", err=True)
        return ExitCode.STOPPED
    except OutputClosed as error:  # the reader (head, less) has what it wanted
        return error.exit_code
    except BatchcrewError as error:
        # a command in the message works as it is printed
        text = str(error).replace(f"`{NAME} ", f"`{this_program()} ")
        click.echo(f"batchcrew: {text}", err=True)
        return error.exit_code
    except Exception:  # noqa: BLE001 - the last stop: a defect is told as one
        traceback.print_exc()
        click.echo("batchcrew: this is a defect of batchcrew; the ledger says what was in flight", err=True)
        return ExitCode.DEFECT
    return int(code or 0)


def _invoke(arguments: list[str]) -> Any:
    """What click's own `main` does, without its answers to signals and to a broken pipe (exit 1)."""
    if COMPLETION in os.environ:  # a shell wants to know how a word may go on
        return batchcrew.main(args=arguments, prog_name="batchcrew", standalone_mode=False)
    with batchcrew.make_context(this_program(), arguments) as context:
        return batchcrew.invoke(context)

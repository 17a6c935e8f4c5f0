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
"""The variable by which a shell requests completions from click."""

COMMANDS = {
    "run": ("batchcrew.cli.run", "Start or resume a batch; the only command cron needs."),
    "tick": ("batchcrew.cli.tick", "Do the work that is due now, then exit; for cron every minute."),
    "check": ("batchcrew.cli.check", "Validate the job file and print the plan; start nothing."),
    "status": ("batchcrew.cli.status", "Show a batch: counts and executions in progress."),
    "list": ("batchcrew.cli.list", "List the batches in the ledger."),
    "show": ("batchcrew.cli.show", "Show one job: attempts, tasks, output, errors."),
    "retry": ("batchcrew.cli.retry", "Reset ended jobs to pending, for the next run."),
    "keep": ("batchcrew.cli.keep", "Accept the answers of stale jobs, without running them again."),
    "recheck": ("batchcrew.cli.recheck", "Poll again the executions that timed out or were lost."),
    "attach": ("batchcrew.cli.attach", "Assign an execution to a job by its kickoff_id."),
    "adopt": ("batchcrew.cli.adopt", "Record and watch executions that another script started."),
    "runs": ("batchcrew.cli.runs", "List past runs: what each one did and why it stopped."),
    "export": ("batchcrew.cli.export", "Export each row of the file with its answer."),
    "backup": ("batchcrew.cli.backup", "Copy the ledger, even while runs use it."),
    "upgrade": ("batchcrew.cli.upgrade", "Upgrade a ledger that an earlier version wrote."),
    "delete": ("batchcrew.cli.delete", "Delete a batch and its answers."),
    "vacuum": ("batchcrew.cli.vacuum", "Shrink the ledger file after deletions."),
    "serve": ("batchcrew.cli.serve", "Serve a CrewAI crew, or a demo crew, on this machine."),
    "schema": ("batchcrew.cli.schema", "Print the JSON Schema of job files, for editors."),
}


class LazyGroup(click.Group):
    """Lists its commands without importing them; imports one when it is called, so that `--help` is quick."""

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
    "3 stopped with work left (run it again), 4 another run holds the batch, 5 a crew is unusable, "
    "70 internal error, or the ledger cannot be written.",
)
@click.version_option(__version__, prog_name="batchcrew")
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
    except click.Abort:  # a prompt was ended by Ctrl-C or the end of the input
        click.echo("batchcrew: interrupted", err=True)
        return ExitCode.STOPPED
    except OutputClosed as error:  # the reader (head, less) has what it wanted
        return error.exit_code
    except BatchcrewError as error:
        # a command in the message works as it is printed
        text = str(error).replace(f"`{NAME} ", f"`{this_program()} ")
        click.echo(f"batchcrew: {text}", err=True)
        return error.exit_code
    except Exception:  # noqa: BLE001 - the outermost handler reports defects as such
        traceback.print_exc()
        click.echo(
            "batchcrew: internal error (a bug in batchcrew); the ledger still has the executions in progress", err=True
        )
        return ExitCode.DEFECT
    return int(code or 0)


def _invoke(arguments: list[str]) -> Any:
    """Invoke the command as click's own `main` does, but without its handling of signals and broken pipes (exit 1)."""
    if COMPLETION in os.environ:  # a shell requests completions
        return batchcrew.main(args=arguments, prog_name="batchcrew", standalone_mode=False)
    with batchcrew.make_context(this_program(), arguments) as context:
        return batchcrew.invoke(context)

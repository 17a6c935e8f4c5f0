"""The commands, each imported by its own function, so that `--help` starts without them and mypy sees the imports."""

from collections.abc import Callable
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command that is imported when it is called."""

    load: Callable[[], click.Command]
    summary: str
    """Its line in `batchcrew --help`."""


def _run() -> click.Command:
    from batchcrew.cli.run import command

    return command


def _tick() -> click.Command:
    from batchcrew.cli.tick import command

    return command


def _check() -> click.Command:
    from batchcrew.cli.check import command

    return command


def _status() -> click.Command:
    from batchcrew.cli.status import command

    return command


def _list() -> click.Command:
    from batchcrew.cli.list import command

    return command


def _show() -> click.Command:
    from batchcrew.cli.show import command

    return command


def _failures() -> click.Command:
    from batchcrew.cli.failures import command

    return command


def _retry() -> click.Command:
    from batchcrew.cli.retry import command

    return command


def _keep() -> click.Command:
    from batchcrew.cli.keep import command

    return command


def _judge() -> click.Command:
    from batchcrew.cli.judge import command

    return command


def _recheck() -> click.Command:
    from batchcrew.cli.recheck import command

    return command


def _inbox() -> click.Command:
    from batchcrew.cli.inbox import command

    return command


def _answer() -> click.Command:
    from batchcrew.cli.answer import command

    return command


def _attach() -> click.Command:
    from batchcrew.cli.attach import command

    return command


def _adopt() -> click.Command:
    from batchcrew.cli.adopt import command

    return command


def _runs() -> click.Command:
    from batchcrew.cli.runs import command

    return command


def _export() -> click.Command:
    from batchcrew.cli.export import command

    return command


def _report() -> click.Command:
    from batchcrew.cli.report import command

    return command


def _compare() -> click.Command:
    from batchcrew.cli.compare import command

    return command


def _backup() -> click.Command:
    from batchcrew.cli.backup import command

    return command


def _upgrade() -> click.Command:
    from batchcrew.cli.upgrade import command

    return command


def _delete() -> click.Command:
    from batchcrew.cli.delete import command

    return command


def _vacuum() -> click.Command:
    from batchcrew.cli.vacuum import command

    return command


def _serve() -> click.Command:
    from batchcrew.cli.serve import command

    return command


def _doctor() -> click.Command:
    from batchcrew.cli.doctor import command

    return command


def _init() -> click.Command:
    from batchcrew.cli.init import command

    return command


def _listen() -> click.Command:
    from batchcrew.cli.listen import command

    return command


def _schema() -> click.Command:
    from batchcrew.cli.schema import command

    return command


def _pause() -> click.Command:
    from batchcrew.cli.pause import command

    return command


def _unpause() -> click.Command:
    from batchcrew.cli.unpause import command

    return command


def _set() -> click.Command:
    from batchcrew.cli.set import command

    return command


def _cancel() -> click.Command:
    from batchcrew.cli.cancel import command

    return command


def _stop() -> click.Command:
    from batchcrew.cli.stop import command

    return command


def _ui() -> click.Command:
    from batchcrew.cli.ui import command

    return command


def _completion() -> click.Command:
    from batchcrew.cli.completion import command

    return command


def _man() -> click.Command:
    from batchcrew.cli.man import command

    return command


COMMANDS = {
    "run": LazyCommand(_run, "Start or resume a batch; the only command cron needs."),
    "tick": LazyCommand(_tick, "Do the work that is due now, then exit; for cron every minute."),
    "check": LazyCommand(_check, "Validate the job file and print the plan; start nothing."),
    "doctor": LazyCommand(_doctor, "Examine a crew that is new to you; pay nothing, or for one kickoff."),
    "init": LazyCommand(_init, "Write a job file and a CSV template from a crew's inputs."),
    "status": LazyCommand(_status, "Show a batch: counts and executions in progress."),
    "pause": LazyCommand(_pause, "Start no more jobs of a batch, also in a run in progress."),
    "unpause": LazyCommand(_unpause, "Start the jobs of a paused batch again."),
    "set": LazyCommand(_set, "Replace the concurrency, rate or limits of a batch while it runs."),
    "cancel": LazyCommand(_cancel, "Cancel jobs that have not ended, also while a run is in progress."),
    "stop": LazyCommand(_stop, "End the run of a batch that is in progress, as Ctrl-C does."),
    "ui": LazyCommand(_ui, "Show and control batches in a browser, live."),
    "list": LazyCommand(_list, "List the batches in the ledger."),
    "show": LazyCommand(_show, "Show one job: attempts, tasks, output, errors."),
    "failures": LazyCommand(_failures, "Explain the failed and held jobs, by kind."),
    "retry": LazyCommand(_retry, "Reset ended jobs to pending, for the next run."),
    "keep": LazyCommand(_keep, "Accept the answers of stale jobs, without running them again."),
    "judge": LazyCommand(_judge, "Apply the rules of `accept:` to stored answers; pay nothing."),
    "recheck": LazyCommand(_recheck, "Poll again the executions that timed out or were lost."),
    "inbox": LazyCommand(_inbox, "Show the jobs that wait for human input."),
    "answer": LazyCommand(_answer, "Approve or reject what jobs wait for, one or a whole sheet."),
    "attach": LazyCommand(_attach, "Assign an execution to a job by its kickoff_id."),
    "adopt": LazyCommand(_adopt, "Record and watch executions that another script started."),
    "runs": LazyCommand(_runs, "List past runs: what each one did and why it stopped."),
    "report": LazyCommand(_report, "Report on a batch: verdict, money, time, failures; HTML, text, Markdown or JSON."),
    "compare": LazyCommand(_compare, "Compare two batches: states, time, money, and the rows that differ."),
    "export": LazyCommand(_export, "Export each row of the file with its answer."),
    "backup": LazyCommand(_backup, "Copy the ledger, even while runs use it."),
    "upgrade": LazyCommand(_upgrade, "Upgrade a ledger that an earlier version wrote."),
    "delete": LazyCommand(_delete, "Delete a batch and its answers."),
    "vacuum": LazyCommand(_vacuum, "Shrink the ledger file after deletions."),
    "serve": LazyCommand(_serve, "Serve a CrewAI crew, or a demo crew, on this machine."),
    "listen": LazyCommand(_listen, "Receive webhooks of crews between ticks."),
    "schema": LazyCommand(_schema, "Print the JSON Schema of job files, for editors."),
    "completion": LazyCommand(_completion, "Print the completion of batch, job and option names for a shell."),
    "man": LazyCommand(_man, "Print the manual page."),
}
GROUPS: dict[str, tuple[str, ...]] = {
    "Run a batch": ("run", "tick", "check", "pause", "unpause", "set", "cancel", "stop"),
    "Look at it": ("status", "list", "show", "failures", "runs", "ui"),
    "Results": ("report", "compare", "export"),
    "Repair": ("retry", "recheck", "judge", "keep", "attach", "adopt"),
    "Answer what crews wait for": ("inbox", "answer"),
    "Crews": ("doctor", "init", "serve", "listen"),
    "The ledger": ("backup", "upgrade", "delete", "vacuum"),
    "Shell and editor": ("completion", "man", "schema"),
}
"""The commands under each heading of `batchcrew --help`; those of no group are under `Others`."""


def grouped_commands() -> dict[str, list[str]]:
    """Return every command by its heading."""
    known = {name for names in GROUPS.values() for name in names}
    others = [name for name in COMMANDS if name not in known]
    groups = {heading: [name for name in names if name in COMMANDS] for heading, names in GROUPS.items()}
    return {**groups, "Others": others} if others else groups

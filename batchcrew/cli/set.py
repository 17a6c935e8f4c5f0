"""`batchcrew set`."""

from pathlib import Path

import click

from batchcrew.app.control import change_settings, checked_name, in_force, parse_assignments, reset_settings
from batchcrew.base.errors import UsageError
from batchcrew.base.text import clean_text
from batchcrew.cli.control import command_of, confirm_as_json, control_request, reason_option, shown
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import batch_and_jobs, batch_option, json_option, ledger_option, option
from batchcrew.cli.output import confirm
from batchcrew.reports.control import written


@click.command()
@click.argument("batch", required=False)
@click.argument("settings", nargs=-1, metavar="[NAME=VALUE]...")
@batch_option
@option("--reset", is_flag=True, help="Use the job file's values again: of the settings that are named, else of all.")
@reason_option
@ledger_option
@json_option
def command(
    batch: str | None,
    settings: tuple[str, ...],
    *,
    named_batch: str | None,
    reset: bool,
    reason: str | None,
    ledger: Path,
    as_json: bool,
) -> None:
    """Replace settings of BATCH, in the run in progress and in later ones, until `--reset`.

    Settings: concurrency, max_concurrency, rate, max_kickoffs, timeout. They are written as in the job file:
    `batchcrew set trips concurrency=5 rate=10/m`. They replace the job file's values and those of options. Without
    settings, the command prints those that apply.
    """
    name, words = batch_and_jobs(batch, settings, named_batch)
    request = control_request(name, ledger, reason)
    if reset:
        if wrong := next((word for word in words if "=" in word), None):
            raise UsageError(f"--reset takes names of settings, not values: {wrong!r}")
        names = call(reset_settings(request, [checked_name(word) for word in words])).reset
        if as_json:
            confirm_as_json("reset", request, changed=bool(names), reset=list(names))
            return
        confirm(f"{shown(name)}: {', '.join(names)} reset" if names else f"{shown(name)}: nothing was set")
        return
    if words:
        done = call(change_settings(request, parse_assignments(words)))
        if as_json:
            confirm_as_json("set", request, changed=True, running=done.running)
            return
        confirm(f"{shown(name)}: {clean_text(', '.join(words))}")
        now = "in the run in progress and in later ones" if done.running else "in every run"
        say(f"this applies {now}, until {command_of('set', request, '--reset')}")
        return
    if as_json:
        confirm_as_json("set", request, changed=False)
        return
    found = call(in_force(request)).settings
    for key, each in found.items():
        confirm(f"{key}={clean_text(written(each.value))}  set {clean_text(str(each.given))} at {each.given.at}")
    if not found:
        confirm(f"{shown(name)}: nothing was set")

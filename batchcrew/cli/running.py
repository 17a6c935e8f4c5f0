"""What `run`, `tick` and `adopt` share: the settings of a run as options, how it is shown, and its exit code."""

import asyncio
import json
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from batchcrew.app.run import RunContext, RunRequest, run_batch
from batchcrew.app.wiring import ProgressKind, open_progress
from batchcrew.base.clock import SystemClock, to_text
from batchcrew.base.errors import BatchBusy, BatchcrewError, ExitCode
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import json_option, option
from batchcrew.cli.output import confirm
from batchcrew.cli.signals import ENDED_AT_ONCE, with_signals
from batchcrew.engine import Stop
from batchcrew.model.run import RunResult
from batchcrew.reports.as_json import json_document, summary_json
from batchcrew.reports.summary import exit_code, needs_person, render_summary, render_tick

Command = TypeVar("Command", bound=Callable[..., Any])

_SETTINGS = {
    "concurrency": option("--concurrency", type=int, help="Executions in progress at the same time, over all crews."),
    "rate": option("--rate", help="Maximum kickoffs per second, minute or hour: 2/s, 60/m."),
    "timeout": option("--timeout", help="Maximum time of one execution: 30m."),
    "max_runtime": option(
        "--max-runtime",
        help="End the run after this time; the next run resumes the executions in progress and starts the rest.",
    ),
    "delivery": option(
        "--delivery",
        type=click.Choice(["at_least_once", "at_most_once"]),
        help="After a kickoff in doubt: kick the job off again, or put it on hold until you decide.",
    ),
    "stop_after_failures": option(
        "--stop-after-failures",
        help="Start no new jobs after this many failed jobs (20), this failure rate (10%), or this many executions in a"
        " row that failed for the same reason (in_a_row=10, the default). none: never.",
    ),
    "canary": option(
        "--canary",
        type=click.IntRange(min=1),
        help="Start this many jobs first, and the others only if all of these succeed.",
    ),
    "on_change": option(
        "--on-change",
        type=click.Choice(["keep", "rerun"]),
        help="For succeeded jobs whose inputs have changed: keep the answer and mark the job as stale, or run the job"
        " (and pay) again.",
    ),
    "max_kickoffs": option(
        "--max-kickoffs",
        type=click.IntRange(min=1),
        help="Maximum number of kickoffs in this run; replaces the job file's max_kickoffs, including its limit for the"
        " batch.",
    ),
}
_REPORTING = [
    option(
        "--ping",
        "monitor",
        envvar="BATCHCREW_PING",
        help="URL of a monitor, such as a healthchecks.io check, to notify of start, success and failure.",
    ),
    option("-q", "--quiet", is_flag=True, help="Print only what needs your attention, so that cron mails only then."),
    option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="Format of the log on stderr; json writes one object per line.",
    ),
    json_option,
]


def settings_options(command: Command) -> Command:
    """Add the options that override settings of the job file's `run:` section."""
    for decorate in reversed(_SETTINGS.values()):
        command = decorate(command)
    return command


def overrides(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the settings from a command's options and return them."""
    return {name: options.pop(name) for name in _SETTINGS}


def reporting_options(command: Command) -> Command:
    """Add the options for how a run is shown and reported."""
    for decorate in reversed(_REPORTING):
        command = decorate(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """How a run is shown and reported."""

    quiet: bool = False
    log_format: str = "text"
    as_json: bool = False
    monitor: str | None = None

    def kind(self, *, tick: bool) -> ProgressKind:
        if self.quiet:
            return "quiet"
        if self.log_format == "json":
            return "json"
        return "brief" if tick else "auto"


def run_and_report(request: RunRequest, reporting: Reporting, *, drain: bool = False) -> int:
    """Run a batch, print its summary and return the exit code."""
    kind = reporting.kind(tick=request.once)
    try:
        result = call(_run(request, kind, drain=drain, monitor=reporting.monitor))
    except BatchcrewError as error:
        if kind == "json":
            _log("error", message=str(error), exit_code=int(error.exit_code))
            return error.exit_code
        if kind == "quiet" and isinstance(error, BatchBusy):  # the other run continues: nothing to do
            return ExitCode.BUSY
        raise
    except asyncio.CancelledError:
        _tell(kind)(ENDED_AT_ONCE)
        return ExitCode.STOPPED
    if reporting.as_json:
        confirm(json_document(summary_json(result)))
    elif kind == "json":
        _log("run_ended", run=result.run_id, **summary_json(result))
    elif not reporting.quiet or needs_person(result):
        say(render_tick(result) if request.once else render_summary(result))
    return exit_code(result)


def _log(event: str, **values: Any) -> None:
    say(json.dumps({"time": to_text(datetime.now(UTC)), "event": event, **values}))


def _tell(kind: ProgressKind) -> Callable[[str], None]:
    """Return how to report a signal: as a line of the log, or not at all with `--quiet`."""
    if kind == "quiet":
        return lambda text: None
    return (lambda text: _log("signal", message=text)) if kind == "json" else say


async def _run(request: RunRequest, kind: ProgressKind, *, drain: bool, monitor: str | None) -> RunResult:
    clock, stop = SystemClock(), Stop()
    with open_progress(sys.stderr, clock=clock, environ=os.environ, kind=kind) as progress:
        context = RunContext(stop=stop, clock=clock, rng=random.Random(), observe=progress.observe, monitor=monitor)
        return await with_signals(run_batch(request, context), stop, drain=drain, tell=_tell(kind))

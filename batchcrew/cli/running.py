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
    "concurrency": option("--concurrency", type=int, help="Executions in flight."),
    "rate": option("--rate", help="Kickoffs per second, minute or hour: 2/s, 60/m."),
    "timeout": option("--timeout", help="Longest time of one execution: 30m."),
    "max_runtime": option("--max-runtime", help="Stop starting after this time; the next run goes on."),
    "delivery": option(
        "--delivery",
        type=click.Choice(["at_least_once", "at_most_once"]),
        help="What becomes of a kickoff in doubt: sent again, or held for a person.",
    ),
    "stop_after_failures": option(
        "--stop-after-failures",
        help="Start no new jobs after this many failed jobs (20), this failure rate (10%), or this many executions in a"
        " row that failed for the same reason (in_a_row=10, the default). none: never.",
    ),
    "canary": option(
        "--canary", type=click.IntRange(min=1), help="So many jobs first; the rest start when these have succeeded."
    ),
    "on_change": option(
        "--on-change",
        type=click.Choice(["keep", "rerun"]),
        help="What becomes of succeeded jobs whose inputs changed: stale, or run (and paid for) again.",
    ),
    "max_kickoffs": option("--max-kickoffs", type=click.IntRange(min=1), help="Most kickoffs of this run."),
}
_REPORTING = [
    option(
        "--ping",
        "monitor",
        envvar="BATCHCREW_PING",
        help="URL of a monitor (healthchecks style): told of start, success and failure.",
    ),
    option("-q", "--quiet", is_flag=True, help="Print only what needs a person: cron mails only then."),
    option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="json: one object a line on stderr.",
    ),
    json_option,
]


def settings_options(command: Command) -> Command:
    """Those of the job file's `run:` section that may be given for one run."""
    for decorate in reversed(_SETTINGS.values()):
        command = decorate(command)
    return command


def overrides(options: dict[str, Any]) -> dict[str, Any]:
    """Takes the settings out of a command's options."""
    return {name: options.pop(name) for name in _SETTINGS}


def reporting_options(command: Command) -> Command:
    """How a run is shown and told of."""
    for decorate in reversed(_REPORTING):
        command = decorate(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """How a run is shown and told of."""

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
    """Run a batch, print its summary, and say how it ended as an exit code."""
    kind = reporting.kind(tick=request.once)
    try:
        result = call(_run(request, kind, drain=drain, monitor=reporting.monitor))
    except BatchcrewError as error:
        if kind == "json":
            _log("error", message=str(error), exit_code=int(error.exit_code))
            return error.exit_code
        if kind == "quiet" and isinstance(error, BatchBusy):  # the other run goes on: nothing for a person
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
    """How a signal is answered: as a log's line; not at all where only a person's matters are said."""
    if kind == "quiet":
        return lambda text: None
    return (lambda text: _log("signal", message=text)) if kind == "json" else say


async def _run(request: RunRequest, kind: ProgressKind, *, drain: bool, monitor: str | None) -> RunResult:
    clock, stop = SystemClock(), Stop()
    with open_progress(sys.stderr, clock=clock, environ=os.environ, kind=kind) as progress:
        context = RunContext(stop=stop, clock=clock, rng=random.Random(), observe=progress.observe, monitor=monitor)
        return await with_signals(run_batch(request, context), stop, drain=drain, tell=_tell(kind))

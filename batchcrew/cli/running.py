"""Run a batch for `run`, `tick` and `adopt`: how it is shown, and its exit code."""

import asyncio
import json
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from batchcrew.app.run import RunRequest, run_batch
from batchcrew.app.wiring import ProgressKind, open_progress
from batchcrew.base.clock import SystemClock, to_text
from batchcrew.base.errors import BatchBusy, BatchcrewError, UsageError
from batchcrew.cli.colour import coloured
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import json_option, option
from batchcrew.cli.output import confirm
from batchcrew.cli.signals import ENDED_AT_ONCE, with_signals
from batchcrew.cli.streams import drawing
from batchcrew.engine import RunEnvironment, Stop
from batchcrew.model import exit_codes
from batchcrew.model.run import RunResult
from batchcrew.reports.as_json import json_document, summary_json
from batchcrew.reports.summary import needs_person, render_summary, render_tick

_REPORTING = [
    option(
        "--ping",
        "monitor",
        envvar="BATCHCREW_PING",
        help="URL of a monitor, such as a healthchecks.io check, to notify of start, success and failure.",
    ),
    option(
        "--metrics-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File to keep figures of the run in, as OpenMetrics text for node_exporter's textfile collector.",
    ),
    option("-q", "--quiet", is_flag=True, help="Print only what needs your attention, so that cron mails only then."),
    option(
        "-v",
        "--verbose",
        is_flag=True,
        help="Print each kickoff, poll and retry, and where the crew's answers have the id, the status and the output.",
    ),
    option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="Format of the log on stderr; json writes one object per line.",
    ),
    json_option,
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """The options for how a run is shown and reported."""

    quiet: bool = False
    verbose: bool = False
    log_format: str = "text"
    as_json: bool = False
    monitor: str | None = None
    metrics_file: Path | None = None

    def kind(self, *, tick: bool) -> ProgressKind:
        if self.quiet:
            return "quiet"
        if self.log_format == "json":
            return "json"
        return "brief" if tick else "auto"

    def page_started(self, url: str) -> None:
        """Print the link of the live page, once."""
        if self.log_format == "json":
            _log("page", url=url)
        else:
            say(f"live page, for one browser: {url}")

    def warn(self, message: str) -> None:
        """Print a warning before the run begins."""
        if self.log_format == "json":
            _log("warning", message=message)
        else:
            say(f"warning: {message}")


def reporting_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options for how a run is shown and reported; the command gets them as `reporting`."""

    @wraps(command)
    def with_reporting(
        *,
        monitor: str | None,
        metrics_file: Path | None,
        quiet: bool,
        verbose: bool,
        log_format: str,
        as_json: bool,
        **options: Any,
    ) -> int:
        if quiet and verbose:
            raise UsageError("--quiet and --verbose exclude each other; use one of them")
        reporting = Reporting(
            quiet=quiet,
            verbose=verbose,
            log_format=log_format,
            as_json=as_json,
            monitor=monitor,
            metrics_file=metrics_file,
        )
        return command(reporting=reporting, **options)

    decorated: Callable[..., int] = with_reporting
    for decorate in reversed(_REPORTING):
        decorated = decorate(decorated)
    return decorated


def run_and_report(request: RunRequest, reporting: Reporting, *, drain: bool = False) -> int:
    """Run a batch, print its summary and return the exit code."""
    kind = reporting.kind(tick=request.once)
    try:
        result = call(_run(request, kind, reporting, drain=drain))
    except BatchcrewError as error:
        if kind == "json":
            _log("error", message=str(error), exit_code=int(exit_codes.of_error(error)))
            return exit_codes.of_error(error)
        if kind == "quiet" and isinstance(error, BatchBusy):  # the other run continues: nothing to do
            return exit_codes.of_error(error)
        raise
    except asyncio.CancelledError:
        _tell(kind)(ENDED_AT_ONCE)
        return exit_codes.INTERRUPTED
    if reporting.as_json:
        confirm(json_document(summary_json(result)))
    elif kind == "json":
        _log("run_ended", run=result.run_id, **summary_json(result))
    elif not reporting.quiet or needs_person(result):
        say(coloured(render_tick(result) if request.once else render_summary(result), sys.stderr))
    return exit_codes.of_run(result)


def _log(event: str, **values: Any) -> None:
    say(json.dumps({"time": to_text(datetime.now(UTC)), "event": event, **values}))


def _tell(kind: ProgressKind) -> Callable[[str], None]:
    """Return how to report a signal: as a line of the log, or not at all with `--quiet`."""
    if kind == "quiet":
        return lambda text: None
    return (lambda text: _log("signal", message=text)) if kind == "json" else say


async def _run(request: RunRequest, kind: ProgressKind, reporting: Reporting, *, drain: bool) -> RunResult:
    clock, stop = SystemClock(), Stop(drains=drain)
    request = replace(request, monitor=reporting.monitor, metrics_file=reporting.metrics_file)
    stream = sys.stderr if kind != "auto" or reporting.verbose else drawing(sys.stderr)
    shown = open_progress(stream, clock=clock, environ=os.environ, kind=kind, verbose=reporting.verbose)
    with shown as progress:
        environment = RunEnvironment(
            stop=stop, clock=clock, rng=random.Random(), observe=progress.observe, verbose=reporting.verbose
        )
        return await with_signals(run_batch(request, environment), stop, drain=drain, tell=_tell(kind))

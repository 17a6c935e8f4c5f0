"""`batchcrew serve`."""

import asyncio
import math
import os
import re
import signal
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from batchcrew.base.descriptors import raise_to_most
from batchcrew.base.errors import UsageError
from batchcrew.base.quantities import write_duration
from batchcrew.base.secrecy import exposed
from batchcrew.base.serving import ISOLATION_MODES, MEMORY_MODES
from batchcrew.base.text import one_line
from batchcrew.cli.help import GROUPS
from batchcrew.cli.interruption import uninterruptible
from batchcrew.cli.leaving import end_now
from batchcrew.cli.loop import call
from batchcrew.cli.options import option
from batchcrew.cli.output import confirm
from batchcrew.cli.program import current_program
from batchcrew.cli.serve_crew import DEFAULT_FOLDER, IN_MEMORY, crew_options
from batchcrew.cli.signals import SAME_SIGNAL_SECONDS, handle_in_loop
from batchcrew.cli.sources import read_token
from batchcrew.model import exit_codes
from batchcrew.server import (
    DEFAULT_DIALECT,
    DIALECTS,
    CrewOptions,
    CrewServer,
    Phases,
    ServeOptions,
    Spread,
    parse_max_running,
    parse_share,
)
from batchcrew.server.options import WEBHOOK_RATES

TOKEN_VARIABLE = "BATCHCREW_SERVE_TOKEN"  # noqa: S105 - the variable's name
RATES = ("fail_rate", "human_rate", "http_error_rate", "drop_rate", *WEBHOOK_RATES)
OF_DEMO = GROUPS["Demo crew"]
OF_CREWS = tuple(name for name in GROUPS["Real crews"] if name != "webhook_allow")  # it applies to both
_CREWS: dict[str, Any] = {field.name: field.default for field in fields(CrewOptions)}
"""The server's defaults for real crews."""


@click.command()
@click.argument("target", default="demo")
@option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File that holds the bearer token. Default: ${TOKEN_VARIABLE}, else a generated token, which is printed.",
)
@option(
    "--dialect",
    type=click.Choice(tuple(DIALECTS)),
    default=DEFAULT_DIALECT,
    show_default=True,
    help="Format of the answers; deployed crews use different ones.",
)
@option(
    "--python",
    type=click.Path(path_type=Path),
    help="Crews: Python interpreter of the workers, or the folder of its environment. Default: the project's .venv, or"
    " that of its uv.lock or poetry.lock, else batchcrew's own Python.",
)
@option("--workers", type=int, default=_CREWS["workers"], show_default=True, help="Crews: number of worker processes.")
@option(
    "--threads",
    type=int,
    default=_CREWS["threads"],
    show_default=True,
    help="Crews: concurrent executions per worker process.",
)
@option(
    "--isolation",
    type=click.Choice(ISOLATION_MODES),
    default=_CREWS["isolation"],
    show_default=True,
    help="Crews: whether concurrent executions share a worker's process, or each has a process alone.",
)
@option(
    "--memory",
    type=click.Choice(MEMORY_MODES),
    default=_CREWS["memory"],
    show_default=True,
    help="Crews: memory that is empty for each execution, shared by those of a worker, or off.",
)
@option(
    "--artifacts",
    "artifacts_folder",
    envvar="BATCHCREW_SERVE_ARTIFACTS",
    type=click.Path(file_okay=False, path_type=Path),
    help="Crews: folder for the files that tasks write (output_file). Default: artifacts, next to the state file.",
)
@option(
    "--input",
    "supplied",
    envvar="BATCHCREW_SERVE_INPUT",
    multiple=True,
    metavar="NAME=VALUE",
    help="Crews: value of an input for kickoffs that do not name it, or NAME alone for an input that the crew supplies"
    " itself; can be repeated.",
)
@option(
    "--max-queue",
    type=int,
    default=_CREWS["max_queue"],
    show_default=True,
    help="Crews: maximum number of queued kickoffs; further kickoffs get 429.",
)
@option(
    "--execution-timeout",
    default=write_duration(_CREWS["execution_timeout"]),
    show_default=True,
    help="Crews: maximum time of one execution.",
)
@option(
    "--stop-timeout",
    default=write_duration(_CREWS["stop_timeout"]),
    show_default=True,
    help="Crews: how long to wait for running executions on SIGTERM or Ctrl-C.",
)
@option(
    "--webhook-allow",
    multiple=True,
    help="Pattern of allowed webhook URLs; can be repeated. Default: all but addresses inside the network.",
)
@option(
    "--keep",
    default=write_duration(_CREWS["keep_seconds"]),
    show_default=True,
    help="Crews: delete executions this long after they ended.",
)
@option(
    "--keep-count",
    type=int,
    default=_CREWS["keep_count"],
    show_default=True,
    help="Crews: maximum number of ended executions to keep.",
)
@option(
    "--execution-time",
    default="2s±50%",
    show_default=True,
    help="Demo: duration of one execution: 2s, 500ms, 2s±50%, lognormal:30s±60%, heavy:30s, bimodal:30s; with"
    " `,60s@200`, another one after 200 executions, and with `,60s@5m` after 5 minutes.",
)
@option("--fail-rate", default="0", help="Demo: share of executions that fail, as 0.2 or 20%. Default: 0.")
@option(
    "--human-rate",
    default="0",
    help="Demo: share of executions that wait for human input after their first task, as 0.2 or 20%. Default: 0.",
)
@option(
    "--http-error-rate", default="0", help="Share of kickoffs and status requests that get 500, 502 or 503. Default: 0."
)
@option(
    "--drop-rate",
    default="0",
    help="Share of kickoffs and status requests that are dropped without an answer. Default: 0.",
)
@option("--webhook-drop-rate", default="0", help="Demo: share of webhooks that are never sent. Default: 0.")
@option("--webhook-double-rate", default="0", help="Demo: share of webhooks that are sent twice. Default: 0.")
@option("--webhook-delay-rate", default="0", help="Demo: share of webhooks that come late and reordered. Default: 0.")
@option("--webhook-forge-rate", default="0", help="Demo: share of webhooks that forged ones accompany. Default: 0.")
@option(
    "--webhook-secret",
    help="Demo: secret with which webhooks about human input are signed, for rehearsals. Default: they are not signed.",
)
@option(
    "--max-running",
    help="Demo: maximum concurrent executions; further kickoffs get 429 with Retry-After. `40,20@60s`: 40, and 20 from"
    " a minute after the start on.",
)
@option("--seed", type=int, help="Demo: random seed, for reproducible runs.")
@option(
    "--no-idempotency",
    is_flag=True,
    help="Ignore Idempotency-Key, as deployed crews do, so that a lost answer leaves a kickoff in doubt.",
)
@option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="SQLite file that stores executions, or `:memory:`. Default: in memory for the demo, results/served-NAME.db"
    " for crews.",
)
@click.pass_context
def command(
    context: click.Context, /, *, target: str, token_file: Path | None, no_idempotency: bool, **options: Any
) -> None:
    """Serve the crew API on this machine, for a real CrewAI crew or a demo crew.

    TARGET is a crew (my_project.crew:TravelCrew, path/to/file.py:crew), the folder of a CrewAI project, or `demo`, a
    travel planner without a language model. The server's URL is printed on stdout once it listens.
    """
    crew = None
    if target == "demo":
        _refuse_given(context, OF_CREWS, "applies to real crews only, and TARGET is the demo crew")
    else:
        _refuse_given(context, OF_DEMO, f"applies to the demo crew only, and TARGET is {target}")
        crew = crew_options(target, options)
    if crew and options["state"] is None:
        options["state"] = DEFAULT_FOLDER / f"served-{re.sub(r'[^A-Za-z0-9.]+', '-', target).strip('-.') or 'crew'}.db"
    if options["state"] == IN_MEMORY:
        options["state"] = None
    shares = {name: _share(name, options.pop(name)) for name in RATES}
    spread = Phases.parse(options.pop("execution_time"), Spread.parse)
    options["max_running"] = _max_running(options["max_running"])
    options["webhook_allow"] = tuple(options["webhook_allow"])
    _warn_of_readers(token_file, None if crew is None else Path(crew.target.folder) / ".env")
    token = read_token(token_file) or os.environ.get(TOKEN_VARIABLE) or None
    kept = {name: value for name, value in options.items() if name not in OF_CREWS}
    serve = ServeOptions(
        token=token, execution_time=spread, idempotency=not no_idempotency, crew=crew, **shares, **kept
    )
    call(_serve(serve))


def _warn_of_readers(token_file: Path | None, dotenv: Path | None) -> None:
    for path, secret in ((token_file, "the token"), (dotenv, "the secrets")):
        if path is not None and (warning := exposed(path, secret)) is not None:
            click.echo(f"warning: {one_line(warning)}", err=True)


def _refuse_given(context: click.Context, names: tuple[str, ...], why: str) -> None:
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source not in {ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP}:
            raise UsageError(f"{parameter.opts[0]} {why}")


def _share(name: str, text: str) -> Any:
    try:
        return parse_share(text)
    except UsageError as error:
        raise UsageError(f"--{name.replace('_', '-')}: {error}") from error


def _max_running(text: str | None) -> Phases[int] | None:
    try:
        return None if text is None else parse_max_running(text)
    except UsageError as error:
        raise UsageError(f"--max-running: {error}") from error


async def _serve(options: ServeOptions) -> None:
    raise_to_most()  # each client takes a descriptor
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    first = math.inf

    def stop(number: signal.Signals) -> None:
        nonlocal first
        if loop.time() - first > SAME_SIGNAL_SECONDS:
            end_now(exit_codes.INTERRUPTED)
        first = min(first, loop.time())
        stopped.set()

    handle_in_loop(stop)
    try:
        await _serve_until(stopped, options)
    finally:
        uninterruptible()


async def _serve_until(stopped: asyncio.Event, options: ServeOptions) -> None:
    if options.crew is not None:
        click.echo(f"loading {one_line(options.crew.target.name)} …", err=True)
    server = CrewServer(options)
    if not await _started(server, stopped):
        return
    try:
        _greet(options, server)
        await stopped.wait()
        if server.stats.get("running") and options.crew is not None:
            click.echo(
                f"stopping: waiting up to {options.crew.stop_timeout:g}s for running executions;"
                " a second signal stops immediately",
                err=True,
            )
        await server.drain()
        stats = server.stats
    finally:
        await server.stop()
    _sum_up(options, stats)


async def _started(server: CrewServer, stopped: asyncio.Event) -> bool:
    """Return whether the server started; False if a signal stopped it while the crew was being loaded."""
    starting, stopping = asyncio.ensure_future(server.start()), asyncio.ensure_future(stopped.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return False
    await starting
    return True


def _sum_up(options: ServeOptions, stats: dict[str, int]) -> None:
    kickoffs = f"{stats['kickoffs']} {'kickoff' if stats['kickoffs'] == 1 else 'kickoffs'}"
    click.echo(
        f"served {kickoffs}, at most {stats['peak_running']} concurrent, "
        f"at most {stats['max_kickoffs_per_job']} for one job; "
        f"{stats['refused']} refused, {stats['disturbed']} failed on purpose",
        err=True,
    )
    left = stats.get("running", 0) + stats.get("paused", 0)
    if options.crew is not None and left:
        click.echo(f"{left} {'execution was' if left == 1 else 'executions were'} interrupted", err=True)


def _greet(options: ServeOptions, server: CrewServer) -> None:
    what = f"serving {server.name} ({options.dialect} dialect) on {server.url}"
    if options.crew is None:
        what += "; no language model is used"
    elif options.state is not None:
        what += f"; executions are stored in {options.state}"
    click.echo(one_line(what), err=True)
    if options.token is None:
        click.echo(f"generated token: {server.token}", err=True)
    shown = server.token if options.token is None else "…"
    click.echo(f"  CREW_URL={server.url} CREW_TOKEN={shown} {current_program()} run leads.csv", err=True)
    confirm(server.url)

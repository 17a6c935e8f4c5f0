"""`batchcrew serve`."""

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Any

import click

from batchcrew.cli.loop import call
from batchcrew.cli.options import option
from batchcrew.cli.signals import SIGNALS
from batchcrew.cli.sources import read_token
from batchcrew.errors import UsageError
from batchcrew.server import DIALECTS, CrewServer, ServeOptions, Spread, parse_share

TOKEN_VARIABLE = "BATCHCREW_SERVE_TOKEN"  # noqa: S105 - the variable's name
RATES = ("fail_rate", "http_error_rate", "drop_rate")


@click.command()
@click.argument("target", default="demo")
@option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 is any free one.")
@option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File that holds the bearer token; else ${TOKEN_VARIABLE}; else one is made and printed.",
)
@option("--dialect", type=click.Choice(DIALECTS), default="guide", show_default=True, help="How answers look.")
@option("--execution-time", default="2s±50%", show_default=True, help="Of one execution: 2s, 500ms, 2s±50%.")
@option("--fail-rate", default="0", help="Share of executions that end as failed: 0.2 or 20%.")
@option("--http-error-rate", default="0", help="Share of kickoffs and status calls answered with 500, 502 or 503.")
@option("--drop-rate", default="0", help="Share of kickoffs and status calls dropped without an answer.")
@option("--max-running", type=click.IntRange(min=1), help="Executions at once; 429 with Retry-After beyond it.")
@option("--seed", type=int, help="For a rehearsal that repeats.")
@option(
    "--no-idempotency",
    is_flag=True,
    help="Ignore Idempotency-Key, as deployed crews do: a lost answer is really in doubt.",
)
@option("--state", type=click.Path(dir_okay=False, path_type=Path), help="SQLite file to keep executions in.")
def command(target: str, *, token_file: Path | None, no_idempotency: bool, **options: Any) -> None:
    """The embedded crew server, for demos and rehearsals. TARGET is `demo`, a travel planner.

    It asks no language model. Its URL is printed on stdout once it listens; GET /stats counts what was asked.
    """
    if target != "demo":
        raise UsageError(f"{target!r} is no crew that can be served: only `demo` is built in")
    shares = {name: _share(name, options.pop(name)) for name in RATES}
    spread = Spread.parse(options.pop("execution_time"))
    token = read_token(token_file) or os.environ.get(TOKEN_VARIABLE) or None
    call(_serve(ServeOptions(token=token, execution_time=spread, idempotency=not no_idempotency, **shares, **options)))


def _share(name: str, text: str) -> Any:
    try:
        return parse_share(text)
    except UsageError as error:
        raise UsageError(f"--{name.replace('_', '-')}: {error}") from error


async def _serve(options: ServeOptions) -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)  # on stderr
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)  # a second one ends at once
        stopped.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop, number)
    async with CrewServer(options) as server:
        _greet(options, server)
        await stopped.wait()
        stats = server.stats
    click.echo(
        f"served {stats['kickoffs']} kickoffs, at most {stats['peak_running']} at once, "
        f"at most {stats['max_kickoffs_per_job']} for one job; "
        f"{stats['refused']} refused, {stats['disturbed']} requests went wrong on purpose",
        err=True,
    )


def _greet(options: ServeOptions, server: CrewServer) -> None:
    click.echo(
        f"serving the demo crew ({options.dialect} dialect) on {server.url}; no language model is asked", err=True
    )
    if options.token is None:
        click.echo(f"its token, made for this server: {server.token}", err=True)
    shown = server.token if options.token is None else "…"
    click.echo(f"  CREW_URL={server.url} CREW_TOKEN={shown} batchcrew run leads.csv", err=True)
    click.echo(server.url)

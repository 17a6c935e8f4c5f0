"""`batchcrew recheck`."""

import os
import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click

from batchcrew.app.batches import known_batch
from batchcrew.app.recheck import RecheckContext, RecheckRequest, recheck, recorded_source
from batchcrew.app.wiring import Source
from batchcrew.base.clock import SystemClock
from batchcrew.base.text import one_line
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import batch_argument, existing, json_option, ledger_option, option, stored_token_option
from batchcrew.cli.program import current_program
from batchcrew.cli.signals import with_signals
from batchcrew.cli.sources import read_token
from batchcrew.engine import Stop
from batchcrew.jobfile import JobFileOptions
from batchcrew.ledger import Ledger
from batchcrew.reports.as_json import json_document
from batchcrew.reports.commands import quoted
from batchcrew.reports.rechecks import Look, RecheckResult, look_json, look_line, recheck_json, recheck_summary

MOST_IN_JSON = 1000
"""Executions that are listed in the JSON document; all are counted."""


@click.command()
@batch_argument
@click.argument("jobs", nargs=-1)
@option("--crew-url", help="The URL to poll, instead of the one where the executions were started.")
@stored_token_option
@ledger_option
@json_option
def command(
    batch: str,
    jobs: tuple[str, ...],
    *,
    crew_url: str | None,
    token_file: Path | None,
    ledger: Path,
    as_json: bool,
) -> int:
    """Poll again the executions of BATCH (or only of JOBS) that timed out or were lost.

    If an execution has succeeded or failed in the meantime, its result or reason is recorded. Nothing is started or
    paid for, and no success is replaced. If an execution is still running, its job does not change; use `batchcrew
    attach` to watch it again.

    Executions are polled at the URL where they were started, with the token of the batch's job file.

    Exit 0 if every job of the batch has succeeded, 1 if some have not, 3 if work is left for the next run, 5 if the
    crew cannot be reached or refuses the token.
    """
    source = Source(
        path=Path(),  # the one that the ledger has recorded
        environ=dict(os.environ),
        today=datetime.now().astimezone().date(),
        options=JobFileOptions(
            crew_url=crew_url,
            crew_token=read_token(token_file),
            token_file=token_file,
            allow_outside=True,  # it was accepted when the batch was recorded, and no rows are read
        ),
        given=tuple(_given(crew_url, token_file)),
    )
    looks: list[Look] = []
    result = call(_recheck(existing(ledger), batch, jobs, source, looks, as_json=as_json))
    if as_json:
        click.echo(json_document({**recheck_json(result), "executions": [look_json(look) for look in looks]}))
    else:
        click.echo(recheck_summary(result, current_program()))
    return result.exit_code


def _given(crew_url: str | None, token_file: Path | None) -> Iterator[str]:
    """Yield the options that printed commands repeat."""
    if crew_url is not None:
        yield f"--crew-url {quoted(crew_url)}"
    if token_file is not None:
        yield f"--token-file {quoted(str(token_file))}"


async def _recheck(
    path: Path, batch: str, jobs: tuple[str, ...], source: Source, looks: list[Look], *, as_json: bool
) -> RecheckResult:
    clock, stop, program = SystemClock(), Stop(), current_program()

    def report(look: Look) -> None:
        if not as_json:
            click.echo(look_line(look, batch, str(path), program))
        elif len(looks) < MOST_IN_JSON:
            looks.append(look)

    async with Ledger(path, clock=clock) as ledger:
        key = await known_batch(ledger, batch)
        recorded = await ledger.recorded_jobfile(batch)
        assert recorded is not None  # noqa: S101 - there is such a batch
        request = RecheckRequest(key, jobs, await recorded_source(batch, source, recorded, path))
        context = RecheckContext(
            stop=stop,
            clock=clock,
            rng=random.Random(),
            report=report,
            warn=lambda message: say(f"warning: {one_line(message)}"),
        )
        return await with_signals(recheck(request, context, ledger=ledger), stop)

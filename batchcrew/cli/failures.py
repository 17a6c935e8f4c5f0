"""`batchcrew failures`."""

import json
from pathlib import Path

import click

from batchcrew.app.batches import named_or_latest
from batchcrew.base.clock import SystemClock
from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_if_named, batch_option, existing, json_option, ledger_option
from batchcrew.cli.output import terminal_columns
from batchcrew.cli.program import current_program
from batchcrew.ledger import BatchKey, LedgerReader
from batchcrew.model.failures import FailureGroups
from batchcrew.reports.failures import (
    MOST_AS_TEXT,
    MOST_IN_JSON,
    FailuresView,
    failures_head,
    group_json,
    group_lines,
    json_head,
    json_piece,
    more_groups_line,
)


@click.command()
@click.argument("batch", required=False)
@batch_option
@ledger_option
@json_option
def command(batch: str | None, *, named_batch: str | None, ledger: Path, as_json: bool) -> None:
    """Explain the failures of BATCH (default: the one that ran last), the largest group of failed and held jobs first.

    The reasons in a group differ only in numbers, ids, quoted text and addresses. Each group is shown with its share,
    an example, what was spent on it, and the command that retries it.
    """
    call(_failures(existing(ledger), batch_if_named(batch, named_batch), as_json=as_json))


async def _failures(path: Path, batch: str | None, *, as_json: bool) -> None:
    """Print each group as soon as it is read: memory does not grow with the number of jobs."""
    async with LedgerReader(path, clock=SystemClock()) as ledger:
        key = await named_or_latest(ledger, batch)
        view = FailuresView(
            batch=key.batch,
            ledger=str(path),
            program=current_program(),
            counts=await ledger.counts(key),
            width=terminal_columns(),
        )
        groups = await ledger.failure_groups(key, MOST_IN_JSON if as_json else MOST_AS_TEXT)
        if as_json:
            await _as_json(ledger, key, view, groups)
        else:
            await _as_text(ledger, key, view, groups)


async def _as_text(ledger: LedgerReader, key: BatchKey, view: FailuresView, groups: FailureGroups) -> None:
    click.echo(failures_head(view, groups))
    for group in groups.groups:
        for line in group_lines(view, groups, group, await ledger.group_detail(key, group)):
            click.echo(line)
    if more := more_groups_line(view, groups):
        click.echo(more)


async def _as_json(ledger: LedgerReader, key: BatchKey, view: FailuresView, groups: FailureGroups) -> None:
    click.echo("{")
    for name, value in json_head(view, groups).items():
        click.echo(f"  {json.dumps(name)}: {json_piece(value, 0)},")
    click.echo('  "groups": [', nl=False)
    for number, group in enumerate(groups.groups):
        detail = await ledger.group_detail(key, group)
        reason = await ledger.whole_reason(key, group.example_job)
        click.echo(",\n" if number else "\n", nl=False)
        click.echo(json_piece(group_json(view, groups, group, detail, reason), 4), nl=False)
    click.echo("\n  ]\n}" if groups.groups else "]\n}")

"""`batchcrew judge`."""

import os
from datetime import datetime
from pathlib import Path

import click

from batchcrew.app.judge import JudgeRequest, judge
from batchcrew.app.wiring import Source
from batchcrew.base.clock import SystemClock
from batchcrew.cli.loop import call
from batchcrew.cli.options import batch_option, existing, json_option, ledger_option, one_batch, option
from batchcrew.cli.program import current_program
from batchcrew.jobfile import JobFileOptions
from batchcrew.reports.as_json import json_document
from batchcrew.reports.judgements import Judgement, judge_json, judge_summary, judgement_json, judgement_line

MOST_IN_JSON = 1000
"""Jobs that are listed in the JSON document; all are counted."""


@click.command()
@click.argument("batch", required=False)
@batch_option
@option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@ledger_option
@json_option
def command(batch: str | None, *, named_batch: str | None, dry_run: bool, ledger: Path, as_json: bool) -> int:
    """Apply the rules of `accept:` in the job file of BATCH, as they are now, to the answers in the ledger.

    A succeeded job whose answer a rule rejects fails, and a failed job whose rejected answer is accepted now succeeds.
    No other job is changed, and nothing is started or paid for. Stale jobs are counted and not judged.

    Exit 0 if every job of the batch has succeeded, 1 if some have not, 3 if work is left for the next run. With
    --dry-run, exit 0.
    """
    name = one_batch(batch, named_batch)
    request = JudgeRequest(
        ledger=existing(ledger),
        batch=name,
        source=Source(
            path=Path(),  # the one that the ledger has recorded
            environ=dict(os.environ),
            today=datetime.now().astimezone().date(),
            options=JobFileOptions(allow_outside=True),  # it was accepted when the batch was recorded
        ),
        dry_run=dry_run,
    )
    listed: list[Judgement] = []

    def report(judgement: Judgement) -> None:
        if not as_json:
            click.echo(judgement_line(judgement))
        elif len(listed) < MOST_IN_JSON:
            listed.append(judgement)

    result = call(judge(request, clock=SystemClock(), report=report))
    if as_json:
        click.echo(json_document({**judge_json(result), "jobs": [judgement_json(each) for each in listed]}))
    else:
        click.echo(judge_summary(result, current_program()))
    return result.exit_code

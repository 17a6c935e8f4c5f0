"""`batchcrew check`."""

from pathlib import Path
from typing import Any

import click

from batchcrew.checking import CheckResult, check_batch
from batchcrew.cli.loop import call
from batchcrew.cli.options import jobfile_ledger_option, json_option, option
from batchcrew.cli.output import terminal_columns
from batchcrew.cli.program import current_program
from batchcrew.cli.sources import source, source_options
from batchcrew.clock import SystemClock
from batchcrew.errors import ExitCode
from batchcrew.reports.as_json import json_document, plan_json
from batchcrew.reports.tables import render_plan


@click.command()
@source_options
@jobfile_ledger_option
@option("--offline", is_flag=True, help="Leave the crews alone: read the files and the ledger only.")
@json_option
def command(jobfile: Path | None, *, ledger: Path | None, offline: bool, as_json: bool, **options: Any) -> int:
    """Read JOBFILE whole, ask each crew for its inputs and print the plan. Kicks nothing off.

    Exit 2 when the file is wrong or jobs lack inputs, 5 when a crew cannot be worked with.
    """
    jobs, ledger = source(jobfile, ledger, options, {})
    result = call(check_batch(jobs, ledger=ledger, offline=offline, clock=SystemClock(), program=current_program()))
    if as_json:
        plan = plan_json(result.plan, batch=result.batch, jobfile=result.jobfile, crews=result.crews)
        click.echo(json_document({**plan, **spending_json(result), "notes": list(result.notes)}))
    else:
        click.echo(
            render_plan(
                result.plan,
                batch=result.batch,
                jobfile=result.jobfile,
                crews=result.crews,
                notes=result.notes,
                width=terminal_columns(),
            )
        )
    if result.lacking:
        return ExitCode.USAGE
    return ExitCode.CREW_UNUSABLE if result.unusable else ExitCode.SUCCEEDED


def spending_json(result: CheckResult) -> dict[str, object]:
    """`{"to_kick_off", "kickoffs": {"least", "most"}, "cost"}`; `most` counts every retry."""
    least, most = result.kickoffs
    return {"to_kick_off": result.to_kick_off, "kickoffs": {"least": least, "most": most}, "cost": result.cost}

"""Print the plan for `check` and `run --dry-run`, and return the exit code."""

import click

from batchcrew.app.check import CheckResult, check_batch
from batchcrew.base.clock import SystemClock
from batchcrew.cli.loop import call
from batchcrew.cli.output import print_report, terminal_columns
from batchcrew.cli.program import current_program
from batchcrew.cli.sources import Target
from batchcrew.model import exit_codes
from batchcrew.reports.as_json import json_document
from batchcrew.reports.forecast import forecast_json, forecast_lines
from batchcrew.reports.plan_as_json import plan_json
from batchcrew.reports.rows_files import questions_json, render_questions, render_rows_files, rows_files_json
from batchcrew.reports.tables import render_plan


def check_and_report(
    target: Target,
    *,
    offline: bool,
    as_json: bool,
    retry_failed: bool = False,
    limit: int | None = None,
) -> int:
    """Print the plan of a batch; return the exit code: that of a run that could not start, else 0."""
    clock = SystemClock()
    checking = check_batch(
        target.source,
        ledger=target.ledger,
        offline=offline,
        clock=clock,
        program=current_program(),
        retry_failed=retry_failed,
        limit=limit,
    )
    result = call(checking)
    notes = [*result.notes, *forecast_lines(result.forecast, clock.now())]
    if result.needs_consent is not None:
        notes.append(f"a run would stop before its first kickoff: {result.needs_consent} (--accept-changes)")
    if as_json:
        plan = plan_json(result.plan, batch=result.batch, jobfile=result.jobfile, crews=result.crews)
        samples = [
            {"job_id": job.job_id, "crew": job.crew, "inputs": job.inputs, "meta": job.meta} for job in result.samples
        ]
        files = {"rows_files": rows_files_json(result.rows_files), "questions": questions_json(result.questions)}
        click.echo(json_document({**plan, **_spending(result), **files, "notes": notes, "samples": samples}))
    else:
        width = terminal_columns()
        plan_text = render_plan(
            result.plan,
            batch=result.batch,
            jobfile=result.jobfile,
            crews=result.crews,
            notes=notes,
            samples=result.samples,
            width=width,
        )
        files_lines = (*render_rows_files(result.rows_files, width=width or 80), *render_questions(result.questions))
        print_report("\n".join((plan_text, *files_lines)))
    return exit_codes.of_check(
        missing_inputs=result.missing_inputs > 0,
        crew_unusable=bool(result.unusable),
        needs_consent=result.needs_consent is not None,
    )


def _spending(result: CheckResult) -> dict[str, object]:
    """Return `{"to_kick_off", "kickoffs": {"least", "most"}, "cost", "forecast", "needs_consent"}`; `most` counts every
    retry."""
    least, most = result.kickoffs
    return {
        "to_kick_off": result.to_kick_off,
        "kickoffs": {"least": least, "most": most},
        "cost": result.cost,
        "forecast": forecast_json(result.forecast),
        "needs_consent": result.needs_consent,
    }

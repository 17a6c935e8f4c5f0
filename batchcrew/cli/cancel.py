"""`batchcrew cancel`."""

from dataclasses import asdict
from pathlib import Path

import click

from batchcrew.app.control import ControlRequest, cancel
from batchcrew.app.watch import read_status
from batchcrew.base.errors import UsageError
from batchcrew.cli.control import confirm_as_json, control_request, reason_option, shown
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import batch_and_jobs, batch_option, json_option, ledger_option, option
from batchcrew.cli.output import confirm
from batchcrew.cli.program import current_program
from batchcrew.cli.prompt import agreed, at_a_terminal
from batchcrew.reports.commands import retry_command, status_command


@click.command()
@click.argument("batch", required=False)
@click.argument("jobs", nargs=-1)
@batch_option
@reason_option
@option("-y", "--yes", is_flag=True, help="Cancel a whole batch without a confirmation prompt.")
@ledger_option
@json_option
def command(
    batch: str | None,
    jobs: tuple[str, ...],
    *,
    named_batch: str | None,
    reason: str | None,
    yes: bool,
    ledger: Path,
    as_json: bool,
) -> None:
    """Cancel JOBS of BATCH (default: all that have not ended), also while a run is in progress.

    Pending jobs do not start. Executions in progress are not watched any more, but crews have no way to end them: they
    continue, and cost money. `retry --state cancelled` undoes it.
    """
    name, jobs = batch_and_jobs(batch, jobs, named_batch)
    request = control_request(name, ledger, reason)
    if not jobs and not yes and at_a_terminal():
        _require_consent(request)
    done = call(cancel(request, jobs))
    number = done.pending + done.let_go + done.requested
    if jobs and not number + done.ended:
        shows = status_command(name, str(ledger), current_program())
        raise UsageError(f"none of these jobs is pending or in progress; see `{shows}`")
    if as_json:
        confirm_as_json("cancel", request, changed=number > 0, **asdict(done))
        return
    confirm(f"{_jobs(number)} of {shown(name)} {'is' if number == 1 else 'are'} cancelled")
    if done.ended:
        say(f"{_jobs(done.ended)} had ended by then")
    if done.let_go:
        say(f"warning: {_executions(done.let_go)} not watched any more, but may still be running (and billed)")
    if done.requested:
        say(f"warning: the run in progress still watches {done.requested} of them; see `status`")
    if number:
        undo = retry_command(name, str(ledger), "--state cancelled", program=current_program(), job_ids=jobs)
        say(f"to run cancelled jobs after all: {undo}")


def _require_consent(request: ControlRequest) -> None:
    counts = call(read_status(request.ledger, request.batch, request.clock)).line.counts
    if counts.left:
        what = f"{_jobs(counts.pending)} pending, {counts.open} in progress"
        if not agreed(f"{shown(request.batch)}: {what}. Cancel them?", "nothing was cancelled"):
            raise UsageError("nothing was cancelled")


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


def _executions(number: int) -> str:
    return "1 execution is" if number == 1 else f"{number} executions are"

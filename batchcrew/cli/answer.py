"""`batchcrew answer`."""

import os
from datetime import datetime
from pathlib import Path

import click

from batchcrew.app.answer import AnswerContext, AnswerRequest, answer
from batchcrew.app.answer_sheet import checked_decision
from batchcrew.app.batches import known_batch
from batchcrew.app.recheck import recorded_source
from batchcrew.app.wiring import Source
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.base.text import one_line
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import batch_argument, existing, json_option, ledger_option, option, stored_token_option
from batchcrew.cli.program import current_program
from batchcrew.cli.signals import with_signals
from batchcrew.cli.sources import read_token
from batchcrew.engine import Stop
from batchcrew.jobfile import JobFileOptions
from batchcrew.ledger import Ledger
from batchcrew.model import exit_codes
from batchcrew.model.answers import Answered, AnswerResult
from batchcrew.model.waits import Decision
from batchcrew.reports.as_json import json_document
from batchcrew.reports.inbox import answered_line, answers_json, answers_summary

MOST_IN_JSON = 1000
"""Decisions that are listed in the JSON document; all are counted."""


@click.command()
@batch_argument
@click.argument("job", required=False)
@option("--approve", is_flag=True, help="Approve the task's output: the execution continues.")
@option("--reject", is_flag=True, help="Reject the task's output: the crew repeats the task with --feedback.")
@option("--feedback", help="What to improve, or @FILE to read it from a file; required with --reject.")
@option("--task", "task_id", help="The id of the task, for crews that do not name it.")
@option(
    "--csv",
    "--xlsx",
    "sheet",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A filled-in sheet of `batchcrew inbox`, in place of JOB; rows without a decision stay open.",
)
@stored_token_option
@ledger_option
@json_option
def command(
    batch: str,
    job: str | None,
    *,
    approve: bool,
    reject: bool,
    feedback: str | None,
    task_id: str | None,
    sheet: Path | None,
    token_file: Path | None,
    ledger: Path,
    as_json: bool,
) -> int:
    """Answer JOB of BATCH, which waits for human input, or all rows of a sheet.

    Each decision is sent once, even if the command is interrupted: call it again to send the rest. A run may watch the
    batch meanwhile, and resumes the executions at once; otherwise the next run or tick does. A decision about a
    question that is not open any more is skipped and reported.

    Exit 0 if every decision has arrived, 1 if some were skipped, refused or put on hold, 3 if some are left for
    another call, 5 if the crew cannot be reached or refuses the token.
    """
    if sheet is not None and (job is not None or approve or reject or feedback is not None or task_id is not None):
        raise UsageError("--csv and --xlsx cannot be combined with JOB and its options: the sheet has the decisions")
    if sheet is None and (job is None or approve == reject):
        raise UsageError("missing decision (expected JOB with --approve or --reject, or --csv FILE, or --xlsx FILE)")
    source = Source(
        path=Path(),  # the one that the ledger has recorded
        environ=dict(os.environ),
        today=datetime.now().astimezone().date(),
        options=JobFileOptions(
            crew_token=read_token(token_file),
            token_file=token_file,
            allow_outside=True,  # it was accepted when the batch was recorded, and no rows are read
        ),
    )
    decision = None if sheet is not None else checked_decision(approve=approve, feedback=_text(feedback))
    answers: list[Answered] = []
    result = call(
        _answer(existing(ledger), (batch, job, decision, task_id or "", sheet), source, answers, as_json=as_json)
    )
    code = exit_codes.of_answers(result)
    if as_json:
        click.echo(json_document(answers_json(result, answers, batch=batch, exit_code=int(code))))
    else:
        click.echo(answers_summary(result, batch, str(ledger), current_program()))
    return code


def _text(feedback: str | None) -> str:
    """Return the feedback, read from a file if it is given as @FILE.

    Raises:
        UsageError: the file cannot be read.
    """
    if feedback is None or not feedback.startswith("@"):
        return feedback or ""
    path = Path(feedback[1:])
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"--feedback {one_line(str(path))} cannot be read: {reason}") from error


async def _answer(
    path: Path,
    about: tuple[str, str | None, Decision | None, str, Path | None],
    source: Source,
    answers: list[Answered],
    *,
    as_json: bool,
) -> AnswerResult:
    batch, job, decision, task_id, sheet = about
    clock, stop = SystemClock(), Stop()

    def report(answered: Answered) -> None:
        if not as_json:
            click.echo(answered_line(answered))
        elif len(answers) < MOST_IN_JSON:
            answers.append(answered)

    async with Ledger(path, clock=clock) as ledger:
        key = await known_batch(ledger, batch)
        recorded = await ledger.recorded_jobfile(batch)
        assert recorded is not None  # noqa: S101 - there is such a batch
        source = await recorded_source(batch, source, recorded, path)
        request = AnswerRequest(key, source, job_id=job, decision=decision, task_id=task_id, sheet=sheet)
        context = AnswerContext(
            stop=stop, clock=clock, report=report, warn=lambda message: say(f"warning: {one_line(message)}")
        )
        return await with_signals(answer(request, context, ledger=ledger), stop)

"""Render the jobs that wait for human input, as text and as a sheet to fill in, and the results of decisions."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from batchcrew.base.clock import from_text
from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_block, clean_text
from batchcrew.model.answers import Answered, AnswerResult, Finding
from batchcrew.model.views import BatchStatus, JobDetail
from batchcrew.model.waits import WaitLine
from batchcrew.reports.commands import PROGRAM, answer_command, inbox_command

COLUMNS = ("job_id", "wait_id", "since", "task_id", "task", "output", "note", "decision", "feedback")
"""The columns of the sheet. `decision` and `feedback` are empty: you fill them in."""
SHOWN_LINES = 12
"""Lines of an output that `inbox` shows; the sheet and `--json` have all."""


def sheet_cells(line: WaitLine) -> list[str | None]:
    """Return the cells of one row of the sheet."""
    return [line.job_id, line.wait_id, line.since, line.task_id, line.task, line.output, line.note, None, None]


def inbox_lines(line: WaitLine, now: datetime) -> Iterator[str]:
    """Yield the lines of one waiting job.

    Args:
        now: aware.
    """
    ago = format_duration(max(0.0, (now - from_text(line.since)).total_seconds()))
    task = clean_text(line.task_id or "a task without a name")
    if line.task and line.task != line.task_id:
        task += f" ({clean_text(line.task)})"
    yield f"{clean_text(line.job_id)}: {task}, waiting for {ago} ({line.wait_id})"
    if line.note:
        yield f"  note: {clean_text(line.note)}"
    output = clean_block(line.output or "(the crew sends no output with its status)").splitlines()
    yield from (f"    {text}" for text in output[:SHOWN_LINES])
    if len(output) > SHOWN_LINES:
        yield f"    … {len(output) - SHOWN_LINES} more lines"


def waiting_lines(status: BatchStatus, now: datetime) -> Iterator[str]:
    """Yield the lines of a status about the first waiting jobs.

    Args:
        now: aware.
    """
    if status.waiting:
        yield "  waiting for human input:"
        yield from (f"    {next(inbox_lines(line, now))}" for line in status.waiting)
        more = status.line.counts.waiting - len(status.waiting)
        if more > 0:
            yield f"    and {more} more"


def asked_lines(detail: JobDetail) -> Iterator[str]:
    """Yield the lines of a job about the human input that it waits for."""
    line = detail.waiting
    if line is not None:
        yield f"  waiting for human input since {clean_text(line.since)} ({line.wait_id})"
        yield f"    task: {clean_text(line.task_id or 'without a name')}"
        if line.note:
            yield f"    note: {clean_text(line.note)}"
        if line.output:
            yield "    output to decide about:"
            yield from (f"      {text}" for text in clean_block(line.output).splitlines())


def inbox_end(batch: str, waiting: int, ledger: str, program: str = PROGRAM) -> str:
    """Return the last line of the inbox: the number of jobs, and the command that answers."""
    if not waiting:
        return f"{clean_text(batch)}: no job waits for human input"
    jobs = "1 job waits" if waiting == 1 else f"{waiting} jobs wait"
    command = answer_command(batch, ledger, program)
    return f"{clean_text(batch)}: {jobs} for human input; answer with: {command}"


_WORDS = {
    Finding.ANSWERED: "answered",
    Finding.BEFORE: "was answered before",
    Finding.STALE: "skipped",
    Finding.REFUSED: "refused by the crew",
    Finding.NOT_SENT: "not sent",
    Finding.ON_HOLD: "on hold",
    Finding.UNSETTLED: "not settled",
}


def answered_line(answered: Answered) -> str:
    """Return the result of one decision."""
    reason = f": {clean_text(answered.reason)}" if answered.reason else ""
    return f"job {clean_text(answered.job_id)} ({answered.wait_id}): {_WORDS[answered.finding]}{reason}"


def answers_summary(result: AnswerResult, batch: str, ledger: str, program: str = PROGRAM) -> str:
    """Return the number of decisions by result, and of jobs that still wait."""
    counts = [f"{result.found[finding]} {word}" for finding, word in _WORDS.items() if result.found[finding]]
    if result.undecided:
        counts.append(f"{result.undecided} without a decision")
    lines = [f"{clean_text(batch)}: {', '.join(counts) or 'nothing to send'}"]
    if result.stopped:
        lines.append("  interrupted: run the same command again to send the rest")
    if result.waiting:
        jobs = "1 job waits" if result.waiting == 1 else f"{result.waiting} jobs wait"
        lines.append(f"  {jobs} for human input: {inbox_command(batch, ledger, program)}")
    return "\n".join(lines)


def answers_json(result: AnswerResult, answers: Sequence[Answered], *, batch: str, exit_code: int) -> dict[str, Any]:
    """Return `{"batch", "exit_code", "stopped", "counts", "undecided", "waiting", "answers"}`.

    `counts` has each kind of end, each of `answers` is `{"job_id", "wait_id", "result", "reason"}`.
    """
    return {
        "batch": batch,
        "exit_code": exit_code,
        "stopped": result.stopped,
        "counts": {finding.value: result.found[finding] for finding in Finding},
        "undecided": result.undecided,
        "waiting": result.waiting,
        "answers": [
            {"job_id": each.job_id, "wait_id": each.wait_id, "result": each.finding.value, "reason": each.reason}
            for each in answers
        ],
    }

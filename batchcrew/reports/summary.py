"""Render the end of a run in a few lines, with the next commands, and decide whether it needs the operator."""

from collections.abc import Iterator, Sequence

from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_name, clean_text
from batchcrew.model.job import JobState
from batchcrew.model.money import Spending
from batchcrew.model.run import Counts, JobLine, RunResult, StopReason
from batchcrew.model.views import JobDetail
from batchcrew.reports.commands import (
    answer_command,
    attach_command,
    control_command,
    export_command,
    failures_command,
    inbox_command,
    keep_command,
    recheck_command,
    report_command,
    retry_command,
    run_command,
    show_command,
)
from batchcrew.reports.failures import failure_lines
from batchcrew.reports.webhooks import webhooks_line

RETRY_BUDGET = "new jobs start before retries: at most 20% of the kickoffs of a minute, and 10 more, are retries"
SHOWN_SLOWEST = 3
SHOWN_DUPLICATES = 5
_ID_COLUMNS = 24
_ENOUGH_KICKOFFS = 3
"""Number of kickoffs of a run from which on its rate is shown."""
_LINE_COLUMNS = 78
_ON_PURPOSE = {
    None,
    StopReason.SIGNAL,
    StopReason.MAX_RUNTIME,
    StopReason.LIMIT,
    StopReason.PAUSED,
    StopReason.COMMAND,
}


def went_well(result: RunResult) -> bool:
    """Return whether to report success to a monitor: no job failed or is held, and the next run can resume the rest.

    Work that is left by `max_runtime`, `--limit`, a signal, `pause` or `stop` needs nothing but another run.
    """
    counts = result.counts
    if result.stopped not in _ON_PURPOSE:
        return False
    return bool(counts.left) or counts.succeeded == counts.total


def needs_person(result: RunResult) -> bool:
    """Return whether `--quiet` should print the summary: the run needs the operator, and this was not reported before.

    A finished batch that cron calls again, and ticks that keep stopping for one reason, are reported once.
    """
    waits = result.stopped is StopReason.WAITING
    return (waits or not went_well(result)) and result.run_id is not None and not result.repeated


def render_summary(result: RunResult) -> str:
    """Render the summary as plain lines of at most 80 columns (commands, paths and ids are never cut).

    The text has no colour and no final newline.
    """
    lines = [headline(result)]
    lines += [f"  {line}" for line in _body(result)]
    if result.without_output:
        lines.append(f"  warning: {without_output_line(result.without_output, result.without_output_jobs)}")
    if result.lookalikes:
        lines.append(f"  warning: {lookalikes_line(result.lookalikes, result.lookalike_example)}")
    commands = list(next_commands(result))
    width = max((len(purpose) for purpose, _ in commands), default=0)
    lines += [f"  {purpose + ':':<{width + 1}} {command}" for purpose, command in commands]
    return "\n".join(lines)


def render_tick(result: RunResult) -> str:
    """Render the summary of a tick: one line while work is left, the full summary once the batch ended or stopped.

    A warning about this tick's answers follows the line.
    """
    counts = result.counts
    if result.stopped is not None or (result.run_id is not None and not counts.left):
        return render_summary(result)
    if result.run_id is None:
        return headline(result)
    kickoffs = "1 kickoff" if result.kickoffs == 1 else f"{result.kickoffs} kickoffs"
    line = f"{clean_text(result.batch)}: {kickoffs} in this tick; {_jobs(counts.total)}: {count_words(counts)}"
    if result.lookalikes:  # no other tick counts these
        line += f"\n  warning: {lookalikes_line(result.lookalikes, result.lookalike_example)}"
    return line


def headline(result: RunResult) -> str:
    """Return the first line: `travel: 24 of 24 jobs succeeded`."""
    counts, batch = result.counts, clean_text(result.batch)
    succeeded = f"{counts.succeeded} of {_jobs(counts.total)}"
    if result.run_id is None and result.stopped is None and not counts.left:
        return f"{batch}: nothing left to run: {succeeded} succeeded"
    return f"{batch}: {succeeded} succeeded"


def count_words(counts: Counts) -> str:
    """Return the number of jobs in each state: `20 succeeded, 3 failed, 1 pending`."""
    named = {
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "held": counts.held,
        "stale": counts.stale,
        "cancelled": counts.cancelled,
        "in progress": counts.open,
        "waiting for human input": counts.waiting,
        "pending": counts.pending,
    }
    return ", ".join(f"{number} {name}" for name, number in named.items() if number) or "no jobs"


def _executions_of_other_runs(result: RunResult) -> Iterator[str]:
    """Yield lines about executions that are left to the next run, and about those that an earlier run has left."""
    if result.counts.open > result.unanswered and result.run_id is not None:
        number = result.counts.open - result.unanswered
        executions, them = ("1 execution", "it") if number == 1 else (f"{number} executions", "them")
        if result.crew_ended:
            yield f"{executions} stopped with the crew of this run; the next run will start {them} again"
        else:
            yield f"{executions} still running on the crew; the next run resumes watching {them}"
    if result.interrupted:
        yield interrupted_line(result.interrupted, result.interrupted_jobs)


def interrupted_line(number: int, jobs: Sequence[str]) -> str:
    """Return which executions an earlier run has interrupted."""
    what = "1 execution was" if number == 1 else f"{number} executions were"
    more = ", …" if number > len(jobs) else ""
    named = ", ".join(clean_name(job, limit=_ID_COLUMNS) for job in jobs)
    return f"{what} interrupted with an earlier run and started again: {named}{more}"


def _jobs(number: int) -> str:
    return f"{number} job" if number == 1 else f"{number} jobs"


def _body(result: RunResult) -> Iterator[str]:
    counts = result.counts
    if result.stopped is not None:
        why = clean_text(result.stop_detail or result.stopped.value.replace("_", " "))
        yield f"stopped: {why}"
    if counts.succeeded < counts.total:
        yield f"jobs: {count_words(counts)}"
    if result.unanswered:
        one = result.unanswered == 1
        doubt = "1 kickoff is in doubt" if one else f"{result.unanswered} kickoffs are in doubt"
        yield f"{doubt} (not answered yet); the next run will resolve {'it' if one else 'them'}"
    yield from _executions_of_other_runs(result)
    if counts.removed:
        yield f"no longer in the file, kept in the ledger: {_jobs(counts.removed)}"
    if result.run_id is not None:
        yield _time(result)
    yield from money_lines(result.spending)
    if result.webhooks is not None and (line := webhooks_line(result.webhooks)):
        yield line
    if counts.possible_duplicates or result.duplicates:
        yield duplicates_line(counts.possible_duplicates, result.duplicates)
    if result.slowest:
        yield "slowest: " + ", ".join(_slow(line) for line in result.slowest[:SHOWN_SLOWEST])
    yield from _files(result)
    yield from _failures(result)


def _files(result: RunResult) -> Iterator[str]:
    if result.ledger:
        yield f"ledger: {clean_text(result.ledger)}"
    for path in result.reports:
        yield f"report: {clean_text(path)}"
    if result.missing_reports:
        yield f"warning: reports not written: {', '.join(result.missing_reports)}"


def _time(result: RunResult) -> str:
    text = f"time: {format_duration(result.wall_seconds)}"
    if result.kickoffs:
        text += f", {result.kickoffs} {'kickoff' if result.kickoffs == 1 else 'kickoffs'}"
        if result.kickoffs >= _ENOUGH_KICKOFFS and result.wall_seconds >= 1:
            text += f" ({result.kickoffs / result.wall_seconds * 60:.1f}/min)"
        if result.cost:
            text += f", {result.cost}"
        if result.spending.tokens.total is not None:
            text += f", {result.spending.tokens.total:,} tokens"
    return text


def money_lines(spending: Spending) -> Iterator[str]:
    """Yield the cost of failures, and the number of executions whose tokens are missing in the cost."""
    if any(most for _, most in spending.wasted.amounts.values()):
        yield f"spent on failures: {spending.wasted.text}"
    if number := spending.spent.without_tokens:
        executions, their = ("1 execution", "its") if number == 1 else (f"{number} executions", "their")
        yield f"the tokens of {executions} are not known, so {their} cost is not complete"


def _slow(line: JobLine) -> str:
    name = clean_name(line.job_id, _ID_COLUMNS)
    return name if line.seconds is None else f"{name} ({format_duration(line.seconds)})"


def duplicates_line(number: int, job_ids: Sequence[str]) -> str:
    """Return `possible duplicates: 2 (jobs a, b)`; `job_ids` may be the first few of the `number`."""
    number = max(number, len(job_ids))
    return f"possible duplicates: {number}{_named(number, job_ids)}"


def without_output_line(number: int, job_ids: Sequence[str]) -> str:
    """Return `2 jobs succeeded without an output (jobs a, b)`; `job_ids` may be the first few of the `number`."""
    return f"{_jobs(number)} succeeded without an output{_named(number, job_ids)}"


def lookalikes_line(number: int, example: tuple[str, str] | None) -> str:
    """Return `3 jobs succeeded with an answer that may be useless (such as job tokyo: an apology)`."""
    text = f"{_jobs(number)} succeeded with an answer that may be useless"
    if example is None:
        return text
    job_id, kind = example
    return f"{text} ({'such as job' if number > 1 else 'job'} {clean_name(job_id, _ID_COLUMNS)}: {kind})"


def _named(number: int, job_ids: Sequence[str]) -> str:
    """Return ` (jobs a, b, …)`: the first few of the `number` jobs; nothing if `job_ids` is empty."""
    shown = [clean_name(job_id, _ID_COLUMNS) for job_id in job_ids[:SHOWN_DUPLICATES]]
    if 0 < len(shown) < number:
        shown.append("…")
    return f" ({'job' if number == 1 else 'jobs'} {', '.join(shown)})" if shown else ""


def _failures(result: RunResult) -> Iterator[str]:
    if result.failures.groups:
        yield "failures:"
        yield from failure_lines(result.failures, width=_LINE_COLUMNS, indent=2)


def job_commands(job: JobDetail, ledger: str, program: str) -> Iterator[tuple[str, str]]:
    """Yield (purpose, command) of what you may do about one job that is on hold, or waits for human input."""
    if job.state is JobState.WAITING:
        yield "approve it", answer_command(job.batch, ledger, program, job_id=job.job_id)
    if job.state is JobState.HELD:
        yield "attach it", attach_command(job.batch, job.job_id, ledger, program)
        if job.in_file:
            yield "retry it", retry_command(job.batch, ledger, job_ids=[job.job_id], program=program)


def _commands_for_stale(result: RunResult) -> Iterator[tuple[str, str]]:
    batch, ledger, program = result.batch, result.ledger, result.program
    if not result.counts.stale:
        return
    if result.jobfile:
        again = run_command(result.jobfile, ledger, *result.jobfile_options, "--rerun-changed", program=program)
        yield "rerun the stale jobs", again
    yield "or keep their answers", keep_command(batch, ledger, program=program)


def _commands_for_held(result: RunResult, run: str) -> Iterator[tuple[str, str]]:
    batch, ledger, program = result.batch, result.ledger, result.program
    if not result.counts.held:
        return
    retry = retry_command(batch, ledger, "--held", program=program)
    yield "retry the held jobs", f"{retry} && {run}" if run else retry
    held = next((line for line in result.failing if line.state is JobState.HELD), None)
    if held is not None:
        yield "or attach an execution", attach_command(batch, held.job_id, ledger, program)


def next_commands(result: RunResult) -> Iterator[tuple[str, str]]:
    """Yield (purpose, command) of what you may do next, the likeliest first."""
    counts, batch, ledger, program = result.counts, result.batch, result.ledger, result.program
    run = run_command(result.jobfile, ledger, *result.jobfile_options, program=program) if result.jobfile else ""
    if result.stopped is StopReason.PAUSED:
        yield "unpause", control_command("unpause", batch, ledger, program=program)
    if counts.waiting:
        yield "see what waits", inbox_command(batch, ledger, program)
    if (result.stop_detail or "").startswith("max_cost of "):
        yield "raise max_cost", control_command("set", batch, ledger, "max_cost=AMOUNT", program=program)
    if counts.left and run:
        yield "resume", run
    if result.unsure:
        yield "recheck", recheck_command(batch, ledger, *result.jobfile_options, program=program)
    if counts.failed:
        yield (
            "retry the failed jobs",
            run_command(result.jobfile, ledger, *result.jobfile_options, "--retry-failed", program=program)
            if run
            else retry_command(batch, ledger, program=program),
        )
    yield from _commands_for_stale(result)
    yield from _commands_for_held(result, run)
    if result.failures.groups:
        yield "explain the failures", failures_command(batch, ledger, program)
    if result.failing:
        yield "show a failing job", show_command(batch, result.failing[0].job_id, ledger, program)
    if result.run_id is not None and counts.ended and not result.reports:
        yield "report", report_command(batch, ledger, program)
    if counts.succeeded:
        yield "export the results", export_command(batch, ledger, program)

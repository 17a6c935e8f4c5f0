"""Render the output of `list`, `status`, `show` and `check`: plain text, cleaned, without colour and without a last
newline."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from batchcrew.base.clock import from_text
from batchcrew.base.json_values import writable
from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_name, clean_text, display_width, pad, wrap
from batchcrew.model.run import Plan
from batchcrew.model.views import BatchLine, BatchStatus, InFlight
from batchcrew.reports.commands import PROGRAM, failures_command
from batchcrew.reports.control import control_lines
from batchcrew.reports.crew_check import CrewCheck, SampleJob
from batchcrew.reports.failures import failure_lines
from batchcrew.reports.inbox import waiting_lines
from batchcrew.reports.outlook import outlook_line
from batchcrew.reports.served_crew import served_crew_lines
from batchcrew.reports.summary import RETRY_BUDGET, count_words, duplicates_line, without_output_line
from batchcrew.reports.totals import TOTALS_HEADER, totals_cells, totals_line
from batchcrew.reports.webhooks import webhooks_line

MOST_IN_FLIGHT = 50
"""Executions that `status` shows as text; `--json` has them all."""
_NAME_COLUMNS = 32
_LEAST_NAME_COLUMNS = 8
_REASON_COLUMNS = 200
_SERVED_COLUMNS = 1000
"""Columns of the lines about a served crew, where there is no terminal."""


def render_list(lines: Sequence[BatchLine], *, width: int | None = None) -> str:
    """Render a table with a batch on each line; if it is wider than the terminal, job files are below."""
    if not lines:
        return "no batches in this ledger yet"
    stale = any(line.counts.stale for line in lines)
    header = ["batch", "jobs", "succeeded", "failed", "held", "left", "state", "last run", "no output"]
    waiting = any(line.counts.waiting for line in lines)
    header[5:5] = [*(["stale"] if stale else []), *(["waiting"] if waiting else [])]
    right = {*range(1, 6 + stale + waiting), len(header) - 1}
    right |= {len(header) + number for number in range(len(TOTALS_HEADER))}
    rows = [
        [
            clean_name(line.batch, _NAME_COLUMNS),
            str(line.counts.total),
            str(line.counts.succeeded),
            str(line.counts.failed),
            str(line.counts.held),
            *([str(line.counts.stale)] if stale else []),
            *([str(line.counts.waiting)] if waiting else []),
            str(line.counts.left),
            _state(line),
            _minute(line.last_run_at),
            str(line.without_output or ""),
            *totals_cells(line.totals),
            clean_text(line.jobfile),
        ]
        for line in lines
    ]
    plain = fitting_table([*header, *TOTALS_HEADER, "job file"], rows, right=right, width=None)
    if width is None or max(map(display_width, plain)) <= width:
        return "\n".join(plain)
    # the totals and the job file are below each row
    short = [[*row[: len(header) - 1], _below(line)] for row, line in zip(rows, lines, strict=True)]
    return "\n".join(fitting_table([*header[:-1], "total, job file"], short, right=right, width=width))


def _below(line: BatchLine) -> str:
    total = totals_line(line.totals)
    facts = [] if total is None else [total.removeprefix("total: ")]
    if line.totals.last_exit_code is not None:
        facts.append(f"exit {line.totals.last_exit_code}")
    if line.without_output:
        facts.append(f"{line.without_output} without an output")
    return "; ".join([*facts, clean_text(line.jobfile)])


def render_status(
    status: BatchStatus, now: datetime, ledger: str = "", program: str = PROGRAM, *, width: int | None = None
) -> str:
    """Render counts, totals, the executions in progress and the failure groups.

    Args:
        now: aware.
        ledger: the ledger, as commands name it.
        width: of the terminal: long lines break between words. None: not a terminal, one line for each.
    """
    line = status.line
    counts = line.counts
    lines = [
        f"{clean_text(line.batch)}: {counts.succeeded} of {counts.total} jobs succeeded, {_state(line)}",
        f"  jobs: {count_words(counts)}",
    ]
    if counts.removed:
        lines.append(f"  no longer in the file, kept in the ledger: {counts.removed}")
    lines.append(f"  job file: {clean_text(line.jobfile)}")
    if line.last_run_at:
        exit_code = "" if line.totals.last_exit_code is None else f", exit {line.totals.last_exit_code}"
        lines.append(f"  last run: {clean_text(line.last_run_at)} ({_ago(line.last_run_at, now)} ago{exit_code})")
    if total := totals_line(line.totals):
        lines.append(f"  {total}")
    if end := outlook_line(line, now):
        lines.append(f"  {end}")
    lines += [f"  {text}" for text in control_lines(status.control, line.batch, now, ledger, program)]
    lines += [
        f"  concurrency auto: crew {clean_text(each.crew)} has {each.slots} slots since {_ago(each.since, now)} ago"
        f" ({clean_text(each.reason)})"
        for each in status.slots
    ]
    lines += [
        f"  retries: crew {clean_text(each.crew)} has {each.retries} that are due, and {each.new_jobs} new jobs;"
        f" {RETRY_BUDGET}"
        for each in status.due_retries
    ]
    if status.webhooks is not None and (received := webhooks_line(status.webhooks)):
        lines.append(f"  {received} in the latest run")
    if counts.possible_duplicates or status.duplicates:
        lines.append("  " + duplicates_line(counts.possible_duplicates, status.duplicates))
    if line.without_output:
        lines.append(f"  warning: {without_output_line(line.without_output, status.without_output_jobs)}")
    if status.in_flight:
        lines.append("  in progress:")
        shown = [_watched(entry, now) for entry in status.in_flight[:MOST_IN_FLIGHT]]
        header = ["job", "crew", "for", "status", "tasks", "task", "last answer"]
        room = None if width is None else width - 4
        lines += [f"    {row}" for row in fitting_table(header, shown, right={2}, width=room)]
        if len(status.in_flight) > MOST_IN_FLIGHT:
            lines.append(f"    and {len(status.in_flight) - MOST_IN_FLIGHT} more")
    lines += waiting_lines(status, now)
    if status.failures.groups:
        lines.append("  failures:")
        lines += failure_lines(status.failures, width=width, indent=4)
        lines.append(f"  explain the failures: {failures_command(line.batch, ledger, program)}")
    return "\n".join(lines)


def render_plan(
    plan: Plan,
    *,
    batch: str,
    jobfile: str,
    crews: Sequence[CrewCheck] = (),
    notes: Sequence[str] = (),
    samples: Sequence[SampleJob] = (),
    width: int | None = None,
) -> str:
    """Render the plan of a run, before money is spent.

    Args:
        samples: jobs as their crew would receive them.
        notes: sentences to end with, such as what the chosen delivery means.
        width: of the terminal: long lines break between words. None: not a terminal.
    """
    said = [
        (plan.new, "new"),
        (plan.stale, "changed after they succeeded: stale, not run again without your consent"),
        (plan.running, "changed while in progress: answers to their old inputs will be stale"),
        (plan.again, "changed before they succeeded: they run with the new inputs"),
        (plan.restored, "changed back: their earlier answers are valid again"),
        (plan.reused, "with the inputs of a removed or changed job: they reuse its answer"),
        (plan.unchanged, "unchanged"),
        (plan.removed, "no longer in the file: kept in the ledger, not run"),
    ]
    columns = max(len(str(number)) for number, _ in said)
    lines = [f"{clean_text(batch)}: {plan.total} {_jobs(plan.total)} in {clean_text(jobfile)}"]
    lines += [f"  {number:>{columns}} {what}" for number, what in said if number or what == "new"]
    for crew in crews:
        lines += _crew(crew)
        lines += [] if crew.served is None else served_crew_lines(crew.served, width or _SERVED_COLUMNS)
    lines += [f"  {clean_text(note)}" for note in notes]
    if samples:
        lines.append(
            "  the first job as its crew would receive it:"
            if len(samples) == 1
            else f"  the first {len(samples)} jobs as their crew would receive them:"
        )
    for sample in samples:
        lines += _sample(sample, width or 80)
    if width is not None:
        lines = [part for line in lines for part in _fitted(line, width)]
    return "\n".join(lines)


def _sample(sample: SampleJob, width: int) -> Iterator[str]:
    """Yield one line for each part of the request, cut at `width`."""
    yield f"    {clean_name(sample.job_id, _NAME_COLUMNS)}"
    for name, values in (("inputs", sample.inputs), ("meta", sample.meta)):
        if values or name == "inputs":
            text = json.dumps(writable(dict(values)), ensure_ascii=False)
            yield f"      {name}: {clean_text(text, limit=max(20, width - len(name) - 8))}"


def _fitted(line: str, width: int) -> Iterator[str]:
    """Yield a line in parts that fit, the further ones indented by four more."""
    if display_width(line) <= width:
        yield line
        return
    indent = len(line) - len(line.lstrip(" "))
    first, *others = wrap(line, width - indent - 4)
    yield " " * indent + first
    yield from (" " * (indent + 4) + part for part in others)


def _jobs(number: int) -> str:
    return "job" if number == 1 else "jobs"


def _state(line: BatchLine) -> str:
    if line.running:
        return "running"
    return "work left" if line.counts.left else "finished"


def _minute(moment: str | None) -> str:
    return f"{from_text(moment):%Y-%m-%d %H:%MZ}" if moment else "never"


def _ago(moment: str, now: datetime) -> str:
    return format_duration(max(0.0, (now - from_text(moment)).total_seconds()))


def _watched(entry: InFlight, now: datetime) -> list[str]:
    tasks = "" if entry.total_tasks is None else f"{entry.completed_tasks or 0}/{entry.total_tasks}"
    doing = clean_text(entry.current_task or "", limit=_NAME_COLUMNS)
    if entry.kickoff_id is None:
        doing = "kickoff not answered yet"
    name, crew = clean_name(entry.job_id, _NAME_COLUMNS), clean_name(entry.crew, _NAME_COLUMNS)
    word = clean_text(entry.status_word or "", limit=_NAME_COLUMNS)
    unclear = clean_text(entry.unclear_answer or "", limit=_REASON_COLUMNS)
    return [name, crew, _ago(entry.since, now), word, tasks, doing, unclear]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[int]) -> Iterator[str]:
    """Yield the lines of a table; columns whose number is in `right` are aligned to the right."""
    kept = [number for number in range(len(header)) if any(row[number] for row in rows)]
    widths = {number: max(display_width(row[number]) for row in (header, *rows)) for number in kept}
    for row in (header, *rows):
        yield "  ".join(pad(row[number], widths[number], right=number in right) for number in kept).rstrip()


def table_with_below(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[int], width: int | None
) -> Iterator[str]:
    """Yield a table; at a terminal of `width` columns the last cell of each row is below it, broken between words.

    Where the table is still wider than the terminal, a long first cell is put on a separate line above its row.
    Without a `width`, it is the plain table.
    """
    if width is None:
        yield from table(header, rows, right=right)
        return
    names = [row[0] for row in rows]
    short, others = list(header[:-1]), [list(row[:-1]) for row in rows]
    excess = max(map(display_width, table(short, others, right=right))) - width
    if excess > 0:
        room = max(_LEAST_NAME_COLUMNS, max(map(display_width, [short[0], *names])) - excess)
        others = [["" if display_width(row[0]) > room else row[0], *row[1:]] for row in others]
        short[0] = pad(short[0], room)
    first, *lines = table(short, others, right=right)
    yield first
    for name, line, shown, row in zip(names, lines, others, rows, strict=True):
        if name != shown[0]:
            yield name
        yield line
        yield from (f"  {part}" for part in wrap(row[-1], width - 2))


def fitting_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[int], width: int | None
) -> list[str]:
    """Return a table whose last cells are below their rows only where it is wider than the terminal."""
    lines = [*table(header, rows, right=right)]
    if width is None or max(map(display_width, lines)) <= width:
        return lines
    return [*table_with_below(header, rows, right=right, width=width)]


def _crew(crew: CrewCheck) -> Iterator[str]:
    name = f"crew {clean_text(crew.name)} ({clean_text(crew.url)}), {crew.jobs} {_jobs(crew.jobs)}"
    if crew.inputs is None:
        yield f"  {name}: {clean_text(crew.problem) if crew.problem else 'not checked'}"
        return
    expected = [clean_text(entry.name) + ("" if entry.required else " (optional)") for entry in crew.inputs.inputs]
    yield f"  {name}: expects {', '.join(expected) or 'no inputs'}"
    if crew.sent or crew.not_sent:
        yield f"    columns sent: {', '.join(map(clean_text, crew.sent)) or 'none'}"
    if crew.not_sent:
        names = ", ".join(map(clean_text, crew.not_sent))
        yield f"    columns not sent: {names} (`send:` in the job file changes that)"
    for wanted, number in crew.missing_inputs.items():
        are = "is" if number == 1 else "are"
        yield f"    {number} {_jobs(number)} {are} missing the input {clean_text(wanted)}"
    if crew.missing_jobs:
        first = ", ".join(clean_name(job_id, _NAME_COLUMNS) for job_id in crew.missing_jobs)
        yield f"    the first of these jobs: {first}"

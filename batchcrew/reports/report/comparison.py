"""Render the comparison of two batches as text, Markdown and JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_name, clean_text, display_width, pad, wrap
from batchcrew.model.comparison import ChangedRow, Comparison, StateChange
from batchcrew.model.report import Report
from batchcrew.reports.as_json import counts_json
from batchcrew.reports.report.markdown_report import code, plain

VERSION = 1
COLUMNS = 80
_NAME_COLUMNS = 24
_REASON_COLUMNS = 200
STATES = ("succeeded", "failed", "held", "stale", "cancelled", "waiting", "open", "pending")


def figures_of(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """Return (name, before, after, difference) of the figures of the batches; figures that neither has are left out."""
    before, after = comparison.before, comparison.after
    found = [("jobs", *_numbers(before.counts.total, after.counts.total))]
    for state in STATES:
        numbers = getattr(before.counts, state), getattr(after.counts, state)
        if any(numbers):
            found.append((state.replace("open", "in progress"), *_numbers(*numbers)))
    found.append(("kickoffs", *_numbers(before.money.kickoffs, after.money.kickoffs)))
    for name, costs in (
        ("spent", (before.money.spent, after.money.spent)),
        ("on failures", (before.money.wasted, after.money.wasted)),
    ):
        if any(costs):
            found.append((name, clean_text(costs[0] or ""), clean_text(costs[1] or ""), ""))
    if before.tokens.total is not None or after.tokens.total is not None:
        found.append(("tokens", *_numbers(before.tokens.total or 0, after.tokens.total or 0)))
    times = before.duration.elapsed_seconds, after.duration.elapsed_seconds
    found.append(("time", *_times(*times)))
    for name in ("p50", "p90", "p99"):
        slow = [getattr(of, name) if of else 0.0 for of in (_whole(before), _whole(after))]
        if all(slow):
            found.append((f"execution {name}", *_times(slow[0], slow[1])))
    return found


def _whole(report: Report) -> Any:
    """Return the distribution of the crew with the most executions."""
    return next((each for each in report.durations if each.task is None), None)


def _numbers(before: int, after: int) -> tuple[str, str, str]:
    difference = after - before
    return f"{before:,}", f"{after:,}", f"{difference:+,}" if difference else ""


def _times(before: float, after: float) -> tuple[str, str, str]:
    ratio = f"{(after / before - 1) * 100:+.0f}%" if before else ""
    return format_duration(before), format_duration(after), ratio


def sentences(comparison: Comparison) -> Iterator[str]:
    """Yield sentences about the rows."""
    rows = comparison.rows
    yield f"{rows.matched:,} rows are in both batches, {rows.same_inputs:,} of them with the same inputs."
    if rows.added:
        yield f"{rows.added:,} rows are new: {_examples(rows.added_jobs, rows.added)}."
    if rows.removed:
        yield f"{rows.removed:,} rows were removed: {_examples(rows.removed_jobs, rows.removed)}."
    if rows.outputs_compared:
        same = f", {rows.outputs_differ_with_same_inputs:,} of them with the same inputs" if rows.outputs_differ else ""
        differ = f"{rows.outputs_differ:,} have another output{same}"
        yield f"Of {rows.outputs_compared:,} rows that succeeded in both, {differ}."


def _examples(names: tuple[str, ...], number: int) -> str:
    shown = [clean_name(name, _NAME_COLUMNS) for name in names]
    return ", ".join(shown) + (", …" if number > len(shown) else "")


def comparison_text(comparison: Comparison) -> str:
    """Return the comparison in lines of at most 80 columns."""
    return "\n".join(_text_lines(comparison)) + "\n"


def _text_lines(comparison: Comparison) -> Iterator[str]:
    rows = comparison.rows
    names = [clean_name(each.batch, 22) for each in (comparison.before, comparison.after)]
    figures = [("", *names, "difference"), *figures_of(comparison)]
    widths = [max(display_width(line[place]) for line in figures) for place in range(4)]
    for line in figures:
        rest = (pad(cell, width, right=True) for cell, width in zip(line[1:], widths[1:], strict=True))
        yield "  ".join([pad(line[0], widths[0]), *rest]).rstrip()
    yield ""
    for sentence in sentences(comparison):
        yield from wrap(sentence, COLUMNS)
    for change in rows.changes:
        yield from wrap(f"{change_words(change)}: {_examples(change.examples, change.jobs)}", COLUMNS)
    if rows.rows:
        yield ""
        for row in rows.rows:
            first, *others = wrap(f"{clean_name(row.job_id, _NAME_COLUMNS)}  {row_words(row)}", COLUMNS - 2)
            yield first
            yield from (f"  {line}" for line in others)
    if rows.more_rows > 0:
        yield f"and {rows.more_rows:,} more rows; --limit lists more"


def change_words(change: StateChange) -> str:
    """Return `12 jobs: succeeded -> failed`."""
    jobs = "1 job" if change.jobs == 1 else f"{change.jobs:,} jobs"
    return f"{jobs} {change.before} -> {change.after}"


def row_words(row: ChangedRow) -> str:
    """Return the difference of a row: `succeeded -> failed: no flights`."""
    inputs = "" if row.same_inputs else ", other inputs"
    if row.outputs_differ:
        return f"another output{inputs}"
    reason = f": {clean_text(row.reason, limit=_REASON_COLUMNS)}" if row.reason and row.after != "succeeded" else ""
    return f"{row.before} -> {row.after}{inputs}{reason}"


def comparison_markdown(comparison: Comparison) -> str:
    """Return the comparison as GitHub-flavoured Markdown."""
    return "\n".join(_markdown_lines(comparison)) + "\n"


def _markdown_lines(comparison: Comparison) -> Iterator[str]:
    rows = comparison.rows
    before, after = (code(each.batch, limit=80) for each in (comparison.before, comparison.after))
    yield f"| | {before} | {after} | difference |"
    yield "|---|--:|--:|--:|"
    for line in figures_of(comparison):
        yield f"| {' | '.join(map(plain, line))} |"
    yield ""
    yield plain(f"{rows.matched:,} rows are in both batches, {rows.same_inputs:,} of them with the same inputs.")
    yield plain(f"{rows.added:,} rows are new, {rows.removed:,} removed, {rows.outputs_differ:,} have another output.")
    if rows.changes:
        yield ""
        yield "| change | such as |"
        yield "|---|---|"
        for change in rows.changes:
            yield f"| {plain(change_words(change))} | {' '.join(code(name, limit=40) for name in change.examples)} |"
    if rows.rows:
        yield ""
        yield "| row | what differs |"
        yield "|---|---|"
        for row in rows.rows:
            yield f"| {code(row.job_id, limit=80)} | {code(row_words(row), limit=_REASON_COLUMNS)} |"
    if rows.more_rows > 0:
        yield ""
        yield f"and {rows.more_rows:,} more rows"


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return `{"version", "before", "after", "rows"}`.

    `before` and `after` are `{"batch", "verdict", "counts", "money", "tokens", "elapsed_seconds", "durations"}` as in
    the report, `rows` has every field of `RowsCompared`.
    """
    return {
        "version": VERSION,
        "before": _batch(comparison.before),
        "after": _batch(comparison.after),
        "rows": asdict(comparison.rows),
    }


def _batch(report: Report) -> dict[str, Any]:
    return {
        "batch": report.batch,
        "verdict": report.verdict,
        "counts": counts_json(report.counts),
        "money": asdict(report.money),
        "tokens": asdict(report.tokens),
        "elapsed_seconds": report.duration.elapsed_seconds,
        "durations": [
            {key: getattr(each, key) for key in ("crew", "task", "number", "mean", "p50", "p90", "p99")}
            for each in report.durations
        ],
    }

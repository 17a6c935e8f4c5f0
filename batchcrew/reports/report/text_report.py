"""The report as plain text of 80 columns, for mail."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from batchcrew.base.text import clean_text, display_width, pad, wrap
from batchcrew.model.report import Report, ReportedFailures
from batchcrew.reports.report.figures import (
    DISTRIBUTION_HEADER,
    distribution_cells,
    facts_of,
    failure_facts,
    moment,
    parts_of,
    run_words,
    sparkline,
)
from batchcrew.reports.report.report_format import ReportFormat, ReportSource

COLUMNS = 80
_REASON_COLUMNS = 400
_NAME_COLUMNS = 24
MOST_GROUPS = 10
MOST_RUNS = 10
MOST_TASKS = 10


def text_report(report: Report) -> str:
    """Return the report; lines have at most 80 columns, apart from commands."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield from wrap(clean_text(report.batch), COLUMNS)
    yield from wrap(report.verdict, COLUMNS)
    yield ""
    yield from _pairs(facts_of(report))
    if parts := parts_of(report):
        yield from _heading("Where the time went")
        for time, share, meaning in parts:
            yield from _hanging(f"{pad(time, 9, right=True)} {pad(share, 6, right=True)}  ", meaning)
    if report.timeline.bins:
        yield from _heading("Timeline")
        yield from _timeline(report)
    if report.durations:
        yield from _heading("Durations")
        yield from _table(DISTRIBUTION_HEADER, [distribution_cells(each) for each in report.durations[:MOST_TASKS]])
    if report.failures:
        yield from _failures(report)
    if report.runs:
        yield from _runs(report)
    if report.next:
        yield from _heading("Next")
        for each in report.next:
            yield f"{each.purpose}:"
            yield f"  {each.command}"
    yield ""
    yield f"as of {moment(report.written_at)}{', while the batch is running' if report.running else ''}"


def _failures(report: Report) -> Iterator[str]:
    yield from _heading("Failures")
    for failures in report.failures[:MOST_GROUPS]:
        yield from _group(failures)
    if hidden := len(report.failures[MOST_GROUPS:]) + report.more_failure_groups:
        yield ""
        yield f"and {hidden} more {'group' if hidden == 1 else 'groups'}"


def _runs(report: Report) -> Iterator[str]:
    yield from _heading("Runs")
    for line in report.runs[:MOST_RUNS]:
        yield from _hanging(f"{moment(line.started_at)}  ", run_words(line))
    if more := len(report.runs[MOST_RUNS:]) + report.more_runs:
        yield f"and {more} earlier {'run' if more == 1 else 'runs'}"


def _heading(text: str) -> Iterator[str]:
    yield ""
    yield text
    yield "-" * len(text)


def _pairs(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    found = list(facts)
    width = max(display_width(name) for name, _ in found) + 2
    for name, value in found:
        yield from _hanging(pad(f"{name}:", width), value)


def _hanging(start: str, text: str) -> Iterator[str]:
    """Yield `text` after `start`; its further lines are indented as far."""
    blanks = " " * display_width(start)
    for number, line in enumerate(wrap(text, COLUMNS - len(blanks))):
        yield (blanks if number else start) + line


def _timeline(report: Report) -> Iterator[str]:
    timeline = report.timeline
    for name, values in (
        ("in progress", [each.in_progress for each in timeline.bins]),
        ("succeeded", [float(each.succeeded) for each in timeline.bins]),
        ("failed", [float(each.failed) for each in timeline.bins]),
    ):
        most = max(values)
        if most:
            yield f"{pad(name, 12)}{sparkline(values, 56)} max {most:,.0f}"
    for mark in timeline.marks[:MOST_RUNS]:
        until = f" to {moment(mark.until)}" if mark.until else ""
        crew = f" ({clean_text(mark.crew, limit=_NAME_COLUMNS)})" if mark.crew else ""
        yield from _hanging(f"  {moment(mark.at)}{until}  ", clean_text(mark.text, limit=200) + crew)
    if more := len(timeline.marks[MOST_RUNS:]) + timeline.more_marks:
        yield f"  and {more} more"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    cells = [header, *lines]
    widths = [max(display_width(line[place]) for line in cells) for place in range(len(header))]
    widths[0] = min(widths[0], _NAME_COLUMNS)
    for line in cells:
        rest = (pad(cell, width, right=True) for cell, width in zip(line[1:], widths[1:], strict=True))
        yield "  ".join([pad(line[0], widths[0]), *rest]).rstrip()


def _group(failures: ReportedFailures) -> Iterator[str]:
    group = failures.group
    yield ""
    yield from wrap(failure_facts(failures), COLUMNS)
    yield from _hanging("  ", clean_text(group.reason or "no reason given", limit=_REASON_COLUMNS))
    yield f"  {moment(group.first_at)} to {moment(group.last_at)}"
    yield f"  {failures.show}"
    yield f"  {failures.retry}"


async def _write(report: Report, source: ReportSource) -> AsyncIterator[str]:
    del source
    yield text_report(report)


TEXT_REPORT = ReportFormat(name="text", suffix=".txt", write=_write)

"""The report as GitHub-flavoured Markdown, for chat and pull requests.

Texts of crews and files are written as code, in which neither HTML nor links, mentions and emphasis have an effect.
"""

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from batchcrew.base.text import clean_text
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

MOST_GROUPS = 20
MOST_RUNS = 10
MOST_DISTRIBUTIONS = 20
_REASON_COLUMNS = 300
_NAME_COLUMNS = 80
_BACKTICKS = re.compile("`+")
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~&@$-])")
_PIPE_AFTER_BACKSLASH = re.compile(r"(?<=\\)\|")


def code(text: str, *, limit: int) -> str:
    """Return hostile text as a code span that is valid inside a table, at most this many columns wide."""
    text = clean_text(text, limit=limit)
    if not text:
        return ""
    # in a table, a pipe must be escaped even in code, but two backslashes before it must not
    text = _PIPE_AFTER_BACKSLASH.sub("¦", text).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in _BACKTICKS.findall(text)), default=0))
    blank = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{blank}{text}{blank}{fence}"


def plain(text: str) -> str:
    """Return our own text without any character that Markdown would interpret."""
    return _SPECIAL.sub(r"\\\1", clean_text(text))


def markdown_report(report: Report) -> str:
    """Return the report."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"## {code(report.batch, limit=_NAME_COLUMNS)}"
    yield ""
    yield f"**{plain(report.verdict)}**"
    yield ""
    yield from _table(("", ""), [(plain(name), plain(value)) for name, value in facts_of(report)])
    if report.failures:
        yield from _failures(report)
    if parts := parts_of(report):
        yield from _heading("Where the time went")
        yield from _table(("time", "share", "of it"), [tuple(map(plain, part)) for part in parts])
    if report.timeline.bins:
        yield from _heading("Timeline")
        yield from _timeline(report)
    if report.durations:
        yield from _heading("Durations")
        lines = [distribution_cells(each) for each in report.durations[:MOST_DISTRIBUTIONS]]
        named = [(code(cells[0], limit=_NAME_COLUMNS), *map(plain, cells[1:])) for cells in lines]
        yield from _table(DISTRIBUTION_HEADER, named)
    if report.runs:
        yield from _heading("Runs")
        yield from _table(
            ("started", "what it did"),
            [(plain(moment(line.started_at)), code(run_words(line), limit=200)) for line in report.runs[:MOST_RUNS]],
        )
    if report.next:
        yield from _heading("Next")
        yield from _commands(f"{each.command}  # {each.purpose}" for each in report.next)
    yield ""
    yield plain(f"as of {moment(report.written_at)}{', while the batch is running' if report.running else ''}")


def _failures(report: Report) -> Iterator[str]:
    yield from _heading("Failures")
    shown = report.failures[:MOST_GROUPS]
    yield from _table(("", "reason", "example", "first", "last"), [_group(failures) for failures in shown])
    if hidden := len(report.failures[MOST_GROUPS:]) + report.more_failure_groups:
        yield ""
        yield f"and {hidden} more {'group' if hidden == 1 else 'groups'}"
    yield ""
    yield "Retry the jobs of one group only:"
    yield ""
    yield from _commands(failures.retry for failures in shown)


def _group(failures: ReportedFailures) -> tuple[str, ...]:
    group = failures.group
    return (
        plain(failure_facts(failures)),
        code(group.reason or "no reason given", limit=_REASON_COLUMNS),
        code(group.example_job, limit=_NAME_COLUMNS),
        plain(moment(group.first_at)),
        plain(moment(group.last_at)),
    )


def _timeline(report: Report) -> Iterator[str]:
    timeline = report.timeline
    lines = []
    for name, values in (
        ("in progress", [each.in_progress for each in timeline.bins]),
        ("succeeded", [float(each.succeeded) for each in timeline.bins]),
        ("failed", [float(each.failed) for each in timeline.bins]),
    ):
        if most := max(values):
            lines.append(f"{name:<12}{sparkline(values, 60)} max {most:,.0f}")
    yield from _block(lines, "")
    marks = timeline.marks[:MOST_GROUPS]
    if marks:
        yield ""
        yield from _table(
            ("at", "what happened"), [(plain(moment(mark.at)), code(mark.text, limit=200)) for mark in marks]
        )


def _heading(text: str) -> Iterator[str]:
    yield ""
    yield f"### {text}"
    yield ""


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for line in lines:
        yield f"| {' | '.join(line)} |"


def _commands(commands: Iterable[str]) -> Iterator[str]:
    yield from _block(list(commands), "sh")


def _block(lines: Sequence[str], language: str) -> Iterator[str]:
    """Yield a block of code, fenced by more backticks than are in it."""
    longest = max((len(run) for line in lines for run in _BACKTICKS.findall(line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield fence + language
    yield from lines
    yield fence


async def _write(report: Report, source: ReportSource) -> AsyncIterator[str]:
    del source
    yield markdown_report(report)


MARKDOWN_REPORT = ReportFormat(name="md", suffix=".md", write=_write)

"""Render the table of `runs`: one line per run; on a terminal, the reason why it stopped is below."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from batchcrew.base.clock import from_text
from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_name, clean_text
from batchcrew.model.money import MonthLine
from batchcrew.model.views import RunLine
from batchcrew.reports.control import command_text
from batchcrew.reports.tables import table, table_with_below

_NAME_COLUMNS = 32
_WHY_COLUMNS = 500


def render_runs(lines: Sequence[RunLine], now: datetime, *, with_batch: bool, width: int | None = None) -> str:
    """Render a table of runs in their order, without a last newline.

    Args:
        now: aware.
        width: of the terminal: why a run stopped is below it. None: not a terminal, one line a run, for `cut` and
            `grep`.
    """
    if not lines:
        return "no runs yet"
    header = ["batch", "kind", "started", "duration", "kickoffs", "cost", "tokens", "exit", "why it stopped"]
    rows = [row for line in lines for row in _rows(line, now, with_batch=with_batch)]
    return "\n".join(table_with_below(header, rows, right={3, 4, 5, 6, 7}, width=width))


def render_months(lines: Sequence[MonthLine]) -> str:
    """Render a table of months in their order, without a last newline."""
    if not lines:
        return "no runs yet"
    header = ["month", "kickoffs", "tokens", "cost", "on failures"]
    rows = [
        [
            line.month,
            str(line.spending.spent.kickoffs),
            "" if line.spending.tokens.total is None else f"{line.spending.tokens.total:,}",
            clean_text(line.spending.spent.text or ""),
            clean_text(line.spending.wasted.text or ""),
        ]
        for line in lines
    ]
    return "\n".join(table(header, rows, right={1, 2, 3, 4}))


def _rows(line: RunLine, now: datetime, *, with_batch: bool) -> Iterator[list[str]]:
    """Yield the commands that were given after the run's start, the latest first, and then the run."""
    batch = clean_name(line.batch, _NAME_COLUMNS) if with_batch else ""
    for each in line.commands:
        yield [batch, clean_text(each.command), _second(each.given.at), "", "", "", "", "", command_text(each)]
    yield _row(line, now, with_batch=with_batch)


def _second(moment: str) -> str:
    return f"{from_text(moment):%Y-%m-%d %H:%M:%SZ}"


def _row(line: RunLine, now: datetime, *, with_batch: bool) -> list[str]:
    end = from_text(line.ended_at) if line.ended_at else now if line.running else None
    duration = "" if end is None else format_duration(max(0.0, (end - from_text(line.started_at)).total_seconds()))
    why = line.stop_detail or (line.stopped or "").replace("_", " ")
    if line.ended_at is None:
        why = "still running" if line.running else "killed before it could record its end"
    return [
        clean_name(line.batch, _NAME_COLUMNS) if with_batch else "",
        line.kind,
        _second(line.started_at),
        duration,
        str(line.kickoffs),
        clean_text(line.cost or ""),
        "" if line.total_tokens is None else f"{line.total_tokens:,}",
        "" if line.exit_code is None else str(line.exit_code),
        clean_text(why, limit=_WHY_COLUMNS),
    ]

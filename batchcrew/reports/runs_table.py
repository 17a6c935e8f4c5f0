"""What `runs` prints: one line a run; at a terminal, why it stopped is below."""

from collections.abc import Sequence
from datetime import datetime

from batchcrew.base.clock import from_text
from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_name, clean_text
from batchcrew.model.views import RunLine
from batchcrew.reports.tables import table_with_below

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
    header = ["batch", "kind", "started", "duration", "kickoffs", "cost", "exit", "why it stopped"]
    rows = [_row(line, now, with_batch=with_batch) for line in lines]
    return "\n".join(table_with_below(header, rows, right={3, 4, 5, 6}, width=width))


def _row(line: RunLine, now: datetime, *, with_batch: bool) -> list[str]:
    end = from_text(line.ended_at) if line.ended_at else now if line.running else None
    duration = "" if end is None else format_duration(max(0.0, (end - from_text(line.started_at)).total_seconds()))
    why = line.stop_detail or (line.stopped or "").replace("_", " ")
    if line.ended_at is None:
        why = "still running" if line.running else "killed before it could record its end"
    return [
        clean_name(line.batch, _NAME_COLUMNS) if with_batch else "",
        line.kind,
        f"{from_text(line.started_at):%Y-%m-%d %H:%M:%SZ}",
        duration,
        str(line.kickoffs),
        clean_text(line.cost or ""),
        "" if line.exit_code is None else str(line.exit_code),
        clean_text(why, limit=_WHY_COLUMNS),
    ]

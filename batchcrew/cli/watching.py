"""Show the run of another process until it ends, for `status --watch`: redrawn on a terminal, else as lines."""

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.control import Control
from rich.text import Text

from batchcrew.app.watch import watch_status
from batchcrew.base.clock import SystemClock, to_text
from batchcrew.base.text import clean_text, shorten
from batchcrew.cli.loop import call
from batchcrew.cli.output import print_report, terminal_columns
from batchcrew.cli.program import current_program
from batchcrew.cli.streams import drawing
from batchcrew.model.views import BatchStatus
from batchcrew.reports.as_json import status_json
from batchcrew.reports.control import pause_words
from batchcrew.reports.summary import count_words
from batchcrew.reports.tables import render_status

LINE_SECONDS = 5.0
"""Shortest time between two lines, where stdout is not a terminal."""


def watch(ledger: Path, batch: str | None, *, as_json: bool) -> None:
    """Show a batch until no run is in progress."""
    clock = SystemClock()
    if as_json or not sys.stdout.isatty():
        call(_print_lines(ledger, batch, clock, as_json=as_json))
    else:
        last = call(_redraw(ledger, batch, clock))
        print_report(_report(last, clock, ledger))


def _report(status: BatchStatus, clock: SystemClock, ledger: Path) -> str:
    return render_status(status, clock.now(), str(ledger), current_program(), width=terminal_columns())


async def _redraw(ledger: Path, batch: str | None, clock: SystemClock) -> BatchStatus:
    """Redraw the status in the terminal's other screen, which the end restores; return the last one."""
    console = Console(file=drawing(sys.stdout), highlight=False, markup=False, emoji=False)
    with console.screen() as screen:
        async for status in watch_status(ledger, batch, clock):
            size = console.size
            lines = _report(status, clock, ledger).split("\n")[: size.height]
            console.control(Control.home())
            screen.update(Text("\n".join(shorten(line, size.width) for line in lines)))
    return status


async def _print_lines(ledger: Path, batch: str | None, clock: SystemClock, *, as_json: bool) -> None:
    """Print a line when something has changed, at most every few seconds, and one at the end."""
    before, printed_at = "", clock.monotonic() - LINE_SECONDS
    async for status in watch_status(ledger, batch, clock):
        text = json.dumps(status_json(status)) if as_json else _line(status)
        due = clock.monotonic() - printed_at >= LINE_SECONDS
        if text != before and (due or not status.line.running):
            before, printed_at = text, clock.monotonic()
            click.echo(text if as_json else f"{to_text(clock.now())} {text}")


def _line(status: BatchStatus) -> str:
    line = status.line
    words = [count_words(line.counts), "running" if line.running else "no run in progress"]
    words += pause_words(status.control)
    return f"{clean_text(line.batch)}: {', '.join(words)}"

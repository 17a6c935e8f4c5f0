"""Show progress on a terminal: a frame that is redrawn in place, with warnings printed above it.

`observe` only counts. A separate thread draws, a few times a second and only if something has changed, so that a slow
or stopped terminal (Ctrl-S, a stalled ssh) does not delay the run.
"""

import threading
from collections import deque
from typing import Self, TextIO

from rich.console import Console, ConsoleDimensions
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from batchcrew.base.clock import Clock
from batchcrew.base.text import clean_text
from batchcrew.model.events import Controlled, Event, Expected, LedgerChosen, Warned
from batchcrew.progress.frame import draw
from batchcrew.progress.tally import Tally

_FRAME_SECONDS = 0.2
"""Shortest time between two frames."""
_IDLE_SECONDS = 1.0
"""Longest time between two frames: the seconds of the executions in progress advance."""
_PATIENCE_SECONDS = 2.0
"""How long the end of a run waits for a terminal that accepts no more output."""
_MOST_WARNINGS = 1000


class LiveProgress:
    """A display for a terminal; needs rich, so import this module only where it is used."""

    def __init__(self, stream: TextIO, clock: Clock, *, no_color: bool) -> None:
        self._clock = clock
        self._console = Console(
            file=stream, no_color=no_color, highlight=False, markup=False, emoji=False, legacy_windows=False
        )
        self._tally = Tally(clock)
        self._unicode = self._console.encoding.startswith("utf")
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            get_renderable=self._frame,
            vertical_overflow="crop",
        )
        self._warnings: deque[str] = deque(maxlen=_MOST_WARNINGS)
        self._widths: list[int] = []
        """Columns of each line of the frame on the screen."""
        self._changed = threading.Event()
        self._over = threading.Event()
        # A daemon, so that a stalled terminal cannot keep the interpreter alive either.
        self._painter = threading.Thread(target=self._paint, name="batchcrew-display", daemon=True)

    def __enter__(self) -> Self:
        self._painter.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._painter.join(_PATIENCE_SECONDS)

    def observe(self, event: Event) -> None:
        self._tally.observe(event)
        if isinstance(event, Warned):
            self._warnings.append(f"warning: {clean_text(event.text)}")
        elif isinstance(event, Controlled | Expected):
            self._warnings.append(clean_text(event.message))
        elif isinstance(event, LedgerChosen):
            self._warnings.append(f"ledger: {clean_text(event.ledger)}")
        self._changed.set()

    def _frame(self) -> Text:
        size = self._console.size
        frame = self._drawn(size)
        self._widths = [line.cell_len for line in frame.split("\n", allow_blank=True)]
        return frame

    def _drawn(self, size: ConsoleDimensions) -> Text:
        # The last row stays free, or the terminal would scroll with each frame.
        return draw(
            self._tally,
            self._clock.monotonic(),
            width=size.width,
            height=max(1, size.height - 1),
            unicode=self._unicode,
        )

    def _paint(self) -> None:
        try:
            self._live.start(refresh=False)
            try:
                self._paint_until_over()
            finally:
                self._live.stop()
        except (OSError, ValueError):
            return  # the terminal is closed; the run continues

    def _paint_until_over(self) -> None:
        size, drawn_at = self._console.size, self._clock.monotonic() - _IDLE_SECONDS
        while not self._over.wait(_FRAME_SECONDS):
            size = self._follow(size)
            now = self._clock.monotonic()
            if self._changed.is_set() or now - drawn_at >= _IDLE_SECONDS:
                self._changed.clear()
                self._print_warnings()
                self._live.refresh()
                drawn_at = now
        self._follow(size)  # else the last frame, whose lines the terminal has broken, would be erased only in part
        self._print_warnings()

    def _follow(self, size: ConsoleDimensions) -> ConsoleDimensions:
        """Erase the frame after the terminal was resized: a narrower terminal has broken its lines into more rows.

        Clearing the screen would move the old frame to the scrollback of some terminals, where it remains.
        """
        now = self._console.size
        if now != size:
            rows = sum(max(1, -(-width // max(1, now.width))) for width in self._widths)
            self._console.control(
                Control(
                    ControlType.CARRIAGE_RETURN,
                    (ControlType.ERASE_IN_LINE, 2),
                    *(((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)) * (min(rows, now.height) - 1)),
                )
            )
            self._live._live_render._shape = None  # noqa: SLF001 - else rich would erase as many rows above it again
            self._widths = []
            self._changed.set()
        return now

    def _print_warnings(self) -> None:
        while self._warnings:
            # the terminal breaks long lines: a command that is copied from it stays in one piece
            self._console.print(Text(self._warnings.popleft(), style="yellow"), soft_wrap=True)

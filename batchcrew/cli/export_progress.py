"""The line that shows how far an export is, on a terminal only."""

import contextlib
from types import TracebackType
from typing import Self, TextIO

from batchcrew.cli.streams import drawing

_EVERY = 10_000
"""Rows between two redraws: a large export writes about 100,000 rows in a second."""


class ProgressLine:
    """A line that is redrawn in place, and erased at the end. A small export has none.

    Args:
        stream: standard error.
        total: the number of jobs to export.
    """

    def __init__(self, stream: TextIO | None, total: int) -> None:
        self._stream = drawing(stream) if stream is not None and stream.isatty() else None
        self._total = total
        self._next = _EVERY
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            self._write("\r\x1b[K")

    def show(self, rows: int) -> None:
        """Show the number of rows that are written, if that is due."""
        if self._stream is None or rows < self._next:
            return
        self._next = rows + _EVERY
        self._drawn = True
        share = min(100, rows * 100 // self._total) if self._total else 100
        self._write(f"\r{rows:,} rows written ({share} %)\x1b[K")

    def _write(self, text: str) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
                self._stream.write(text)
                self._stream.flush()

"""The standard streams when they are closed, full, or read by a program that has ended; each ends in an `Edge`.

Imports nothing heavy.
"""

import codecs
import io
import os
import sys
from typing import Any, BinaryIO, TextIO, cast

from batchcrew.base.edge import FRAMES, STYLES, Edge
from batchcrew.base.errors import OutputClosed, OutputError


class _Stdout(io.FileIO):
    """Standard output; raises `OutputError` the first time that it cannot be written, then drops all further output."""

    _failed = False

    def write(self, data: Any) -> int:
        if self._failed:
            return len(data)
        try:
            return super().write(data)
        except BrokenPipeError as error:
            self._failed = True
            raise OutputClosed("stdout: its reader has ended") from error
        except OSError as error:
            self._failed = True
            raise OutputError(f"stdout cannot be written: {error.strerror or error}") from error


class _Stderr(io.FileIO):
    """Standard error; what cannot be written is dropped."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def guard_streams() -> None:
    """Replace stdout and stderr by streams that raise a plain error, or none; open a substitute for closed ones.

    A file that this process opens must never become descriptor 1 or 2, or a message would be written into it.
    """
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:  # closed; a write to a descriptor that is open for reading fails as one to a closed one does
            os.open(os.devnull, mode)  # the lowest free descriptor, which is this one
    sys.stdout = _text(_Stdout(1, "w", closefd=False), sys.stdout)
    if sys.stderr is not None:
        sys.stderr = _text(_Stderr(2, "w", closefd=False), sys.stderr)


def drawing(stream: TextIO | None) -> TextIO | None:
    """Return a stream to the same terminal for a display that is redrawn in place; any other stream as it is."""
    if stream is None or not stream.isatty() or not isinstance(getattr(stream, "buffer", None), Edge):
        return stream
    return _text(_Stderr(stream.fileno(), "w", closefd=False), stream, kept=FRAMES)


def data_stdout() -> BinaryIO | TextIO:
    """Return stdout for data that another program reads: in a pipe or a file it is unaltered."""
    buffer = getattr(sys.stdout, "buffer", sys.stdout)
    passing = _Data(buffer) if isinstance(buffer, Edge) and not sys.stdout.isatty() else buffer
    return cast("BinaryIO", passing)


class _Data(io.BufferedIOBase):
    """Writes data without cleaning it. It does not own the stream."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def isatty(self) -> bool:
        return self._edge.isatty()

    def write(self, data: Any) -> int:
        return self._edge.write_data(data)

    def flush(self) -> None:
        if not self._edge.closed:
            self._edge.flush()


def _colours(raw: io.FileIO) -> str | None:
    """Return what passes: colours on a terminal, and where a variable requires them in a pipe."""
    forced = os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE")
    return STYLES if raw.isatty() or forced else None


def _text(raw: io.FileIO, like: Any, *, kept: str | None = None) -> io.TextIOWrapper:
    encoding = getattr(like, "encoding", None) or "utf-8"
    # click writes UTF-8 to the buffer of an ASCII stream
    bytes_encoding = "utf-8" if codecs.lookup(encoding).name == "ascii" else encoding
    return io.TextIOWrapper(
        Edge(raw, bytes_encoding, kept=kept or _colours(raw)),
        encoding=encoding,
        errors="backslashreplace" if encoding != bytes_encoding or like is None else like.errors,
        newline="\n",
        line_buffering=raw.fileno() == 2 or raw.isatty(),
    )

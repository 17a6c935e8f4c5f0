"""The standard streams when they are closed, full, or read by a program that has ended. Imports nothing heavy."""

import io
import os
import sys
from typing import Any

from batchcrew.base.errors import OutputClosed, OutputError


class _Stdout(io.FileIO):
    """Standard output; raises `OutputError` the first time that it cannot be written, then drops what comes."""

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
    """Replace stdout and stderr by streams that fail plainly, or not at all; occupy those that are closed.

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


def _text(raw: io.FileIO, like: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(like, "encoding", None) or "utf-8",
        errors=getattr(like, "errors", None),
        newline="\n",
        line_buffering=raw.fileno() == 2 or raw.isatty(),
    )

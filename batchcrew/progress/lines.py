"""Whole lines on a stream that may go away."""

from typing import TextIO


class Lines:
    """Writes whole lines, one write each; a stream that is closed or broken only falls silent.

    A cron job whose mail pipe or terminal went away must still finish its paid work.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    def write(self, line: str) -> None:
        """Write `line` and its newline, and flush."""
        if self._gone:
            return
        try:
            try:
                self._stream.write(line + "\n")
            except UnicodeEncodeError:  # a log in ASCII, as under cron's LANG=C
                self._stream.write(line.encode("ascii", "backslashreplace").decode("ascii") + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._gone = True

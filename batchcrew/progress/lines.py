"""Write complete lines to a stream that may be closed at any time."""

from typing import TextIO

from batchcrew.base.text import clean_text
from batchcrew.model.events import Warned

LONGEST_WARNING = 5000
"""A warning may end with a command, whose paths may be long: one that is cut does not work."""


def warning_line(warning: Warned) -> str:
    """Return a warning as one line. A long message is cut, but the command that follows it is not."""
    line = f"warning: {clean_text(warning.message, limit=LONGEST_WARNING)}"
    return f"{line}; {clean_text(warning.next_step)}" if warning.next_step else line


class Lines:
    """Writes complete lines, one write each; once the stream is closed or broken, writes are dropped.

    A cron job whose mail pipe or terminal was closed must still finish its paid work. None is a stream that was
    closed before Python started: `2>&-` makes `sys.stderr` None.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        """Write `line` and its newline, and flush."""
        if self._stream is None:
            return
        try:
            try:
                self._stream.write(line + "\n")
            except UnicodeEncodeError:  # a log in ASCII, as under cron's LANG=C
                self._stream.write(line.encode("ascii", "backslashreplace").decode("ascii") + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._stream = None

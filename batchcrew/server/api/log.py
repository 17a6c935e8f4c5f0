"""The server's log: one line for each invalid request, without its content, and a limited number of lines."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from aiohttp import http_exceptions

LOG = logging.getLogger("batchcrew.server")
LINES_A_MINUTE = 30
"""Lines of one kind in a minute; further ones are counted."""
_MINUTE = 60.0


class LimitedLines(logging.Filter):
    """Passes this many lines of each kind per minute; the first one of a later minute counts the omitted ones.

    A kind is the text of a message before its values are put in.

    Args:
        now: returns seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, lines: int = LINES_A_MINUTE) -> None:
        super().__init__()
        self._now, self._lines = now, lines
        self._seen: dict[str, tuple[float, int]] = {}
        """The beginning of its minute, and its lines in it, by kind."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write the line."""
        kind, now = str(record.msg), self._now()
        began, lines = self._seen.get(kind, (now, 0))
        left_out = 0
        if now - began >= _MINUTE:
            left_out, began, lines = max(0, lines - self._lines), now, 0
        self._seen[kind] = began, lines + 1
        if lines >= self._lines:
            return False
        if left_out:
            record.msg = f"{record.getMessage()} ({left_out} more lines like this were omitted)"
            record.args = ()
        return True


class RequestLog(logging.Logger):
    """Replaces aiohttp's logs of requests by one line without a traceback and without the request's text, which may
    contain a token.

    aiohttp quotes the header that it cannot read in its exceptions.
    """

    def __init__(self) -> None:
        super().__init__("batchcrew.server.requests", logging.INFO)

    def handle(self, record: logging.LogRecord) -> None:
        """Write one line to the server's log."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, http_exceptions.HttpProcessingError):
            LOG.warning("refused a request that is not valid HTTP (%s)", type(error).__name__)
        elif error is not None:
            LOG.error("a request could not be answered (%s)", type(error).__name__)
        else:
            LOG.info("%s", record.msg)  # without its values


def limit_lines() -> None:
    """Bound the server's log; it may be called again."""
    if not any(isinstance(one, LimitedLines) for one in LOG.filters):
        LOG.addFilter(LimitedLines())


def report_accept_errors(loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Log in one line when connections cannot be accepted (no descriptors); returns a function that undoes it.

    asyncio reports each such connection with a traceback, and pauses for a second.
    """
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and "accept" in str(context.get("message")):
            LOG.warning("connections wait: %s", error.strerror or type(error).__name__)
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    return lambda: loop.set_exception_handler(before)

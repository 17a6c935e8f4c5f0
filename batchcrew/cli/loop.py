"""Running a command's coroutine."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from batchcrew.base.text import clean_block, one_line
from batchcrew.progress.lines import Lines

T = TypeVar("T")


def say(text: str) -> None:
    """Write to standard error; a closed terminal is not an error."""
    Lines(sys.stderr).write(text)


class _Threads(ThreadPoolExecutor):
    """The loop's threads. Shutdown does not wait, because a lookup without an answer blocks a thread for a minute."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001 - the base's own
        super().shutdown(wait=False, cancel_futures=True)


class _LogFormatter(logging.Formatter):
    """Writes each message on one line; a traceback follows on its own lines."""

    def format(self, record: logging.LogRecord) -> str:
        text = one_line(record.getMessage())
        return f"{text}\n{clean_block(self.formatException(record.exc_info))}" if record.exc_info else text


def log_to_stderr() -> None:
    """Write the warnings of batchcrew and of libraries to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_LogFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory if the extra `speed` is installed, else None for asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - an optional library, which only commands with a loop need
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def call(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine to its end."""
    log_to_stderr()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.get_loop().set_default_executor(_Threads(thread_name_prefix="batchcrew"))
        return runner.run(coroutine)

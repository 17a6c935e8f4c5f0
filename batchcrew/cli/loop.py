"""Running a command's coroutine."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from batchcrew.progress.lines import Lines

T = TypeVar("T")


def say(text: str) -> None:
    """Write to standard error; a closed terminal is not an error."""
    Lines(sys.stderr).write(text)


class _Threads(ThreadPoolExecutor):
    """The loop's threads. Shutdown does not wait, because a lookup without an answer blocks a thread for a minute."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001 - the base's own
        super().shutdown(wait=False, cancel_futures=True)


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
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.get_loop().set_default_executor(_Threads(thread_name_prefix="batchcrew"))
        return runner.run(coroutine)

"""Running a command's coroutine, and what signals mean to a run."""

import asyncio
import importlib.util
import math
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from batchcrew.engine import Stop
from batchcrew.models import StopReason

T = TypeVar("T")
SAME_SIGNAL_SECONDS = 0.5
"""`timeout`, make and terminals may send one signal to a process and to its group: that is one."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where the extra `speed` is installed, else asyncio's own."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


def call(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine to its end."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(coroutine)


async def with_signals(work: Coroutine[Any, Any, T], stop: Stop, *, drain: bool = False) -> T:
    """Run `work`; the first signal asks it to stop, the second cuts it off (the ledger stays consistent).

    `drain`: executions in flight are waited for; else they are left for the next run.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    first = math.inf

    def told(number: signal.Signals) -> None:
        nonlocal first
        if loop.time() - first > SAME_SIGNAL_SECONDS:
            task.cancel()
        if first < math.inf:
            return
        first = loop.time()
        stop.request(StopReason.SIGNAL, f"by {number.name}", leave=not drain)
        click.echo(f"{number.name}: nothing new starts; a second signal ends at once", err=True)

    for number in SIGNALS:
        loop.add_signal_handler(number, told, number)
    try:
        return await task
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)

"""Stop a run on signals: in order on the first, immediately on the second."""

import asyncio
import math
import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, NoReturn, TypeVar

from batchcrew.cli.interruption import Handler, ignore, set_handler
from batchcrew.cli.leaving import end_now
from batchcrew.cli.loop import say
from batchcrew.engine import Stop
from batchcrew.model import exit_codes
from batchcrew.model.run import StopReason

T = TypeVar("T")
SAME_SIGNAL_SECONDS = 0.5
"""Signals within this time count as one, because `timeout`, make and terminals may send a signal to a process and to
its group."""
CUT_OFF_SECONDS = 2.0
"""How long a run that was cut off may take to close its ledger; killed after that, it is consistent as well."""
ENDED_AT_ONCE = "batchcrew: stopped immediately; run the same command again to resume"


async def with_signals(
    work: Coroutine[Any, Any, T],
    stop: Stop,
    *,
    drain: bool = False,
    tell: Callable[[str], None] = say,
    after: Handler = ignore,
) -> T:
    """Run `work`; the first signal requests a stop, the second cuts it off (the ledger stays consistent).

    Args:
        drain: executions in progress are waited for; else they are left for the next run.
        `tell`: reports what the signal did.
        after: handles signals once the work has ended. There is no moment between the two handlers.
    """
    task = asyncio.ensure_future(work)
    first = math.inf
    cut_off: asyncio.TimerHandle | None = None

    def told(number: signal.Signals) -> None:
        nonlocal first, cut_off
        loop = asyncio.get_running_loop()
        if task.done():
            return
        if loop.time() - first > SAME_SIGNAL_SECONDS and cut_off is None:
            task.cancel()
            cut_off = loop.call_later(CUT_OFF_SECONDS, cut_down, tell)
        if first < math.inf:
            return
        first = loop.time()
        stop.request(StopReason.SIGNAL, f"by {number.name}", leave=not drain)
        if number is signal.SIGINT:
            tell("Interrupted: no new jobs will start. Press Ctrl-C again to quit immediately.")
        else:
            tell(f"{number.name}: no new jobs will start. A second signal stops the run immediately.")

    handle_in_loop(told)
    try:
        return await task
    finally:
        set_handler(after)
        if cut_off is not None:
            cut_off.cancel()


def handle_in_loop(react: Callable[[signal.Signals], None]) -> None:
    """Call `react` in the running loop on each signal.

    Not by the loop's own `add_signal_handler`: to remove that handler is to restore the default action, which kills.
    """
    loop = asyncio.get_running_loop()

    def handler(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(react, signal.Signals(number))

    set_handler(handler)


def cut_down(tell: Callable[[str], None]) -> NoReturn:
    """End the process immediately, even while another program holds the ledger."""
    tell(ENDED_AT_ONCE)
    end_now(exit_codes.INTERRUPTED)

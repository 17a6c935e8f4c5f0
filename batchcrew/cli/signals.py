"""What signals mean to a run: the first leaves in order, the second at once."""

import asyncio
import math
import signal
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from batchcrew.cli.leaving import end_now
from batchcrew.cli.loop import say
from batchcrew.engine import Stop
from batchcrew.errors import ExitCode
from batchcrew.models import StopReason

T = TypeVar("T")
SAME_SIGNAL_SECONDS = 0.5
"""`timeout`, make and terminals may send one signal to a process and to its group: that is one."""
CUT_OFF_SECONDS = 2.0
"""So long a run that was cut off may take to close its ledger; killed after that, it is consistent as well."""
ENDED_AT_ONCE = "batchcrew: ended at once; run it again to go on"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def with_signals(
    work: Coroutine[Any, Any, T], stop: Stop, *, drain: bool = False, tell: Callable[[str], None] = say
) -> T:
    """Run `work`; the first signal asks it to stop, the second cuts it off (the ledger stays consistent).

    Args:
        drain: executions in flight are waited for; else they are left for the next run.
        tell: says to a person what the signal did.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    first = math.inf
    cut_off: asyncio.TimerHandle | None = None

    def told(number: signal.Signals) -> None:
        nonlocal first, cut_off
        if loop.time() - first > SAME_SIGNAL_SECONDS and cut_off is None:
            task.cancel()
            cut_off = loop.call_later(CUT_OFF_SECONDS, cut_down, tell)
        if first < math.inf:
            return
        first = loop.time()
        stop.request(StopReason.SIGNAL, f"by {number.name}", leave=not drain)
        tell(f"{number.name}: nothing new starts; a second signal ends at once")

    for number in SIGNALS:
        loop.add_signal_handler(number, told, number)
    try:
        return await task
    finally:
        if cut_off is not None:
            cut_off.cancel()
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def cut_down(tell: Callable[[str], None]) -> NoReturn:
    """Ended at once, with something that would not let go (a ledger that another program holds)."""
    tell(ENDED_AT_ONCE)
    end_now(ExitCode.STOPPED)

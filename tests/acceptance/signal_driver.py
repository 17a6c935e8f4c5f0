"""`batchcrew …` that gets a signal at one point of its code.

    signal_driver.py POINT SIGNAL -- ARGUMENTS

POINT is the (qualified) name of a function, as it is called for the first time; `call:N`, the N-th call of any
function after `main` has begun to handle signals; or `atexit`, as the interpreter ends. At `CrewServer.drain` the
server has been sent one signal already, and is sent another once the first is old enough.
"""

import asyncio
import atexit
import os
import signal
import sys
from types import FrameType
from typing import Any

from batchcrew import cli
from batchcrew.cli import loop


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def arm(point: str, number: signal.Signals) -> None:
    """Send the signal there."""
    kind, _, count = point.partition(":")
    if kind.startswith("Base"):  # a point of asyncio's own loop, also where uvloop is installed
        loop.loop_factory = lambda: None
    if kind == "atexit":
        atexit.register(send, number)
        return
    left, begun = int(count) if kind == "call" else 1, False

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left, begun
        if not begun:  # until then nothing has been printed, and the default action holds
            begun = event == "return" and frame.f_code.co_qualname == "interruptible"
            return
        if event != "call" or (kind != "call" and frame.f_code.co_qualname != point):
            return
        left -= 1
        if left == 0:
            sys.setprofile(None)
            send(number)

    sys.setprofile(profile)


def arm_server(number: signal.Signals) -> None:
    """Stop the server as soon as it listens, and once more while it drains."""
    from batchcrew.cli import serve, signals
    from batchcrew.server import CrewServer

    signals.SAME_SIGNAL_SECONDS = serve.SAME_SIGNAL_SECONDS = -1.0  # type: ignore[attr-defined]  # it imports the name

    async def drain(self: CrewServer) -> None:
        send(number)
        await asyncio.Event().wait()

    CrewServer.drain = drain  # type: ignore[method-assign]
    confirm = serve.confirm  # type: ignore[attr-defined]  # it imports the name

    def listening(text: str) -> None:
        confirm(text)
        send(number)

    serve.confirm = listening  # type: ignore[attr-defined]


if __name__ == "__main__":
    if sys.argv[1] == "CrewServer.drain":
        arm_server(signal.Signals[sys.argv[2]])
    else:
        arm(sys.argv[1], signal.Signals[sys.argv[2]])
    cli.main(sys.argv[4:])

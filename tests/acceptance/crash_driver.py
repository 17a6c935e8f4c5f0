"""`batchcrew …` that is killed (SIGKILL, no clean-up) at one step of a job's way.

    crash_driver.py POINT N -- ARGUMENTS

POINT is `before:STEP` or `after:STEP`; the process dies at the N-th time that the step is reached.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import aiohttp
import aiosqlite

from batchcrew.cli import main
from batchcrew.crew import CrewClient
from batchcrew.ledger import Ledger, writer

STEPS: dict[str, tuple[Any, str]] = {
    "ingest": (Ledger, "ingest"),  # the job file is merged
    "open_run": (Ledger, "open_run"),
    "intend": (Ledger, "claim"),  # intents are committed
    "post": (CrewClient, "kickoff"),  # after: the answer has arrived, the kickoff_id is not committed
    "send": (aiohttp.ClientRequest, "send"),  # the POST is sent; after: it was sent, no answer has arrived
    "kicked_off": (Ledger, "kicked_off"),  # the kickoff_id is committed
    "ask": (CrewClient, "status"),  # after: the outcome is known and not committed
    "end": (Ledger, "ended"),  # outcome and job are committed
    "statement": (writer, "_apply"),  # inside a transaction, between its statements
    "commit": (aiosqlite.Connection, "commit"),  # any commit
    "keep": (Ledger, "save_throttle_states"),  # the state that the next tick needs
    "close_run": (Ledger, "close_run"),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, times: int) -> None:
    """Wrap the step so that it kills the process."""
    moment, _, step = point.partition(":")
    owner, name = STEPS[step]
    real: Callable[..., Any] = getattr(owner, name)
    reached = 0

    async def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal reached
        if isinstance(arguments[0], aiohttp.ClientRequest) and arguments[0].method != "POST":
            return await real(*arguments, **named)
        reached += 1
        mine = reached
        if moment == "before" and mine == times:
            die()
        result = await real(*arguments, **named)
        if moment == "after" and mine == times:
            die()
        return result

    setattr(owner, name, wrapped)


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    main(sys.argv[4:])

"""Waiting for a change or a moment, whichever comes first."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


async def wait_for_change(
    changed: asyncio.Event, seconds: float | None, sleep: Callable[[float], Awaitable[None]]
) -> None:
    """Wait until `changed` is set, or until `seconds` have passed (None: without a time limit)."""
    waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(changed.wait())]
    if seconds is not None:
        waits.append(asyncio.ensure_future(sleep(seconds)))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

"""The clock of the tests: time passes only when a test advances it."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 1, 1, tzinfo=UTC)
ZERO = 1000.0
"""What `monotonic` returns at the start."""


class ManualClock:
    """Implements `batchcrew.base.clock.Clock`; `epoch` is the same time for the embedded server.

    Args:
        start: the time at which the clock is created.
        jumps: whether a wait advances the clock itself and returns immediately; otherwise it lasts until `advance`.
    """

    def __init__(self, start: datetime = START, *, jumps: bool = False) -> None:
        self.start = start
        self.seconds = ZERO
        self.requested: asyncio.Queue[float] = asyncio.Queue()
        """The seconds of each `sleep` call, in order."""
        self._jumps = jumps
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds - ZERO)

    def monotonic(self) -> float:
        return self.seconds

    def epoch(self) -> float:
        """Return the seconds since the epoch."""
        return self.start.timestamp() + self.seconds - ZERO

    def advance(self, seconds: float) -> None:
        """Move the time forward and wake the waits that are over."""
        self.seconds += seconds
        due = [sleeper for until, sleeper in self._sleepers if until <= self.seconds]
        self._sleepers = [(until, sleeper) for until, sleeper in self._sleepers if until > self.seconds]
        for sleeper in due:
            if not sleeper.done():
                sleeper.set_result(None)

    async def sleep(self, seconds: float) -> None:
        if self._jumps:
            self.advance(seconds)
            return
        sleeper = self._sleeper(seconds)
        self.requested.put_nowait(seconds)
        await sleeper

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        if self._jumps:
            self.advance(seconds or 0)
            return event.is_set()
        if event.is_set() or seconds is None:
            return await event.wait()
        waits: list[asyncio.Future[Any]] = [self._sleeper(seconds), asyncio.ensure_future(event.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        return event.is_set()

    async def settle(self) -> None:
        """Run all tasks that were just woken up to their next wait, before the test advances the time again."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def sleep_requested(self, seconds: float) -> None:
        """Wait until a task calls `sleep` with this many seconds."""
        while abs(await self.requested.get() - seconds) > 1e-3:
            pass

    def _sleeper(self, seconds: float) -> "asyncio.Future[None]":
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if seconds <= 0:
            sleeper.set_result(None)
        else:
            self._sleepers.append((self.seconds + seconds, sleeper))
        return sleeper


class Middle(random.Random):
    """Returns the middle of every range: no jitter."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2

"""Limit the status requests of a crew, and decide which execution is polled first."""

import asyncio
import heapq
from itertools import count

from batchcrew.base.clock import Clock
from batchcrew.config.values import Rate
from batchcrew.engine.limits.rate_limiter import RateLimiter


class PollBudget:
    """Limits the status requests of one crew to a rate. The one that has been due the longest is sent first.

    Args:
        rate: most status requests; None: any number.
    """

    def __init__(self, rate: Rate | None, clock: Clock) -> None:
        self._limited = rate is not None
        self._limiter = RateLimiter(rate, clock)
        self._clock = clock
        self._waiting: list[tuple[float, int, asyncio.Event]] = []
        self._numbers = count()

    async def acquire(self, due_at: float) -> None:
        """Wait until a status request may be sent that was due at this monotonic moment."""
        if not self._limited:
            return
        woken = asyncio.Event()
        place = (due_at, next(self._numbers), woken)
        heapq.heappush(self._waiting, place)
        try:
            while self._waiting[0] is not place or self._limiter.available() < 1:
                is_first = self._waiting[0] is place
                await self._clock.wait(woken, self._limiter.wait_seconds() if is_first else None)
                woken.clear()
            self._limiter.spend(1)
        finally:
            self._waiting.remove(place)
            heapq.heapify(self._waiting)
            if self._waiting:
                self._waiting[0][2].set()

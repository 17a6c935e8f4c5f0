"""Time that moves when told, and chance without surprises."""

import asyncio
import random
from datetime import UTC, datetime, timedelta


class Middle(random.Random):
    """No jitter: the middle of every range."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


class HandClock:
    """Moves when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        self.seconds += seconds or 0
        return event.is_set()

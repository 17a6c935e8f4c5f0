"""Provide the time by clocks that callers pass in.

A run's clock reads the wall clock once, at its start, and then follows the monotonic clock, so that setting the
machine's time during a run changes no decision.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """The clock that the packages use."""

    def now(self) -> datetime:
        """The moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Monotonic seconds, from an arbitrary zero."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Wait until the event is set, `seconds` at most (None: as long as it takes). True when it is set."""
        ...


class SystemClock:
    """The machine's clock; within one process, it never jumps."""

    def __init__(self) -> None:
        self._wall = datetime.now(UTC)
        self._started = time.monotonic()

    def now(self) -> datetime:
        return self._wall + timedelta(seconds=time.monotonic() - self._started)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await event.wait()
        except TimeoutError:
            return False


@dataclass(frozen=True, slots=True)
class Uptime:
    """How long the machine has been up: a time that cannot be set, and that continues from process to process."""

    boot_id: str
    """Identifies this start of the machine; uptimes with different ids cannot be compared."""
    seconds: float


def machine_uptime() -> Uptime | None:
    """Return the machine's uptime, sleep included; None where the system does not report it (only Linux does)."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return Uptime(boot_id, time.clock_gettime(time.CLOCK_BOOTTIME))
    except (OSError, AttributeError):
        return None


def to_text(moment: datetime) -> str:
    """UTC ISO-8601 with milliseconds and `Z`: always 24 characters, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def from_text(text: str) -> datetime:
    """The moment that `to_text` wrote."""
    return datetime.fromisoformat(text)

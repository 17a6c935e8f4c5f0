"""The rate limiter: how fast kickoffs may follow each other."""

import math

from batchcrew.base.clock import Clock
from batchcrew.config.values import Rate

CATCH_UP_SECONDS = 0.05
"""A loop that was late may catch up the kickoffs of this time at once; this is noticeable only above 20 kickoffs/s."""
_LONGEST_LULL_SECONDS = 86400.0


class RateLimiter:
    """Limits kickoffs to a rate: no window of a period contains more than its count and one.

    Args:
        burst: the rate's full count may leave at once if no kickoff has left for a period (a tick comes once a minute);
            without it, kickoffs are evenly spaced.
    """

    def __init__(self, rate: Rate | None, clock: Clock, *, burst: bool = False) -> None:
        self._clock = clock
        self._burst = burst
        self._next = -math.inf
        self._use(rate)

    def _use(self, rate: Rate | None) -> None:
        self._interval = rate.interval_seconds if rate else 0.0
        self._period = max(rate.period_seconds, self._interval) if rate else 0.0
        self._at_once = 1
        self._credit = CATCH_UP_SECONDS
        if rate is not None:
            self._at_once = max(1, int(rate.count if self._burst else CATCH_UP_SECONDS / self._interval))
            if self._burst:  # ticks do not come exactly on time, mostly a little late
                self._credit = self._interval

    def change(self, rate: Rate | None) -> None:
        """Replace the rate: the next kickoff may leave one new interval after the latest one."""
        before = self._interval
        self._use(rate)
        if before and self._interval and self._next > -math.inf:
            self._next += self._interval - before
        self._limit_wait()

    def _limit_wait(self) -> None:
        """Wait no longer than this rate can require: the latest kickoffs may have left under a lower one."""
        self._next = min(self._next, self._clock.monotonic() + self._period)

    def available(self) -> float:
        """Return the number of kickoffs that may leave now (`inf` without a rate)."""
        if not self._interval:
            return math.inf
        now = self._clock.monotonic()
        if now < self._next:
            return 0
        return min(self._at_once, int((now - max(self._next, now - _LONGEST_LULL_SECONDS)) / self._interval) + 1)

    def spend(self, kickoffs: int) -> None:
        """Record kickoffs that leave now."""
        if self._interval:
            now = self._clock.monotonic()
            start = now if self._next == -math.inf else max(self._next, now - self._credit)
            self._next = start + kickoffs * self._interval

    def wait_seconds(self) -> float:
        """Return the seconds until the next kickoff may leave."""
        return max(0.0, self._next - self._clock.monotonic()) if self._interval else 0.0

    def next_in(self) -> float | None:
        """Return the seconds until the next kickoff may leave, negative when it might have left earlier.

        None: no kickoff has left yet.
        """
        return None if self._next == -math.inf else self._next - self._clock.monotonic()

    def restore(self, next_in: float | None, ago: float) -> None:
        """Restore what an earlier run had spent `ago` seconds ago."""
        if next_in is not None:
            self._next = max(self._next, self._clock.monotonic() + next_in - ago)
            self._limit_wait()

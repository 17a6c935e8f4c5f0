"""The retry budget: how many kickoffs of a crew may be retries while the crew has new jobs.

When many executions fail, each of them comes back as a retry, and without a budget the retries would take the slots
from the new jobs. The budget only decides the order. It never leaves a slot unused, so it does not delay the end of a
batch, when only retries are left.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

from batchcrew.base.clock import Clock

SHARE = 0.2
"""Share of the kickoffs of the last minute that may be retries."""
A_MINUTE = 10
"""Retries that may leave in any case, in a minute."""
WINDOW_SECONDS = 60.0
_PART_SECONDS = 1.0
"""Kickoffs of this time are counted together, so that memory does not grow with their number."""
REPORT_EVERY_SECONDS = 60.0


class RetryBudget:
    """Counts the kickoffs of one crew in the last minute, and how many of them were retries."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._parts: deque[tuple[float, int, int]] = deque()
        """(monotonic moment of the first one, kickoffs, retries), the oldest first."""
        self._kickoffs = 0
        self._retries = 0
        self._reported_at = -REPORT_EVERY_SECONDS + clock.monotonic()

    def available(self) -> int:
        """Return how many retries may leave before the crew's new jobs."""
        self._forget()
        return max(0, A_MINUTE + int(SHARE * self._kickoffs) - self._retries)

    def spend(self, kickoffs: int, retries: int) -> None:
        """Record kickoffs that leave now; `retries` of them are retries."""
        if kickoffs:
            self._add(self._clock.monotonic(), kickoffs, retries)

    def should_report(self) -> bool:
        """Return True at most once a minute: retries that wait are reported in one line."""
        now = self._clock.monotonic()
        if now - self._reported_at < REPORT_EVERY_SECONDS:
            return False
        self._reported_at = now
        return True

    def saved(self) -> list[list[float]]:
        """Return the state for the next tick: the seconds since each count, its kickoffs and its retries."""
        self._forget()
        now = self._clock.monotonic()
        return [[now - moment, kickoffs, retries] for moment, kickoffs, retries in self._parts]

    def restore(self, state: Mapping[str, Any], ago: float) -> None:
        """Restore what the last tick saved `ago` seconds ago; earlier versions saved nothing."""
        now = self._clock.monotonic()
        for age, kickoffs, retries in state.get("retries", ()):
            self._add(now - age - ago, int(kickoffs), int(retries))

    def _add(self, moment: float, kickoffs: int, retries: int) -> None:
        self._kickoffs += kickoffs
        self._retries += retries
        if self._parts and moment - self._parts[-1][0] < _PART_SECONDS:
            began, earlier_kickoffs, earlier_retries = self._parts.pop()
            moment, kickoffs, retries = began, earlier_kickoffs + kickoffs, earlier_retries + retries
        self._parts.append((moment, kickoffs, retries))

    def _forget(self) -> None:
        since = self._clock.monotonic() - WINDOW_SECONDS
        while self._parts and self._parts[0][0] <= since:
            _, kickoffs, retries = self._parts.popleft()
            self._kickoffs -= kickoffs
            self._retries -= retries

"""The circuit breaker: pauses the kickoffs to a crew that fails repeatedly, and sends one of them as a probe."""

import math
import random
from collections import deque
from collections.abc import Mapping
from typing import Any

from batchcrew.base.clock import Clock
from batchcrew.config.settings import BreakerClass, BreakerSettings
from batchcrew.engine.retry import jittered

LONGEST_PAUSE_SECONDS = 60.0
"""Between two probes; `breaker.pause` is the first wait, and each further one twice as long."""


class Breaker:
    """Counts successes and failures of one kind of request; while it is open, only an occasional probe may leave.

    It opens after `failures` in a row, or when the share `rate` of the last `sample` requests failed. Any success
    closes it.

    Args:
        what: the plural that messages use for the requests: `kickoffs`.
        kind: failures count only where `breaker.on` names this kind.
    """

    def __init__(
        self, what: str, settings: BreakerSettings, *, clock: Clock, rng: random.Random, kind: BreakerClass = "api"
    ) -> None:
        self.what = what
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._counts = kind in settings.on
        self._in_a_row = 0
        self._latest: deque[bool] = deque(maxlen=settings.sample)
        self._why = ""
        self._open_since: float | None = None
        self._probe_at = -math.inf
        self._pause = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        return self._open_since is not None

    def succeeded(self) -> bool:
        """Record a success. Returns True when it closed the breaker."""
        self._in_a_row = 0
        if self._open_since is None:
            self._latest.append(True)
            return False
        self._open_since, self._pause, self._probing = None, 0.0, False
        self._latest.clear()
        return True

    def failed(self, reason: str) -> bool:
        """Record a failure. Returns True when it opened the breaker."""
        if not self._counts:
            return False
        self._in_a_row += 1
        self._latest.append(False)
        if self.is_open:
            self.undecided()  # the answer may belong to a request that left earlier; then nothing changes
            return False
        failures = self._latest.count(False)
        if self._in_a_row >= self._settings.failures:
            self._why = f"{self._in_a_row} {self.what} in a row failed ({reason})"
        elif len(self._latest) == self._settings.sample and failures >= self._settings.rate * self._settings.sample:
            self._why = f"{failures} of the last {len(self._latest)} {self.what} failed ({reason})"
        else:
            return False
        self._open_since = self._clock.monotonic()
        self._pause_again()
        return True

    def undecided(self) -> None:
        """Record that the probe failed, or ended without a verdict: the next one leaves after a longer pause."""
        if self._probing:
            self._probing = False
            self._pause_again()

    def available(self) -> float:
        """Return the number of kickoffs that may leave now: any number, one as a probe, or none."""
        if not self.is_open:
            return math.inf
        return 0 if self._probing or self._clock.monotonic() < self._probe_at else 1

    def acquire(self) -> None:
        """Record that a kickoff leaves; if the breaker is open, it is the probe."""
        self._probing = self.is_open

    def opens_in(self) -> float | None:
        """Return the seconds until a kickoff may leave; None while a probe has no answer yet."""
        if not self.is_open:
            return 0.0
        return None if self._probing else max(0.0, self._probe_at - self._clock.monotonic())

    def gives_up_in(self) -> float | None:
        """Return the seconds until it has been open for too long; None while it is closed or a probe has no answer."""
        if self._open_since is None or self._probing:
            return None
        return max(0.0, self._open_since + self._settings.give_up - self._clock.monotonic())

    def start_over(self) -> None:
        """Start measuring again, because this run gives the crew up; the next one sends probes for the full time."""
        if self.is_open:
            self._open_since = self._clock.monotonic()

    def saved(self) -> dict[str, Any]:
        """Return the state for the next tick; moments are seconds from now."""
        now = self._clock.monotonic()
        return {
            "in_a_row": self._in_a_row,
            "latest": list(self._latest),
            "why": self._why,
            "open_for": None if self._open_since is None else now - self._open_since,
            "probe_in": max(0.0, self._probe_at - now),
            "pause": self._pause,
        }

    def restore(self, state: Mapping[str, Any], ago: float) -> None:
        """Restore the state that was saved `ago` seconds ago."""
        now = self._clock.monotonic()
        self._in_a_row, self._why, self._pause = state["in_a_row"], state["why"], state["pause"]
        self._latest.extend(state["latest"])
        if state["open_for"] is not None:
            self._open_since = now - state["open_for"] - ago
            self._probe_at = now + state["probe_in"] - ago

    def __str__(self) -> str:
        return self._why

    def _pause_again(self) -> None:
        self._pause = min(self._pause * 2 or self._settings.pause, max(LONGEST_PAUSE_SECONDS, self._settings.pause))
        self._probe_at = self._clock.monotonic() + jittered(self._pause, self._rng)

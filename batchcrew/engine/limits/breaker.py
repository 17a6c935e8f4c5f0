"""The circuit breaker: a crew whose calls go wrong again and again is left alone, and tried with one kickoff."""

import math
import random
from collections import deque
from collections.abc import Mapping
from typing import Any

from batchcrew.base.clock import Clock
from batchcrew.config.settings import BreakerSettings
from batchcrew.engine.retry import jittered

LONGEST_PAUSE_SECONDS = 60.0
"""Between two probes; `breaker.pause` is the first wait, and each further one twice as long."""


class Breaker:
    """Counts what went well and wrong of one kind of call; open, it lets nothing through but a probe now and then.

    It opens after `failures` in a row, or when of the last `sample` calls the share `rate` went wrong. Any success
    closes it.

    Args:
        what: the calls' name in the plural, for people: `kickoffs`.
    """

    def __init__(self, what: str, settings: BreakerSettings, *, clock: Clock, rng: random.Random) -> None:
        self.what = what
        self._settings = settings
        self._clock = clock
        self._rng = rng
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
        """One went well. True when that closed it."""
        self._in_a_row = 0
        if self._open_since is None:
            self._latest.append(True)
            return False
        self._open_since, self._pause, self._probing = None, 0.0, False
        self._latest.clear()
        return True

    def failed(self, reason: str) -> bool:
        """One went wrong. True when that opened it."""
        self._in_a_row += 1
        self._latest.append(False)
        if self.is_open:
            self.undecided()  # what left before it opened comes back too: that changes nothing
            return False
        wrong = self._latest.count(False)
        if self._in_a_row >= self._settings.failures:
            self._why = f"{self._in_a_row} {self.what} in a row failed ({reason})"
        elif len(self._latest) == self._settings.sample and wrong >= self._settings.rate * self._settings.sample:
            self._why = f"{wrong} of the last {len(self._latest)} {self.what} failed ({reason})"
        else:
            return False
        self._open_since = self._clock.monotonic()
        self._pause_again()
        return True

    def undecided(self) -> None:
        """A probe came back without telling well from wrong, or wrong: the next one after a longer pause."""
        if self._probing:
            self._probing = False
            self._pause_again()

    def room(self) -> float:
        """How many kickoffs it lets through now: all, one as a probe, or none."""
        if not self.is_open:
            return math.inf
        return 0 if self._probing or self._clock.monotonic() < self._probe_at else 1

    def take(self) -> None:
        """A kickoff leaves; while it is open that is the probe."""
        self._probing = self.is_open

    def opens_in(self) -> float | None:
        """Seconds until a probe may leave; None while one is on its way."""
        if not self.is_open:
            return 0.0
        return None if self._probing else max(0.0, self._probe_at - self._clock.monotonic())

    def gives_up_in(self) -> float | None:
        """Seconds until it has been open for too long; None while it is closed or a probe is on its way."""
        if self._open_since is None or self._probing:
            return None
        return max(0.0, self._open_since + self._settings.give_up - self._clock.monotonic())

    def start_over(self) -> None:
        """The run gives the crew up: another one has as much patience again, and goes on with probes."""
        if self.is_open:
            self._open_since = self._clock.monotonic()

    def saved(self) -> dict[str, Any]:
        """What the next tick needs; moments as seconds from now."""
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
        """Go on as remembered so many seconds ago."""
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

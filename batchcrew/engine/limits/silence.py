"""Silence: how long no status request to a server got a clear answer."""

import math
from collections.abc import Mapping
from typing import Any

from batchcrew.base.clock import Clock

SILENCE_POLLS = 3
"""Number of polls without a clear answer before their duration counts, because there may be only one poll in that
time."""


class Silence:
    """Measures how long no poll of a server got a clear answer.

    The breaker ends a run whose polls fail; this does where the breaker does not count them, or where too few
    executions are left to open it.

    Args:
        give_up: seconds after which it has lasted for too long.
    """

    def __init__(self, clock: Clock, *, give_up: float) -> None:
        self._clock = clock
        self._give_up = give_up
        self._since: float | None = None
        self._polls = 0
        self._reason = ""

    def ended(self) -> None:
        """Record a clear answer."""
        self._since, self._polls = None, 0

    def lasts(self, reason: str) -> bool:
        """Record a poll without a clear answer. Returns True when the silence counts from now on."""
        self._polls += 1
        self._reason = reason
        if self._since is None:
            self._since = self._clock.monotonic()
        return self._polls == SILENCE_POLLS

    def gives_up_in(self) -> float:
        """Return the seconds until it has lasted for too long; `inf` while answers come."""
        if self._since is None or self._polls < SILENCE_POLLS:
            return math.inf
        return max(0.0, self._since + self._give_up - self._clock.monotonic())

    def start_over(self) -> None:
        """Begin the measurement again: this run gives the crew up, and the next one waits for the full time."""
        if self._since is not None:
            self._since = self._clock.monotonic()

    def saved(self) -> dict[str, Any]:
        """Return the state for the next tick; moments are seconds from now."""
        silent_for = None if self._since is None else self._clock.monotonic() - self._since
        return {"silent_for": silent_for, "polls": self._polls, "reason": self._reason}

    def restore(self, state: Mapping[str, Any], ago: float) -> None:
        """Restore the state that was saved `ago` seconds ago."""
        self._polls, self._reason = state["polls"], state["reason"]
        if state["silent_for"] is not None:
            self._since = self._clock.monotonic() - state["silent_for"] - ago

    def __str__(self) -> str:
        return f"the last {self._polls} status requests got no clear answer ({self._reason})"

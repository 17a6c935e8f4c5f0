"""When an execution is polled."""

import random
from typing import Protocol

from batchcrew.config.settings import PollSettings
from batchcrew.engine.retry import jittered

MOST_GROWTH = 64
"""A wait that grew this often has reached its maximum (or has a factor of 1)."""


class Schedule(Protocol):
    """Decides how long to wait before each poll of an execution."""

    def spread(self) -> float:
        """Return the seconds before the first poll of a resumed execution."""
        ...

    def next(self, *, at_least: float | None = None) -> float:
        """Return the seconds before the next poll."""
        ...


class PollSchedule:
    """Waits that grow exponentially to a maximum, with jitter.

    Args:
        polls: polls of the execution so far.
    """

    def __init__(self, poll: PollSettings, rng: random.Random, *, polls: int = 0) -> None:
        self._poll = poll
        self._rng = rng
        self._wait = min(poll.initial * poll.factor ** min(polls, MOST_GROWTH), poll.max)

    def spread(self) -> float:
        """Return a moment within one wait: many executions may be resumed at once."""
        return self._rng.uniform(0, self._wait)

    def next(self, *, at_least: float | None = None) -> float:
        """Return the seconds before the next poll.

        Args:
            at_least: seconds that the server requests (`Retry-After`).
        """
        wait, self._wait = self._wait, min(self._wait * self._poll.factor, self._poll.max)
        return max(jittered(wait, self._rng), at_least or 0.0)

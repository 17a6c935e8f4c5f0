"""When an execution is polled."""

import random
from typing import Any, Protocol

from batchcrew.config.settings import PollSettings
from batchcrew.engine.retry import jittered
from batchcrew.model.crew_answers import StatusAnswer

MOST_GROWTH = 64
"""A wait that grew this often has reached its maximum (or has a factor of 1)."""
RECORDED = ("strategy", "initial", "factor", "min", "max")
"""The settings that the ledger keeps of a run, for readers that show when it polls."""


class Schedule(Protocol):
    """Decides how long to wait before each poll of an execution."""

    def first(self) -> float:
        """Return the age, in seconds since its kickoff, at which an execution is first polled."""
        ...

    def spread(self) -> float:
        """Return the seconds before the first poll of a resumed execution."""
        ...

    def next(self, *, at_least: float | None = None) -> float:
        """Return the seconds before the next poll.

        Args:
            at_least: seconds that the server requests (`Retry-After`).
        """
        ...

    def record(self, answer: StatusAnswer, sent_at: float) -> None:
        """Learn from an answer.

        Args:
            answer: to a status request, or one that the crew sent without a request.
            sent_at: monotonic moment at which it was requested, or received.
        """
        ...


def polled_by(poll: PollSettings, timeout: float) -> dict[str, Any]:
    """Return how a run polls, as JSON values for the ledger; `timeout` is that of an execution, in seconds."""
    return {**poll.model_dump(include=set(RECORDED)), "timeout": timeout}


def wait_after(polls: int, poll: PollSettings) -> float:
    """Return the seconds, without jitter, before the next poll of an execution that was polled this often."""
    factor = 1.0 if poll.strategy == "fixed" else poll.factor
    return min(poll.initial * factor ** min(polls, MOST_GROWTH), poll.max)


class PollSchedule:
    """Waits that grow exponentially to a maximum, or that are all equal (`strategy: fixed`), with jitter.

    Args:
        polls: polls of the execution so far.
    """

    def __init__(self, poll: PollSettings, rng: random.Random, *, polls: int = 0) -> None:
        self._poll = poll
        self._rng = rng
        self._factor = 1.0 if poll.strategy == "fixed" else poll.factor
        self._wait = wait_after(polls, poll)

    def first(self) -> float:
        """Return the age at which an execution is first polled (see `Schedule`)."""
        return self._poll.initial

    def spread(self) -> float:
        """Return a moment within one wait: many executions may be resumed at once."""
        return self._rng.uniform(0, self._wait)

    def next(self, *, at_least: float | None = None) -> float:
        """Return the seconds before the next poll (see `Schedule`)."""
        wait, self._wait = self._wait, min(self._wait * self._factor, self._poll.max)
        return max(jittered(wait, self._rng), at_least or 0.0)

    def record(self, answer: StatusAnswer, sent_at: float) -> None:
        """Learn nothing: the waits are the same for all executions."""

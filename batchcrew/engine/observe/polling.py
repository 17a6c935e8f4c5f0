"""How an execution is watched: when to poll next, when it is overdue, lost or settled, and when polling is hopeless."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchcrew.base.clock import Clock
from batchcrew.config.settings import PollSettings
from batchcrew.engine.retry import jittered
from batchcrew.model.execution import Execution, ExecutionState

ABSENT_TOLERATED_SECONDS = 60.0
"""A crew may not know a fresh execution yet: `not found` means nothing within this time after the kickoff."""
ABSENT_TIMES = 3
"""After that, the execution is lost once this many polls in a row were answered with `not found`."""
LASTING_TIMES = 2
"""An answer that is not a status is shown once it came this often in a row."""
SILENCE_POLLS = 3
"""Polls without a clear answer before their duration says anything: one may be all that was sent in that time."""
MOST_GROWTH = 64
"""A wait that grew so often has reached its cap (or has a factor of 1)."""


class PollSchedule:
    """The waits between two polls: exponential, capped, with jitter."""

    def __init__(self, poll: PollSettings, rng: random.Random, *, asked: int = 0) -> None:
        self._poll = poll
        self._rng = rng
        self._wait = min(poll.initial * poll.factor ** min(asked, MOST_GROWTH), poll.max)

    def spread(self) -> float:
        """Before the first poll of a resumed execution: spread over one wait, as many may begin at once."""
        return self._rng.uniform(0, self._wait)

    def next(self, *, at_least: float | None = None) -> float:
        """Return the seconds to wait; `at_least` is the server's `Retry-After`."""
        wait, self._wait = self._wait, min(self._wait * self._poll.factor, self._poll.max)
        return max(jittered(wait, self._rng), at_least or 0.0)


@dataclass(slots=True)
class ExecutionDeadline:
    """How long an execution may take, and how often it may be unknown.

    Args:
        timeout: seconds from its kickoff.
        age: seconds since its kickoff when watching began.
        absent: polls in a row that were answered with `not found`.
        unclear: polls in a row without a clear answer.
    """

    timeout: float
    age: float
    absent: int = 0
    unclear: int = 0

    def remaining(self, watched: float) -> float:
        """Seconds to the timeout, after `watched` seconds of watching; negative when it is over."""
        return self.timeout - self.age - watched

    def is_lost(self, watched: float) -> bool:
        """Count one `not found`; True when the execution is lost."""
        if self.age + watched > ABSENT_TOLERATED_SECONDS:
            self.absent += 1
        return self.absent >= ABSENT_TIMES

    def is_over(self, polled: float) -> bool:
        """True when an execution that still runs is timed out.

        Only such an answer decides: while the server is unreachable the execution may have succeeded.

        Args:
            polled: seconds of watching after which the poll was sent that was answered with "still running".
        """
        return self.remaining(polled) <= 0


class Settling:
    """A completed execution without an output: some crews say `completed` before the output is there.

    Args:
        since: monotonic moment at which an earlier tick found it so.
    """

    def __init__(self, poll: PollSettings, rng: random.Random, *, since: float | None = None) -> None:
        self._poll = poll
        self._waits = PollSchedule(poll, rng)
        self.since = since
        self.completed: Execution | None = None
        """The last such answer: better than none if the crew then forgets the execution."""

    def is_open(self, execution: Execution, now: float) -> bool:
        """True while the output may still come.

        Args:
            now: monotonic moment at which the poll was sent that was answered with `execution`.
        """
        if execution.state is ExecutionState.NOT_FOUND:
            return False
        if execution.state is not ExecutionState.SUCCEEDED or execution.has_output:
            self.since = self.completed = None
            return False
        self.completed = execution
        if self.since is None:
            self.since = now
        return now - self.since < self._poll.settle

    def next(self, now: float) -> float:
        """Seconds until the next poll: soon, and once more when the time is over."""
        assert self.since is not None  # noqa: S101 - is_open() has set it
        return max(0.0, min(self._waits.next(), self.since + self._poll.settle - now))


class Silence:
    """How long no poll of a server got a clear answer.

    The breaker ends a run whose polls fail; this does where the breaker does not count them, or where too few are left
    to open it.
    """

    def __init__(self, clock: Clock, *, give_up: float) -> None:
        self._clock = clock
        self._give_up = give_up
        self._since: float | None = None
        self._polls = 0
        self._reason = ""

    def ended(self) -> None:
        """A clear answer came."""
        self._since, self._polls = None, 0

    def lasts(self, reason: str) -> bool:
        """Another poll got none. True when it says something from now on."""
        self._polls += 1
        self._reason = reason
        if self._since is None:
            self._since = self._clock.monotonic()
        return self._polls == SILENCE_POLLS

    def gives_up_in(self) -> float:
        """Seconds until it has lasted for too long; `inf` while answers come."""
        if self._since is None or self._polls < SILENCE_POLLS:
            return math.inf
        return max(0.0, self._since + self._give_up - self._clock.monotonic())

    def start_over(self) -> None:
        """The run gives the crew up; the next one has as much patience again."""
        if self._since is not None:
            self._since = self._clock.monotonic()

    def saved(self) -> dict[str, Any]:
        """What the next tick needs; moments as seconds from now."""
        silent_for = None if self._since is None else self._clock.monotonic() - self._since
        return {"silent_for": silent_for, "polls": self._polls, "reason": self._reason}

    def restore(self, state: Mapping[str, Any], ago: float) -> None:
        """Continue as remembered `ago` seconds ago."""
        self._polls, self._reason = state["polls"], state["reason"]
        if state["silent_for"] is not None:
            self._since = self._clock.monotonic() - state["silent_for"] - ago

    def __str__(self) -> str:
        return f"the last {self._polls} status requests got no clear answer ({self._reason})"

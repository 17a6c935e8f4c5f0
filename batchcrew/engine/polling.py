"""How an execution is watched: when to ask next, and when not to wait any longer."""

import random
from dataclasses import dataclass

from batchcrew.engine.retry import jittered
from batchcrew.settings import PollSettings

ABSENT_TOLERATED_SECONDS = 60.0
"""A crew may not know a fresh execution yet: `not found` means nothing so soon after the kickoff."""
ABSENT_TIMES = 3
"""So many `not found` in a row, after that, and the execution is lost."""
OVERDUE_GRACE_SECONDS = 60.0
"""An execution that is found overdue gets so long to give a clear answer: its server may be coming up too."""
MOST_GROWTH = 64
"""A wait that grew so often has reached its cap (or has a factor of 1)."""
OVERDUE_QUESTIONS = 3
"""A tick does not wait: it is asked so often in that state, by as many ticks."""


class Waits:
    """The waits between two questions: exponential, capped, with jitter."""

    def __init__(self, poll: PollSettings, chance: random.Random, *, asked: int = 0) -> None:
        self._poll = poll
        self._chance = chance
        self._wait = min(poll.initial * poll.factor ** min(asked, MOST_GROWTH), poll.max)

    def spread(self) -> float:
        """Before the first question about an execution taken up: spread over one wait, as many may begin at once."""
        return self._chance.uniform(0, self._wait)

    def next(self, *, at_least: float | None = None) -> float:
        """Seconds to wait; `at_least` is what the server asked for."""
        wait, self._wait = self._wait, min(self._wait * self._poll.factor, self._poll.max)
        return max(jittered(wait, self._chance), at_least or 0.0)


@dataclass(slots=True)
class Patience:
    """How long an execution may take, and how often it may be unknown.

    Args:
        timeout: seconds from its kickoff.
        age: seconds since its kickoff when watching began.
        absent: how often it was unknown in a row so far.
        unclear: how often earlier ticks found it overdue and got no clear answer.
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

    def is_over(self, watched: float, *, clear: bool) -> bool:
        """True when it is timed out. `clear`: the last answer was a status."""
        if self.remaining(watched) > 0:
            return False
        if clear or self.age < self.timeout or watched >= OVERDUE_GRACE_SECONDS:
            return True
        self.unclear += 1
        return False

    def is_over_for_ticks(self) -> bool:
        """True when enough ticks in a row found it overdue and got no clear answer."""
        return self.unclear >= OVERDUE_QUESTIONS

"""The deadline of an execution: when it has timed out, and when it is lost."""

from dataclasses import dataclass

ABSENT_TOLERATED_SECONDS = 60.0
"""A crew may not know a fresh execution yet: `not found` means nothing within this time after the kickoff."""
ABSENT_TIMES = 3
"""After that, the execution is lost once this many polls in a row were answered with `not found`."""
LASTING_TIMES = 2
"""Answers in a row that are not a status, from which on they are shown."""


@dataclass(slots=True)
class ExecutionDeadline:
    """The limits of an execution's duration, and of polls in a row that do not find it.

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
        """Return the seconds to the timeout, after `watched` seconds of watching; negative when it has passed."""
        return self.timeout - self.age - watched

    def is_lost(self, watched: float) -> bool:
        """Count one `not found`. Returns True when the execution is lost."""
        if self.age + watched > ABSENT_TOLERATED_SECONDS:
            self.absent += 1
        return self.absent >= ABSENT_TIMES

    def is_over(self, polled: float) -> bool:
        """Return True if an execution that is still running has timed out.

        Only such an answer decides: while the server is unreachable the execution may have succeeded.

        Args:
            polled: seconds of watching after which the poll was sent that was answered with "still running".
        """
        return self.remaining(polled) <= 0

    def count_unclear(self) -> None:
        """Count an answer that is not a status."""
        self.unclear += 1

    def count_clear(self, *, known: bool) -> None:
        """Count a clear answer.

        Args:
            known: the crew knows the execution.
        """
        self.unclear = 0
        if known:
            self.absent = 0

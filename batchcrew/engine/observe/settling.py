"""Poll an execution again for some time if it is completed without an output."""

import random

from batchcrew.config.settings import PollSettings
from batchcrew.engine.observe.schedule import PollSchedule
from batchcrew.model.execution import Execution, ExecutionState


class Settling:
    """Waits for the output of a completed execution: some crews report `completed` before the output is there.

    Args:
        since: monotonic moment at which an earlier tick found it completed without an output.
    """

    def __init__(self, poll: PollSettings, rng: random.Random, *, since: float | None = None) -> None:
        self._poll = poll
        self._rng = rng
        self._waits: PollSchedule | None = None
        self.since = since
        self.completed: Execution | None = None
        """The latest such answer, which is used if the crew then forgets the execution."""

    def is_open(self, execution: Execution, now: float) -> bool:
        """Return True while the output may still come.

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
        """Return the seconds until the next poll: soon, and once more when the time has passed."""
        assert self.since is not None  # noqa: S101 - is_open() has set it
        if self._waits is None:
            self._waits = PollSchedule(self._poll, self._rng)
        return max(0.0, min(self._waits.next(), self.since + self._poll.settle - now))

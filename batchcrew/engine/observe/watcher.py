"""Define a watcher: the source of all observations of one execution."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from batchcrew.model.attempt import Progress
from batchcrew.model.crew_answers import StatusAnswer
from batchcrew.model.execution import Execution, ExecutionState


@dataclass(frozen=True, slots=True)
class Observation:
    """One answer about an execution."""

    answer: StatusAnswer
    requested_at: float
    """Monotonic moment at which it was requested: the answer is not older than that."""
    settling: bool = False
    """The execution is completed without an output, which may still come."""
    completed: Execution | None = None
    """The latest answer that reported it completed without an output; used if the crew forgets it."""


@dataclass(frozen=True, slots=True)
class NotDue:
    """There are no further observations in this run, because a tick does not wait."""

    polls: int
    """Status requests of this run."""
    next_at: str
    """UTC text: when the execution is due."""
    empty_since: str | None
    """UTC text: since when it is completed without an output."""
    running_at: str | None = None
    """UTC text: when the latest answer was requested that reported it as running."""


@dataclass(frozen=True, slots=True)
class Reported:
    """The progress that webhooks report about a running execution; it is only shown."""

    completed_tasks: int
    current_task: str | None

    def added_to(self, shown: Progress) -> Execution:
        """Return the execution with this progress in addition to that of the latest poll."""
        return Execution(
            state=ExecutionState.RUNNING,
            word=shown.status_word or "running",
            current_task=self.current_task or shown.current_task,
            completed_tasks=max(self.completed_tasks, shown.completed_tasks or 0),
            total_tasks=shown.total_tasks,
        )


Observed: TypeAlias = Observation | NotDue | Reported


class Watcher(Protocol):
    """Finds out about one execution, by status requests or by what the crew sends."""

    async def next(self, *, within: float) -> Observed:
        """Wait for the next observation.

        Args:
            within: seconds until the execution's deadline, when an answer is needed; past it (0 or less), answers come
                as often as before.
        """
        ...

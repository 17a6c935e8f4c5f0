"""An execution that waits for human input, and what was decided."""

from dataclasses import dataclass
from enum import StrEnum

from batchcrew.model.attempt import Attempt
from batchcrew.model.execution import Question


class AnswerState(StrEnum):
    """The state of a decision."""

    INTENDED = "intended"  # durable before the request leaves
    DELIVERED = "delivered"  # the crew has accepted it
    REFUSED = "refused"  # the execution did not wait for it any more
    IN_DOUBT = "in_doubt"  # it may have arrived; the question is open again under another wait_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A decision about a task's output."""

    approve: bool
    feedback: str = ""
    """Instructions for the repeated task; required for a rejection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """One time that an execution waits for human input. A task that is repeated waits again, in another `Wait`."""

    wait_id: str
    attempt: Attempt
    question: Question
    since: str
    """UTC text."""
    ended_at: str | None = None
    """UTC text; None: it still waits."""
    decision: Decision | None = None
    """None: nothing was decided."""
    answer: AnswerState | None = None
    note: str | None = None
    """A note for the operator who decides."""

    @property
    def is_open(self) -> bool:
        """Return whether the execution still waits for an answer."""
        return self.ended_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitLine:
    """One waiting job, for `inbox` and `status`."""

    job_id: str
    crew: str
    wait_id: str
    since: str
    """UTC text."""
    task_id: str
    task: str | None
    output: str | None
    note: str | None = None
    kickoff_id: str | None = None

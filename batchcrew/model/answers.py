"""The results of sending decisions about jobs that wait for human input."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Finding(StrEnum):
    """The result of sending one decision."""

    ANSWERED = "answered"
    """The crew has accepted it."""
    BEFORE = "answered_before"
    """The same decision was sent by an earlier call."""
    STALE = "stale"
    """It is about a question that is not open any more; it was skipped."""
    REFUSED = "refused"
    """The crew refused it; the job still waits."""
    NOT_SENT = "not_sent"
    """The crew could not be reached, or was busy; the job still waits."""
    ON_HOLD = "on_hold"
    """A rejection may have arrived; you decide again, under another wait_id."""
    UNSETTLED = "unsettled"
    """It may have arrived, and the crew gives no clear status; the next call settles it."""


WELL = frozenset({Finding.ANSWERED, Finding.BEFORE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The result of sending one decision, and the reason."""

    job_id: str
    wait_id: str
    finding: Finding
    reason: str = ""


@dataclass(slots=True)
class AnswerResult:
    """The results of all decisions of one call."""

    undecided: int = 0
    """Rows of the sheet without a decision."""
    found: Counter[Finding] = field(default_factory=Counter)
    waiting: int = 0
    """Jobs of the batch that still wait."""
    stopped: bool = False
    """A signal ended it before all decisions were sent."""

    def count(self, answered: Answered) -> None:
        """Count the result of a decision."""
        self.found[answered.finding] += 1

    @property
    def all_well(self) -> bool:
        """Return whether every decision has arrived."""
        return not any(number for finding, number in self.found.items() if finding not in WELL)

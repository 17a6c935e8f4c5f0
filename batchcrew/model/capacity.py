"""The number of executions that may be in progress, and the reasons why a run starts no more."""

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """A reason why no job of a crew starts."""

    SLOTS = "slots"
    """All slots are in use: an execution must end first."""
    RATE = "rate"
    THROTTLED = "throttled"
    """The crew refused kickoffs for now, or cannot be reached; kickoffs are paused."""
    CUT = "cut"
    """The crew has fewer slots than the settings allow, because it refused kickoffs."""
    BREAKER = "breaker"
    AUTO = "auto"
    """`concurrency: auto` finds out how many executions the crew can run."""
    CANARY = "canary"
    PROBE = "probe"
    """Executions failed in a row: jobs start a few at a time until one succeeds."""
    BUDGET = "budget"
    PREPARING = "preparing"
    """The crew's inputs are requested, or kickoffs of an earlier run are settled."""
    PAUSED = "paused"
    RETRIES = "retries"
    """Only retries are left, and none is due yet."""
    NOTHING_LEFT = "nothing left"


@dataclass(frozen=True, slots=True)
class Hold:
    """The reason why no job of a crew starts now."""

    why: Why
    crew: str
    until: float | None = None
    """Monotonic moment at which it ends; None: it ends with an event, not at a known time."""
    detail: str = ""
    """`HTTP 429`, `by alice@host`; may contain text of a crew."""

    def resembles(self, other: "Hold") -> bool:
        """Return whether a reader sees no difference; times are shown in seconds."""
        if (self.why, self.crew, self.detail) != (other.why, other.crew, other.detail):
            return False
        if self.until is None or other.until is None:
            return self.until is other.until
        return abs(self.until - other.until) < 1


@dataclass(frozen=True, slots=True)
class Capacity:
    """The slots of a run, and the reason for each crew that starts nothing now."""

    slots: int
    """Executions that may be in progress, over all crews."""
    holds: tuple[Hold, ...] = ()

    def resembles(self, other: "Capacity | None") -> bool:
        """Return whether a reader sees no difference."""
        return (
            other is not None
            and (self.slots, len(self.holds)) == (other.slots, len(other.holds))
            and all(mine.resembles(its) for mine, its in zip(self.holds, other.holds, strict=True))
        )

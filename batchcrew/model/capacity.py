"""How many executions may be in progress, and what keeps a run from starting more."""

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """What keeps the jobs of a crew from starting."""

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
    """What keeps a crew's jobs from starting now."""

    why: Why
    crew: str
    until: float | None = None
    """Monotonic moment at which it ends by the time alone; None: something must happen first."""
    detail: str = ""
    """`HTTP 429`, `by alice@host`; may hold what a crew has said."""

    def resembles(self, other: "Hold") -> bool:
        """Return whether it says the same to a reader, whose clock shows seconds."""
        if (self.why, self.crew, self.detail) != (other.why, other.crew, other.detail):
            return False
        if self.until is None or other.until is None:
            return self.until is other.until
        return abs(self.until - other.until) < 1


@dataclass(frozen=True, slots=True)
class Capacity:
    """The slots of a run, and for each crew that starts nothing now, why."""

    slots: int
    """Executions that may be in progress, over all crews."""
    holds: tuple[Hold, ...] = ()

    def resembles(self, other: "Capacity | None") -> bool:
        """Return whether it says the same to a reader."""
        return (
            other is not None
            and (self.slots, len(self.holds)) == (other.slots, len(other.holds))
            and all(mine.resembles(its) for mine, its in zip(self.holds, other.holds, strict=True))
        )

"""The expected cost, failures and duration of a batch: 90 % intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PastJob:
    """One job of a crew that has ended, with all its kickoffs."""

    failed: bool
    kickoffs: int
    """Kickoffs that were not refused."""
    seconds: float | None = None
    """The time that its executions took together; None: not known."""
    prompt: int = 0
    """Tokens of all its executions."""
    completion: int = 0
    unsplit: int = 0
    """Tokens of which only the total is known."""
    tokens_known: bool = False
    """Whether the tokens of every execution are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Intervals that are right with 90 % probability if the crew works as before; None: unknown."""

    jobs: int
    """Jobs that are left."""
    learned_from: int
    """Ended jobs of the crews, over all batches."""
    failures: tuple[int, int] | None = None
    """Jobs that will fail."""
    costs: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The cost of the kickoffs that are left, by currency."""
    seconds: tuple[float, float] | None = None
    """From the start of the run to its end, without pauses and without waiting for people."""
    not_known: tuple[str, ...] = ()
    """The figures that the forecast omits, and the reasons."""

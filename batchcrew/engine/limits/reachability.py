"""Reachability: how long a crew could not be reached without a single answer."""

from collections.abc import Mapping
from typing import Any

from batchcrew.base.clock import Clock

UNREACHABLE_SECONDS = 60.0
"""A run gives up a crew that has never answered after this long."""


class Reachability:
    """Measures the time since when a crew could not be reached.

    Args:
        unreachable: seconds after which a crew that has never answered is given up.
        give_up: seconds after which a crew is given up that answered in this run, or in an earlier tick.
    """

    def __init__(self, clock: Clock, *, unreachable: float, give_up: float) -> None:
        self._clock = clock
        self._unreachable = unreachable
        self._give_up = give_up
        self._since: float | None = None
        """Monotonic moment of the first request in a row that did not reach the crew."""
        self._was_reached = False

    @property
    def patience(self) -> float:
        """Seconds after which the crew is given up."""
        return self._give_up if self._was_reached else self._unreachable

    def reached(self) -> None:
        """Record an answer of any kind."""
        self._since, self._was_reached = None, True

    def not_reached(self, *, sent_at: float) -> None:
        """Record a request, sent at this monotonic moment, that did not reach the crew."""
        if self._since is None:
            self._since = sent_at

    def silent_seconds(self) -> float | None:
        """Return the seconds without an answer; None while the crew answers."""
        return None if self._since is None else self._clock.monotonic() - self._since

    def is_over(self) -> bool:
        """Return whether the crew could not be reached for too long."""
        silent = self.silent_seconds()
        return silent is not None and silent >= self.patience

    def saved(self) -> dict[str, Any]:
        """Return the state for the next tick; moments are seconds from now."""
        return {"silent_for": self.silent_seconds(), "was_reached": self._was_reached}

    def restore(self, state: Mapping[str, Any], ago: float) -> None:
        """Restore the state that was saved `ago` seconds ago."""
        self._was_reached = state["was_reached"]
        if state["silent_for"] is not None:
            self._since = self._clock.monotonic() - state["silent_for"] - ago

"""Estimate when the last job of a batch ends, as a range."""

import math
from dataclasses import dataclass

_ERROR = 1.3
"""Standard errors of the rate to each side of the estimate."""
_LEAST_DRAIN, _MOST_DRAIN = 0.5, 1.7
"""The last executions end after these multiples of the estimate. The range is wide because stragglers determine the
end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """The estimated rate at which executions end."""

    ended: int
    """Executions from which the rate is known."""
    slow: float
    """Lowest plausible number of ends per second."""
    fast: float
    """The most."""
    least_mean: float
    """Lowest plausible mean duration of an execution, in seconds."""
    most_mean: float
    spread: float = 1.0
    """The standard deviation of their durations, as a multiple of the mean."""

    def end(self, *, left: int, running: int) -> tuple[float, float]:
        """Return the least and the most seconds until the last one probably ends.

        Args:
            left: those that have not ended, at least 1.
            running: those of them that are in progress, at least 1; at the end, none follows them.
        """
        error = 1 + _ERROR * self.spread * math.sqrt(1 / self.ended + 1 / left)
        low = (left - running) / self.fast / error + _LEAST_DRAIN * self._drain(self.least_mean, running)
        return low, (left - running) / self.slow * error + _MOST_DRAIN * self._drain(self.most_mean, running)

    def _drain(self, mean: float, running: int) -> float:
        """Estimate the seconds until the last one of the executions in progress has ended."""
        return mean * (1 + self.spread**2) / 2 * (1 + self.spread * math.log(running))

"""Estimate the rate at which the jobs of a run end, and when the last one will end."""

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from batchcrew.base.estimates import Throughput

_LEAST_SPREAD, _MOST_SPREAD = 0.3, 2.0
"""Bounds of the standard deviation of durations, as a multiple of their mean."""


class Pace:
    """Jobs that ended in this run over time, and their recent rate.

    "Recent" is the second half of the run so far, and at least a minute: it follows a crew that slows down and
    does not jump when long executions end together. Samples are thinned out as they grow: at most 240 are kept.
    """

    _MOST_SAMPLES = 240
    _SHORTEST_WINDOW = 60.0

    def __init__(self, started: float) -> None:
        self.started = started
        self.ended = 0
        self._times = [started]
        self._counts = [0]
        self._interval = 1.0

    def count_one(self, now: float) -> None:
        """Count a job that ended at monotonic `now`."""
        if now - self._times[-1] >= self._interval:
            self._times.append(now)
            self._counts.append(self.ended)
            if len(self._times) > self._MOST_SAMPLES:
                self._times, self._counts = self._times[::2], self._counts[::2]
                self._interval *= 2
        self.ended += 1

    def recent(self, now: float) -> tuple[int, float]:
        """Return how many jobs ended recently, and the seconds of that time."""
        window = max(self._SHORTEST_WINDOW, (now - self.started) / 2)
        sample = max(0, bisect_right(self._times, now - window) - 1)
        return self.ended - self._counts[sample], now - self._times[sample]

    def per_second(self, now: float) -> float:
        """Return how many jobs ended per second recently."""
        ended, seconds = self.recent(now)
        return ended / seconds if seconds > 0 else 0.0


@dataclass(slots=True)
class Durations:
    """The seconds of the attempts that ended in this run."""

    number: int = 0
    total: float = 0.0
    _squares: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one attempt."""
        self.number += 1
        self.total += seconds
        self._squares += seconds * seconds

    @property
    def mean(self) -> float:
        return self.total / self.number if self.number else 0.0

    @property
    def spread(self) -> float:
        """The standard deviation as a multiple of the mean, within bounds; 1 of too few."""
        if self.number <= 3 or not self.mean:
            return 1.0
        variance = max(0.0, self._squares / self.number - self.mean**2)
        return min(_MOST_SPREAD, max(_LEAST_SPREAD, math.sqrt(variance) / self.mean))


def seconds_left(
    pace: Pace, durations: Durations, ages: Iterable[float], *, left: int, slots: int, now: float
) -> tuple[float, float] | None:
    """Return the least and the most seconds until the last job probably ends; None if no rate is known yet.

    Until two rounds of slots have ended, mostly quick executions have ended, so the ages of those in progress count,
    too. The last executions have no successors, so the longest of them determines the end.

    Args:
        ages: seconds of each execution in progress.
        left: jobs that have not ended.
    """
    ended, seconds = pace.recent(now)
    if not left or not ended or seconds <= 0:
        return None
    rate = ended / seconds
    running, total_age = 0, 0.0
    for age in ages:
        running, total_age = running + 1, total_age + age
    last = max(1, min(left, running or slots))
    slow, fast, least_mean, most_mean = rate, rate, durations.mean, durations.mean
    if pace.ended < 2 * slots and durations.total > 0:
        most_mean = (durations.total + total_age) / durations.number
        fast, slow = max(rate, last / least_mean), last / most_mean
    throughput = Throughput(
        ended=ended, slow=slow, fast=fast, least_mean=least_mean, most_mean=most_mean, spread=durations.spread
    )
    return throughput.end(left=left, running=last)

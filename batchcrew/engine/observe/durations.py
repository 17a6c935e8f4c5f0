"""Learn the durations of one crew's executions: a histogram that forgets, and the hazard that an execution ends now.

The histogram has logarithmic buckets, so that it is equally precise for seconds and for hours, and takes the same
memory for ten executions and for a million. Later executions count more than earlier ones. When the latest ones differ
clearly from the others (a new model, a larger prompt), the others are forgotten.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

BUCKET = 1.06
"""Ratio of the ends of a bucket."""
SHORTEST_SECONDS = 0.01
MOST_BUCKETS = 320
"""0.01 s to two weeks."""
MEMORY = 500
"""Number of executions after which an earlier one counts half as much as the latest one."""
RECENT = 20
"""Number of latest executions that are compared with the others."""
SHIFTED = 0.45
"""Kolmogorov-Smirnov distance of RECENT executions that chance exceeds once in a thousand comparisons."""
EVEN = 0.2
"""Share of an execution that ended between two polls which is divided evenly, and not as the others are."""
_SCALE = math.log(BUCKET)
_FORGET = 0.5 ** (1 / MEMORY)


def bucket_of(seconds: float) -> int:
    """Return the index of the bucket that holds this duration."""
    if seconds <= SHORTEST_SECONDS:
        return 0
    return min(int(math.log(seconds / SHORTEST_SECONDS) / _SCALE) + 1, MOST_BUCKETS - 1)


_STARTS = (0.0, *(SHORTEST_SECONDS * BUCKET**bucket for bucket in range(MOST_BUCKETS)))


def start_of(bucket: int) -> float:
    """Return the seconds at which a bucket starts."""
    return _STARTS[bucket]


class Durations:
    """The durations of one crew's executions, in seconds from kickoff to end."""

    def __init__(self) -> None:
        self._weights = [0.0] * MOST_BUCKETS
        self._unit = 1.0  # weight of the next execution: it grows, which spares reducing all the others
        self._recent: deque[tuple[int, int]] = deque(maxlen=RECENT)
        self._since_comparison = 0
        self.count = 0
        """Executions since the latest shift."""

    @property
    def weight(self) -> float:
        """Number of executions, where earlier ones count less."""
        return sum(self._weights) / self._unit * _FORGET if self.count else 0.0

    def add(self, latest: float, *, earliest: float | None = None) -> None:
        """Add an execution.

        Args:
            latest: seconds after the kickoff at which it was known to have ended.
            earliest: seconds after the kickoff at which it was last seen running. Default: `latest`.
        """
        if not math.isfinite(latest) or latest < 0:
            return
        first, last = bucket_of(latest if earliest is None else min(max(earliest, 0.0), latest)), bucket_of(latest)
        _spread(self._weights, first, last, self._unit)
        self._unit /= _FORGET
        if self._unit > 1e100:
            self._weights = [weight / self._unit for weight in self._weights]
            self._unit = 1.0
        self.count += 1
        self._recent.append((first, last))
        self._forget_if_shifted()

    def _forget_if_shifted(self) -> None:
        self._since_comparison += 1
        if self.count < 2 * RECENT or self._since_comparison < RECENT // 2:
            return
        self._since_comparison = 0
        recent = [0.0] * MOST_BUCKETS
        for first, last in sorted(self._recent, key=lambda pair: pair[1] - pair[0]):  # the best known come first
            _spread(recent, first, last, 1.0)
        if _distance(self._weights, recent) > SHIFTED:
            self._weights, self._unit, self.count = recent, 1.0, RECENT

    def shares(self) -> list[float]:
        """Return the share of the executions in each bucket."""
        whole = sum(self._weights)
        return [weight / whole for weight in self._weights] if whole > 0 else list(self._weights)

    def quantile(self, share: float) -> float | None:
        """Return the seconds within which this share of the executions end; None before the first one."""
        left = share * sum(self._weights)
        if not self.count:
            return None
        for bucket, weight in enumerate(self._weights):
            if weight > 0 and left <= weight:
                start, end = start_of(bucket), start_of(bucket + 1)
                return start + (end - start) * left / weight
            left -= weight
        return start_of(MOST_BUCKETS)

    def share_within(self, seconds: float) -> float:
        """Return the share of the executions that end within this time."""
        whole, bucket = sum(self._weights), bucket_of(seconds)
        if not whole:
            return 0.0
        part = (seconds - start_of(bucket)) / (start_of(bucket + 1) - start_of(bucket))
        return min(1.0, (sum(self._weights[:bucket]) + part * self._weights[bucket]) / whole)

    def saved(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        whole = sum(self._weights)
        filled = {
            str(bucket): round(weight / self._unit, 4)
            for bucket, weight in enumerate(self._weights)
            if weight > whole * 1e-6
        }
        return {"count": self.count, "weights": filled, "recent": [list(pair) for pair in self._recent]}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> "Durations":
        """Return the durations that `saved` described."""
        made = cls()
        for bucket, weight in state["weights"].items():
            made._weights[int(bucket)] = float(weight)
        made._recent.extend((int(first), int(last)) for first, last in state["recent"])
        made.count = int(state["count"])
        return made


def _spread(weights: list[float], first: int, last: int, weight: float) -> None:
    """Divide an execution that ended in these buckets among them, mostly as the other executions are divided."""
    if first == last:
        weights[first] += weight
        return
    wide, in_all = _STARTS[last + 1] - _STARTS[first], sum(weights[first : last + 1])
    even, like_others = (weight / wide, 0.0) if in_all <= 0 else (EVEN * weight / wide, (1 - EVEN) * weight / in_all)
    for bucket in range(first, last + 1):
        weights[bucket] += even * (_STARTS[bucket + 1] - _STARTS[bucket]) + like_others * weights[bucket]


def _distance(some: Sequence[float], others: Sequence[float]) -> float:
    """Return the Kolmogorov-Smirnov distance of two histograms: 0 is equal, 1 is disjoint."""
    most, sum_some, sum_others = 0.0, 0.0, 0.0
    all_some, all_others = sum(some), sum(others)
    for one, other in zip(some, others, strict=True):
        sum_some += one / all_some
        sum_others += other / all_others
        most = max(most, abs(sum_some - sum_others))
    return most


def moments_of_logs(shares: Iterable[float]) -> tuple[float, float]:
    """Return the mean and the variance of the logarithms of the durations."""
    points = [(share, math.log((start_of(b) + start_of(b + 1)) / 2)) for b, share in enumerate(shares) if share > 0]
    mean = sum(share * point for share, point in points)
    return mean, sum(share * (point - mean) ** 2 for share, point in points)

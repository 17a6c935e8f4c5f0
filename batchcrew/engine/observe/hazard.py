"""When to poll an execution next, from how long the crew's executions take.

Each poll has a price, and so has each second in which an execution has ended without being noticed. Keller (Optimum
checking schedules for systems subject to random failure, Management Science 21, 1974) shows that the total is least if
polls are about sqrt(2 · price / h(t)) apart, where h(t) is the hazard: the probability, per second, that an execution
that has run for t seconds ends now. So there are no polls before an execution can have ended, many where most end, and
few in the tail.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from batchcrew.engine.observe.durations import MOST_BUCKETS, Durations, moments_of_logs, start_of

PRICE = 0.02
"""Price of a poll at first, as a share of the median duration: that delay is as bad as one more poll."""
PRICE_SECONDS = 30.0
"""Beyond this median, the price grows only with its square root: long executions take about the same polls per minute
as with `strategy: backoff`, but at better moments."""
_PRIOR_DEVIATION = 0.5
_PRIOR_WEIGHT = 2.0
"""Standard deviation of the logarithms of durations that is assumed at first, and its weight, in executions."""
_LEAST_TAIL = 0.02
"""Share of the lognormal distribution, which determines the hazard beyond the longest execution that is known."""
_TAIL_WEIGHT = 3.0
_LEAST_SURVIVAL = 1e-9
_FOLLOWED = 5e-3
"""Share of the executions that are not followed to their end, for what is expected of all."""
_MOST_POLLS = 200

Wait: TypeAlias = Callable[[float, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The results of a way to poll."""

    polls: float
    """Of an execution, on average."""
    loss: float
    """Share of a slot's time in which its execution has ended and was not noticed yet."""


class Hazard:
    """The hazard of a crew's executions, smoothed.

    Args:
        durations: of at least one execution.
    """

    def __init__(self, durations: Durations) -> None:
        shares, weight = durations.shares(), durations.weight
        mean, variance = moments_of_logs(shares)
        spread = math.sqrt((_PRIOR_WEIGHT * _PRIOR_DEVIATION**2 + weight * variance) / (_PRIOR_WEIGHT + weight))
        tail = max(_LEAST_TAIL, _TAIL_WEIGHT / (_TAIL_WEIGHT + weight))
        known = _smoothed(shares, 0.4 * math.sqrt(variance) * max(weight, 1.0) ** -0.2)
        self.median = durations.quantile(0.5) or start_of(1)
        self.executions = durations.count
        self._ends = [start_of(bucket + 1) for bucket in range(MOST_BUCKETS)]
        self._area = [0.0]  # integral of sqrt(h) from 0 to the end of each bucket
        self._survivals = [1.0]  # share of the executions that take longer than each bucket
        self._lived = [0.0]  # integral of that share
        survival, rest = 1.0, 1.0
        for bucket, end in enumerate(self._ends):
            rest -= known[bucket]
            left = (1 - tail) * max(rest, 0.0) + tail * _survival((math.log(end) - mean) / spread)
            if left < _LEAST_SURVIVAL:
                break
            ended = math.log(survival / left) if left < survival else 0.0
            self._area.append(self._area[-1] + math.sqrt(ended * (end - start_of(bucket))))
            self._survivals.append(left)
            self._lived.append(self._lived[-1] + (end - start_of(bucket)) * (survival + left) / 2)
            survival = left
        self.price = PRICE * min(self.median, math.sqrt(PRICE_SECONDS * self.median))
        """Price of a poll, in seconds of delay."""

    def next_poll(self, age: float) -> float | None:
        """Return the age, in seconds, at which an execution that is `age` seconds old is polled next.

        None: an execution of this age is so rare that nothing is known about it.
        """
        wanted = self._area_to(age) + math.sqrt(2 * self.price)
        index = bisect_right(self._area, wanted)
        if index >= len(self._area):
            return None
        start, end = (self._ends[index - 2] if index > 1 else 0.0), self._ends[index - 1]
        below, above = self._area[index - 1], self._area[index]
        return start + (end - start) * (wanted - below) / (above - below)

    def expected(self, wait: Wait) -> Expected:
        """Return the results of polls after these waits.

        Args:
            wait: returns the seconds before the next poll, by the age of the execution and the number of its polls.
        """
        age, survival, lived, polls, delay = 0.0, 1.0, 0.0, 0.0, 0.0
        for number in range(_MOST_POLLS):
            if survival < _FOLLOWED:
                break
            due = age + wait(age, number)
            polls += survival
            longer, lived_then = self._between(self._survivals, due), self._between(self._lived, due)
            delay += (due - age) * survival - (lived_then - lived)
            age, survival, lived = due, longer, lived_then
        return Expected(polls=polls, loss=delay / (delay + lived))

    def _area_to(self, age: float) -> float:
        return self._between(self._area, age)

    def _between(self, values: list[float], age: float) -> float:
        """Return the value at this age, of values at the ends of the buckets."""
        bucket = bisect_right(self._ends, age)
        if bucket + 1 >= len(values):
            return values[-1]
        start = self._ends[bucket - 1] if bucket else 0.0
        share = (age - start) / (self._ends[bucket] - start)
        return values[bucket] + share * (values[bucket + 1] - values[bucket])


def _survival(deviations: float) -> float:
    """Return the probability that a normal variable is larger than its mean by this many standard deviations."""
    return 0.5 * math.erfc(deviations / math.sqrt(2))


def _smoothed(shares: list[float], deviation: float) -> list[float]:
    """Return the shares after a normal kernel with this standard deviation of the logarithm."""
    width = deviation / math.log(start_of(3) / start_of(2))
    reach = math.ceil(2.5 * width)
    if reach < 1:
        return shares
    kernel = [math.exp(-0.5 * (offset / width) ** 2) for offset in range(-reach, reach + 1)]
    whole = sum(kernel)
    kernel = [each / whole for each in kernel]
    smoothed = [0.0] * len(shares)
    for bucket, share in enumerate(shares):
        if share > 0:
            for offset, each in zip(range(-reach, reach + 1), kernel, strict=True):
                smoothed[min(max(bucket + offset, 0), len(shares) - 1)] += share * each
    return smoothed

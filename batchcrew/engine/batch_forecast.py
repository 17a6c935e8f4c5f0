"""Forecast what is left of a batch, from the crew's ended jobs: cost, failures and end as 90 % intervals.

Each interval is the middle 90 % of simulated batches. A simulated batch first draws how the crew works, because its
history is a sample, and then draws the batch:

failures  the probability from its Beta posterior with Jeffreys' prior, then a binomial number: the Beta-binomial
          predictive distribution (Gelman and others, Bayesian Data Analysis, 3rd edition, sections 2.4 and 2.8)
cost      the share of failures as above; then the sum of draws from the jobs that succeeded and from those that failed,
          each with a weight by the Bayesian bootstrap (Rubin, The Bayesian Bootstrap, Annals of Statistics 9, 1981,
          pages 130-134), which varies more where the history is short (see `_concentration`). The largest tenth of a
          sample is not enough to estimate larger values, so draws from there follow a Pareto tail, whose index is drawn
          from its posterior (Hill, A Simple General Approach to Inference About the Tail of a Distribution, Annals of
          Statistics 3, 1975, pages 1163-1174), up to MOST_BEYOND times the largest value seen end       durations drawn
          in the same way, given to the first slot that is free, not sooner than `rate` allows (Graham's list
          scheduling, 1969)

A batch of any size takes bounded work: beyond EXACT jobs, the sum of the others is drawn from a normal distribution,
and fills the slots evenly. `benchmarks/forecast.py` shows how often the intervals hold.
"""

import heapq
import math
import random
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from batchcrew.base.costs import PriceList
from batchcrew.model.forecast import Forecast, PastJob

ROUNDS = 400
"""Simulated batches."""
EXACT = 400
"""Jobs of a simulated batch that are drawn one by one."""
MOST_EXACT = 2000
"""The same for an end, where there are many slots."""
_FEW = 200
LEAST_JOBS = 5
"""Ended jobs below which nothing is forecast."""
MOST_BEYOND = 10.0
"""Largest value that is drawn, as a multiple of the largest one seen."""
_TAIL = 0.1
_LEAST_TAIL = 5
_PRIOR = 0.2
"""Prior of the index of a tail: an exponential distribution with this rate, which has little weight once there are a
few values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewPart:
    """The jobs of one crew that are left, and how its jobs ended before."""

    name: str
    to_start: int
    in_progress: int = 0
    history: Sequence[PastJob] = ()
    prices: PriceList | None = None
    slots: int | None = 1
    """None: not known (`concurrency: auto`)."""
    attempts: int = 1
    """The most kickoffs of one job."""


def forecast(parts: Sequence[CrewPart], *, slots: int | None, interval: float, rng: random.Random) -> Forecast:
    """Return what is left of a batch: the intervals hold with 90 % probability if the crews work as before.

    Args:
        slots: executions in progress at the same time, over all crews; None: not known.
        interval: seconds between two kickoffs, by `rate`; 0: no limit.
    """
    parts = [part for part in parts if part.to_start + part.in_progress]
    jobs, known = sum(part.to_start + part.in_progress for part in parts), [len(part.history) for part in parts]
    few = [part for part in parts if len(part.history) < LEAST_JOBS]
    if not parts or few:
        return Forecast(jobs=jobs, learned_from=sum(known), not_known=tuple(_too_few(part) for part in few))
    end, why_no_end = _end(parts, slots, interval, rng)
    costs, why_no_cost = _costs(parts, rng)
    return Forecast(
        jobs=jobs,
        learned_from=sum(known),
        failures=_failures(parts, rng),
        costs=costs,
        seconds=end,
        not_known=(*why_no_cost, *why_no_end),
    )


def _too_few(part: CrewPart) -> str:
    ended = {0: "no job has", 1: "only 1 job has"}.get(len(part.history), f"only {len(part.history)} jobs have")
    return f"crew {part.name}: {ended} ended so far (a forecast needs {LEAST_JOBS})"


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """Return the middle 90 % of values."""
    ordered = sorted(values)
    least = int(len(ordered) * 0.05)
    return ordered[least], ordered[-1 - least]


def _failures(parts: Sequence[CrewPart], rng: random.Random) -> tuple[int, int]:
    totals = []
    for _ in range(ROUNDS):
        total = 0
        for part in parts:
            failed = sum(job.failed for job in part.history)
            share = rng.betavariate(failed + 0.5, len(part.history) - failed + 0.5)
            total += binomial(part.to_start + part.in_progress, share, rng)
        totals.append(total)
    low, high = _middle(totals)
    return int(low), int(high)


def _costs(parts: Sequence[CrewPart], rng: random.Random) -> tuple[dict[str, tuple[float, float]], list[str]]:
    found: dict[str, list[float]] = {}
    notes = []
    for part in parts:
        if part.prices is None:
            notes.append(f"crew {part.name} has no price")
            continue
        of_tokens = part.prices.has_token_prices
        history = [job for job in part.history if job.tokens_known or not of_tokens]
        if len(history) < LEAST_JOBS:
            if part.prices.per_kickoff is None:
                notes.append(f"crew {part.name}: the tokens of too few jobs are known")
                continue
            notes.append(f"crew {part.name}: the tokens of too few jobs are known, so the cost has only the kickoffs")
            history = list(part.history)
            of_tokens = False
        costs = [(job.failed, _cost(job, part.prices, of_tokens=of_tokens)) for job in history]
        crew = Crew(costs, part.attempts)
        sums = found.setdefault(part.prices.currency, [0.0] * ROUNDS)
        for number in range(ROUNDS):
            sums[number] += crew.sample(rng).total(part.to_start, rng)
    return {currency: _middle(sums) for currency, sums in found.items()}, notes


def _cost(job: PastJob, prices: PriceList, *, of_tokens: bool) -> float:
    tokens = prices.of_tokens(job.prompt, job.completion, job.unsplit) if of_tokens else 0
    return float(prices.of_kickoffs(job.kickoffs) + tokens)


def _end(
    parts: Sequence[CrewPart], slots: int | None, interval: float, rng: random.Random
) -> tuple[tuple[float, float] | None, list[str]]:
    if slots is None or any(part.slots is None for part in parts):
        return None, ["the end: with `concurrency: auto`, the number of slots is found during the run"]
    crews = {}
    for part in parts:
        known = [(job.failed, job.seconds) for job in part.history if job.seconds is not None]
        if len(known) < LEAST_JOBS:
            return None, [f"the end: how long executions of crew {part.name} take is not known"]
        crews[part.name] = Crew(known, part.attempts)
    ends = []
    for _ in range(ROUNDS):
        work, longest = 0.0, 0.0
        for part in parts:
            drawn = crews[part.name].sample(rng)
            its, ended = _makespan(part.to_start + part.in_progress, min(part.slots or 1, slots), interval, drawn, rng)
            work, longest = work + its, max(longest, ended)
        ends.append(max(longest, work / slots))
    return _middle(ends), []


def _makespan(jobs: int, slots: int, interval: float, drawn: "Mixed", rng: random.Random) -> tuple[float, float]:
    """Return the time that jobs take together, and when the last one ends if each takes the first free slot."""
    exact = min(jobs, max(EXACT, min(5 * slots, MOST_EXACT)))
    before = drawn.total(jobs - exact, rng)
    start = max(before / slots, (jobs - exact) * interval)
    free = [start] * min(slots, exact)
    work = before
    for number, seconds in enumerate(drawn.several(exact, rng)):
        begins = max(free[0], start + number * interval)
        heapq.heapreplace(free, begins + seconds)
        work += seconds
    return work, max(free, default=start)


class Crew:
    """Costs or durations of a crew's jobs, separately for those that succeeded and those that failed.

    Args:
        jobs: whether a job failed, and its value.
        attempts: the most kickoffs of one job: as many times a success is what a failure takes, where none is known.
    """

    def __init__(self, jobs: Sequence[tuple[bool, float]], attempts: int) -> None:
        succeeded, failed = ([value for ended, value in jobs if ended is which] for which in (False, True))
        self._number = (len(succeeded), len(failed))
        self._succeeded = Values(succeeded or failed)
        self._failed = Values(failed or [value * attempts for value in succeeded])

    def sample(self, rng: random.Random) -> "Mixed":
        """Draw how the crew may work."""
        succeeded, failed = self._number
        share = rng.betavariate(failed + 0.5, succeeded + 0.5)
        return Mixed(share, self._succeeded.sample(rng), self._failed.sample(rng))


class Values:
    """The values of a history: costs, or durations."""

    def __init__(self, values: Sequence[float]) -> None:
        self.ordered = sorted(values)
        number = len(self.ordered)
        tail = min(number // 2, max(_LEAST_TAIL, math.ceil(number * _TAIL)))
        self.concentration = _concentration(number)
        self.threshold = self.ordered[number - tail - 1] if number > tail else 0.0
        self.tail = tail
        self.excess = 0.0
        """Sum of the logarithms of the tail's values over the threshold; 0: there is no tail."""
        if self.threshold > 0:
            self.excess = sum(math.log(value / self.threshold) for value in self.ordered[number - tail :])

    def sample(self, rng: random.Random) -> "Drawn":
        """Draw how the crew may work."""
        weights = [rng.gammavariate(self.concentration, 1.0) for _ in self.ordered]
        if not self.excess:
            return Drawn(self.ordered, weights, None)
        body = len(self.ordered) - self.tail
        index = rng.gammavariate(self.tail + 1, 1 / (self.excess + _PRIOR))
        tail = Tail(self.threshold, index, self.ordered[-1] * MOST_BEYOND)
        return Drawn([*self.ordered[:body], 0.0], [*weights[:body], sum(weights[body:])], tail)


def _concentration(number: int) -> float:
    """Return the parameter of the Dirichlet weights with which the mean of values varies as Student's t says.

    The variance of the mean is s²/n of the values, and the 95 % quantile of t replaces that of the normal distribution
    (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5). 1 is the Bayesian bootstrap.
    """
    if number < 2:
        return 1.0
    free, z = number - 1, 1.6449
    quantile = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return min(1.0, (free * (z / quantile) ** 2 - 1) / number) if free > 2 else 0.2


@dataclass(frozen=True, slots=True)
class Tail:
    """A Pareto tail that ends at `most`."""

    threshold: float
    index: float
    most: float

    def draw(self, rng: random.Random) -> float:
        """Draw one value."""
        logarithm = rng.expovariate(1.0) / self.index
        return self.most if logarithm >= math.log(self.most / self.threshold) else self.threshold * math.exp(logarithm)

    def moment(self, order: int) -> float:
        """Return the mean of the values (order 1), or of their squares (order 2)."""
        ratio, index = self.most / self.threshold, self.index
        beyond = ratio ** (order - index)  # larger values count as `most`
        inside = index * math.log(ratio) if abs(index - order) < 1e-9 else index * (1 - beyond) / (index - order)
        return float(self.threshold**order * (inside + beyond))


class Drawn:
    """One way in which the crew may work: values with weights; the last one stands for the tail."""

    def __init__(self, values: Sequence[float], weights: Sequence[float], tail: Tail | None) -> None:
        self._values, self._tail = values, tail
        self._sums = list(accumulate(weights))
        total = self._sums[-1]
        means = [list(values), [value * value for value in values]]
        if tail is not None:
            means[0][-1], means[1][-1] = tail.moment(1), tail.moment(2)
        self.mean, square = (
            sum(weight * value for weight, value in zip(weights, each, strict=True)) / total for each in means
        )
        self.variance = max(0.0, square - self.mean**2)

    def several(self, number: int, rng: random.Random) -> list[float]:
        """Draw the values of some jobs."""
        values, sums, tail = self._values, self._sums, self._tail
        total, last = sums[-1], len(values) - 1
        found = []
        for _ in range(number):
            place = min(last, bisect(sums, rng.random() * total))
            found.append(tail.draw(rng) if tail is not None and place == last else values[place])
        return found


@dataclass(frozen=True, slots=True)
class Mixed:
    """Jobs of which a share fails."""

    share: float
    succeeded: Drawn
    failed: Drawn

    def several(self, number: int, rng: random.Random) -> list[float]:
        """Draw the values of some jobs, in a random order."""
        failures = binomial(number, self.share, rng)
        found = self.succeeded.several(number - failures, rng) + self.failed.several(failures, rng)
        rng.shuffle(found)
        return found

    def total(self, number: int, rng: random.Random) -> float:
        """Draw the sum of the values of some jobs."""
        exact = min(number, EXACT)
        total = sum(self.several(exact, rng))
        failures = binomial(number - exact, self.share, rng)
        for others, drawn in ((number - exact - failures, self.succeeded), (failures, self.failed)):
            if others:
                total += max(0.0, rng.gauss(others * drawn.mean, math.sqrt(others * drawn.variance)))
        return total


def binomial(number: int, share: float, rng: random.Random) -> int:
    """Draw a binomial number; a large one from a normal distribution."""
    if number <= _FEW:
        return sum(rng.random() < share for _ in range(number))
    variance = number * share * (1 - share)
    if variance > 25:
        return min(number, max(0, round(rng.gauss(number * share, math.sqrt(variance)))))
    rare = min(share, 1 - share)
    drawn = _poisson(number * rare, rng)  # few, or few others
    drawn = min(number, drawn)
    return drawn if rare == share else number - drawn


def _poisson(mean: float, rng: random.Random) -> int:
    total, number = rng.expovariate(1.0), 0
    while total < mean:
        total += rng.expovariate(1.0)
        number += 1
    return number

"""Compare how soon each polling strategy notices the end of an execution, and with how many polls.

    .venv/bin/python benchmarks/watching.py [--executions 2000] [--slots 20] [--rounds 3]

The time is simulated, so the figures do not depend on the machine. Executions of several shapes of duration follow each
other in the slots, polled by batchcrew's own schedules with their default settings:

fixed     every N seconds, where N gives as many polls as `backoff` takes for the same shape
backoff   waits that grow from 2 s by half, up to 30 s
learned   by the hazard of the executions that have ended so far (see `batchcrew/engine/observe/hazard.py`)
oracle    the same, if the distribution were known from the start

Slot loss is the share of the slots' time in which an execution had ended and was not noticed yet. `least` is what any
schedule loses at least that knows the distribution, with as many polls as `backoff` takes, and with as many as
`learned` takes (dynamic programming). The last table is a threefold change of the durations, up and down: the loss of
the 50 executions before it, and of each 25 after it.

The rule for the intervals is Keller's (Optimum checking schedules for systems subject to random failure, Management
Science 21, 1974, pages 256-260).
"""

import argparse
import bisect
import heapq
import itertools
import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulated_clock import SimulatedClock

from batchcrew.config.settings import PollSettings
from batchcrew.engine.observe.durations import Durations
from batchcrew.engine.observe.learned import CrewDurations, LearnedSchedule
from batchcrew.engine.observe.schedule import PollSchedule, Schedule
from batchcrew.model.execution import Execution, ExecutionState

Draw = Callable[[random.Random], float]
RUNNING = Execution(state=ExecutionState.RUNNING, word="running")
ENDED = Execution(state=ExecutionState.SUCCEEDED, word="completed", output="text")
KNOWN = 20_000
GRID = 200
LONGEST = PollSettings().max


@dataclass(slots=True)
class Watched:
    """One execution."""

    since: float
    seconds: float
    schedule: Schedule
    polls: int = 0
    delay: float = 0.0


def lognormal(mean: float, variation: float) -> Draw:
    """Return durations of this mean and coefficient of variation."""
    sigma = math.sqrt(math.log(1 + variation**2))
    return lambda rng: rng.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)


def bimodal(mean: float) -> Draw:
    """Return durations of which three in five are short."""
    return lambda rng: max(
        0.1, rng.gauss(0.5 * mean, 0.05 * mean) if rng.random() < 0.6 else rng.gauss(1.75 * mean, 0.15 * mean)
    )


SHAPES: dict[str, Callable[[float], Draw]] = {
    "narrow": lambda mean: lognormal(mean, 0.2),
    "wide": lambda mean: lognormal(mean, 0.6),
    "bimodal": bimodal,
    "heavy": lambda mean: lognormal(mean, 1.3),
}


def simulate(draws: list[float], slots: int, schedule: Callable[[Any, float], Schedule]) -> list[Watched]:
    """Watch executions of these durations, one after the other in each slot; returns them as they were kicked off."""
    clock, left = SimulatedClock(), iter(draws)
    due: list[tuple[float, int, Watched]] = []
    watched: list[Watched] = []

    def start() -> None:
        seconds = next(left, None)
        if seconds is not None:
            made = Watched(clock.seconds, seconds, schedule(clock, clock.seconds))
            watched.append(made)
            heapq.heappush(due, (clock.seconds + made.schedule.next(), len(watched), made))

    for _ in range(slots):
        start()
    while due:
        clock.seconds, number, execution = heapq.heappop(due)
        execution.polls += 1
        execution.delay = clock.seconds - execution.since - execution.seconds
        if execution.delay < 0:
            execution.schedule.record(RUNNING, clock.seconds)
            heapq.heappush(due, (clock.seconds + execution.schedule.next(), number, execution))
        else:
            execution.schedule.record(ENDED, clock.seconds)
            start()
    return watched


def learned(rng: random.Random, durations: Durations | None = None) -> Callable[[Any, float], Schedule]:
    """Return the schedules of one crew that learns; with `durations`, of one that is known already."""
    crews: list[CrewDurations] = []

    def made(clock: Any, since: float) -> Schedule:
        if not crews:
            crews.append(CrewDurations(clock, PollSettings(), durations))
        return LearnedSchedule(crews[0], PollSettings(), clock=clock, rng=rng, since=since, running_at=since)

    return made


def known(draw: Draw, rng: random.Random) -> Durations:
    """Return what would be known after very many executions."""
    durations = Durations()
    for _ in range(KNOWN):
        durations.add(draw(rng))
    return durations


def loss(executions: list[Watched]) -> float:
    """Return the share of the slots' time that was lost."""
    delay = sum(each.delay for each in executions)
    return delay / (delay + sum(each.seconds for each in executions))


def polls(executions: list[Watched]) -> float:
    """Return the mean number of polls of an execution."""
    return statistics.mean(each.polls for each in executions)


def fixed_with(wanted: float, draws: list[float], slots: int, rng: random.Random) -> list[Watched]:
    """Poll at the constant interval that takes about as many polls as wanted."""
    shortest, longest = 0.05, 2 * max(draws)
    found: list[Watched] = []
    for _ in range(12):
        interval = math.sqrt(shortest * longest)
        poll = PollSettings(strategy="fixed", initial=interval, max=max(interval, 30.0))
        found = simulate(draws, slots, lambda _, since, poll=poll: PollSchedule(poll, rng))  # type: ignore[misc]  # the default binds the loop's value
        shortest, longest = (interval, longest) if polls(found) > wanted else (shortest, interval)
    return found


class Least:
    """The least slot loss that is possible, by the number of polls, for a known distribution.

    Polls happen at moments of a fine grid, at most `poll.max` apart. For a price of delay, dynamic programming from the
    longest duration backwards finds the moments of which the total is least.
    """

    def __init__(self, draw: Draw, rng: random.Random) -> None:
        draws = sorted(draw(rng) for _ in range(KNOWN))
        first, last = draws[KNOWN // 1000], draws[-1] * 1.0001
        self._grid = [0.0, first]
        while self._grid[-1] < last:
            moment = self._grid[-1]
            self._grid.append(moment + min(moment * ((last / first) ** (1 / GRID) - 1), LONGEST / 8))
        self._mean = statistics.mean(draws)
        sums = [0.0, *itertools.accumulate(draws)]
        ended = [bisect.bisect_right(draws, moment) for moment in self._grid]
        self._ended = [number / KNOWN for number in ended]
        self._sums = [sums[number] / KNOWN for number in ended]

    def loss(self, polls: float) -> float:
        """Return the least loss with this mean number of polls; the least of all if it cannot be as many."""
        low, high = 0.001 / self._mean, 1000 / self._mean
        for _ in range(14):
            price = math.sqrt(low * high)
            low, high = (low, price) if self._planned(price)[0] > polls else (price, high)
        return self._planned(low)[1]

    def _planned(self, price: float) -> tuple[float, float]:
        """Return the polls of an execution and the loss, where a second of delay costs this many polls."""
        grid, ended, sums = self._grid, self._ended, self._sums
        costs, polls, delays = ([0.0] * len(grid) for _ in range(3))
        for now in range(len(grid) - 2, -1, -1):
            best = math.inf
            for then in range(now + 1, len(grid)):
                if grid[then] - grid[now] > LONGEST and then > now + 1:
                    break
                delay = grid[then] * (ended[then] - ended[now]) - sums[then] + sums[now]
                cost = 1 - ended[now] + price * delay + costs[then]
                if cost < best:
                    best = costs[now] = cost
                    polls[now], delays[now] = polls[then] + 1 - ended[now], delays[then] + delay
        return polls[0], delays[0] / (delays[0] + self._mean)


def compare(mean: float, shape: str, executions: int, slots: int, seed: int) -> dict[str, list[Watched]]:
    """Watch the same executions by each strategy."""
    draw, rng = SHAPES[shape](mean), random.Random(seed)
    draws = [draw(rng) for _ in range(executions)]
    backoff = simulate(draws, slots, lambda _, since: PollSchedule(PollSettings(strategy="backoff"), rng))
    return {
        "fixed": fixed_with(polls(backoff), draws, slots, rng),
        "backoff": backoff,
        "learned": simulate(draws, slots, learned(rng)),
        "oracle": simulate(draws, slots, learned(rng, known(draw, rng))),
    }


def shift(factor: float, slots: int, seed: int) -> list[float]:
    """Return the losses before a change of the durations, and of each 25 executions after it."""
    rng = random.Random(seed)
    before, after = SHAPES["narrow"](60.0), SHAPES["narrow"](60.0 * factor)
    draws = [before(rng) for _ in range(400)] + [after(rng) for _ in range(400)]
    watched = simulate(draws, slots, learned(rng))
    return [loss(watched[350:400]), *(loss(watched[start : start + 25]) for start in range(400, 500, 25))]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{arguments.executions} executions in {arguments.slots} slots: polls per execution, mean delay, slot loss")
    for mean in (10.0, 30.0, 120.0, 600.0):
        for shape, of_mean in SHAPES.items():
            rounds = [
                compare(mean, shape, arguments.executions, arguments.slots, seed) for seed in range(arguments.rounds)
            ]
            cells, watched = [], {}
            for name in rounds[0]:
                together = watched[name] = [each for one in rounds for each in one[name]]
                delay = statistics.mean(each.delay for each in together)
                cells.append(f"{name} {polls(together):5.2f} {delay:6.2f} s {loss(together):6.1%}")
            least = Least(of_mean(mean), random.Random(arguments.rounds))
            bounds = [least.loss(polls(watched[name])) for name in ("backoff", "learned")]
            cells.append("least " + ", ".join(f"{bound:.1%}" for bound in bounds))
            print(f"{mean:4.0f} s {shape:8}" + "   ".join(cells), flush=True)
    for factor in (3.0, 1 / 3):
        losses = [shift(factor, arguments.slots, seed) for seed in range(10 * arguments.rounds)]
        means = [statistics.mean(column) for column in zip(*losses, strict=True)]
        after = ", ".join(f"{each:.1%}" for each in means[1:])
        print(f"60 s to {60 * factor:.0f} s: before {means[0]:.1%}, then {after}")


if __name__ == "__main__":
    main()

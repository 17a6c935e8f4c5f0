"""Compare `concurrency: auto` with the best that crews of hidden capacity allow.

    .venv/bin/python benchmarks/concurrency.py [--rounds 5]

The time is simulated, so the figures do not depend on the machine. A crew runs as many executions as its capacity, of
2 s ± 30 % each, and refuses further kickoffs with 429. An answer to a kickoff takes 10 ms; an end is noticed after
0.1 s. The slots are adjusted by batchcrew's own `AdaptiveLimit`, and its `Throttle` pauses kickoffs after a refusal.

batch      time of a batch of 15 rounds, as a multiple of the ideal: the same executions in as many slots as the
           crew can run, without any delay
later      throughput from the eighth round on, as a share of what the capacity allows
refused    refused kickoffs of a batch of 30 rounds, as a share of all
halved     seconds until the slots follow when the capacity is halved
"""

import argparse
import heapq
import random
import statistics
from dataclasses import dataclass, field
from typing import Any

from simulated_clock import SimulatedClock

from batchcrew.engine.limits.adaptive import AdaptiveLimit
from batchcrew.engine.limits.slots import Permit, Slots
from batchcrew.engine.limits.throttle import Throttle

SECONDS = 2.0
SPREAD = 0.3
ANSWER_SECONDS = 0.01
NOTICED_SECONDS = 0.1
MOST = 400


@dataclass
class Simulation:
    """One batch on one crew."""

    capacity: int
    jobs: int
    seed: int
    halved_after: int | None = None
    """Ended executions after which the crew can run half as many."""
    ends: list[float] = field(default_factory=list)
    refused: int = 0
    kickoffs: int = 0
    halved_at: float = 0.0
    durations: list[float] = field(default_factory=list)
    limits: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        clock: Any = SimulatedClock()
        self.clock = clock
        self.slots = Slots(MOST)
        self.limit = AdaptiveLimit(self.slots, self.clock, self._changed)
        self.throttle = Throttle(self.slots, clock=self.clock, rng=self.rng, adapts=False)
        self.events: list[tuple[float, int, str, Any]] = []
        self.left = self.jobs
        self.running = 0

    def _changed(self, before: int, after: int, reason: str) -> None:
        del before, reason
        self.limits.append((self.clock.seconds, after))

    def _after(self, seconds: float, kind: str, what: Any = None) -> None:
        heapq.heappush(self.events, (self.clock.seconds + seconds, self.kickoffs + len(self.ends), kind, what))

    def run(self) -> "Simulation":
        """Run the batch to its end."""
        self._start()
        while len(self.ends) < self.jobs:
            self.clock.seconds, _, kind, what = heapq.heappop(self.events)
            if self.halved_after is not None and len(self.ends) >= self.halved_after and not self.halved_at:
                self.capacity, self.halved_at = self.capacity // 2, self.clock.seconds
            getattr(self, f"_{kind}")(what)
            self._start()
        return self

    def _start(self) -> None:
        while self.left and self.throttle.is_open and self.limit.available() >= 1:
            (permit,) = self.slots.acquire(1)
            self.left -= 1
            self.kickoffs += 1
            self._after(ANSWER_SECONDS / 2, "arrives", Kickoff(permit, self.clock.seconds))
        if self.left and not self.throttle.is_open:
            self._after(self.throttle.pause_seconds() + 1e-6, "wake")

    def _wake(self, nothing: None) -> None:
        """Kickoffs may leave again."""

    def _arrives(self, kickoff: "Kickoff") -> None:
        if self.running >= self.capacity:
            self._after(ANSWER_SECONDS / 2, "is_refused", kickoff)
            return
        self.running += 1
        self.durations.append(self.rng.uniform((1 - SPREAD) * SECONDS, (1 + SPREAD) * SECONDS))
        self._after(self.durations[-1], "ends", kickoff)
        self._after(ANSWER_SECONDS / 2, "is_accepted", kickoff)

    def _is_accepted(self, kickoff: "Kickoff") -> None:
        kickoff.permit.accept()
        self.limit.accepted()
        self.throttle.accepted()

    def _is_refused(self, kickoff: "Kickoff") -> None:
        if self.throttle.refused(None, sent_at=kickoff.sent_at, too_many=True):
            self.limit.refused(None)
        kickoff.permit.release()
        self.refused += 1
        self.left += 1

    def _ends(self, kickoff: "Kickoff") -> None:
        self.running -= 1
        self._after(NOTICED_SECONDS, "is_noticed", kickoff)

    def _is_noticed(self, kickoff: "Kickoff") -> None:
        kickoff.permit.release()
        self.limit.ended(succeeded=True)
        self.ends.append(self.clock.seconds)

    def ideal(self) -> float:
        """Return the seconds of the same executions, one after the other in as many slots as the crew can run."""
        slots = [0.0] * self.capacity
        for seconds in self.durations:
            heapq.heappush(slots, heapq.heappop(slots) + seconds)
        return max(slots)


@dataclass(frozen=True, order=True)
class Kickoff:
    """A kickoff on the wire."""

    permit: Permit = field(compare=False)
    sent_at: float


def main() -> None:
    """Print a line for each capacity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print("capacity   batch   later   refused   halved")
    for capacity in (5, 17, 40, 200):
        short = [Simulation(capacity, 15 * capacity, seed).run() for seed in range(arguments.rounds)]
        long = [Simulation(capacity, 30 * capacity, seed).run() for seed in range(arguments.rounds)]
        cut = [Simulation(capacity, 40 * capacity, seed, 20 * capacity).run() for seed in range(arguments.rounds)]
        batch = statistics.median(each.clock.seconds / each.ideal() for each in short)
        later = statistics.median(_throughput(each) for each in long) / (capacity / (SECONDS + NOTICED_SECONDS))
        refused = statistics.median(each.refused / each.kickoffs for each in long)
        halved = statistics.median(_followed(each) for each in cut)
        print(f"{capacity:8} {batch:7.2f} {later:7.0%} {refused:9.1%} {halved:7.1f} s")


def _throughput(simulation: Simulation) -> float:
    """Return the executions per second from the eighth round to the one before the last."""
    ends, capacity = simulation.ends, simulation.capacity
    return (len(ends) - 9 * capacity) / (ends[-capacity] - ends[8 * capacity])


def _followed(simulation: Simulation) -> float:
    """Return the seconds from the halving until the slots are at most a tenth above the new capacity."""
    enough = max(simulation.capacity + 1, 1.1 * simulation.capacity)
    later = [at for at, limit in simulation.limits if at >= simulation.halved_at and limit <= enough]
    return later[0] - simulation.halved_at


if __name__ == "__main__":
    main()

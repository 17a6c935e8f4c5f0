"""Show how often the 90 % intervals of forecasts hold, in rehearsed batches of four shapes.

    .venv/bin/python benchmarks/forecast.py [--batches 1000] [--seed 1] [--check]

Each batch is rehearsed with a random crew: 5 to 400 jobs have ended before (the history), 20 to 2,000 are left, 1 to
30 run at the same time, up to 20 % of the executions fail, and up to 15 % of the jobs fail on each attempt. The history
and the batch are drawn independently from the same distribution:

narrow        durations and tokens vary by about 10 % (normal)
wide          lognormal, with a coefficient of variation of 1
bimodal       two kinds of jobs, one of which takes ten times as long
heavy-tailed  Pareto with an index of 2.5: a few jobs take many times the usual

The batch is then played: jobs take the first free slot, a failed execution is retried up to twice, and the real cost,
failed jobs and end are compared with the intervals. Prices are those of a kickoff and of tokens. Time is simulated, so
the figures do not depend on the machine. `--check` exits with 1 if an interval holds in less than 88 % of a shape.
"""

import argparse
import heapq
import math
import random
import sys
from collections.abc import Callable
from decimal import Decimal

from batchcrew.base.costs import PriceList
from batchcrew.engine.batch_forecast import CrewPart, forecast
from batchcrew.model.forecast import PastJob

LEAST = 0.88
PRICES = PriceList(
    currency="USD",
    per_kickoff=Decimal("0.05"),
    per_1k_prompt_tokens=Decimal("0.0025"),
    per_1k_completion_tokens=Decimal("0.01"),
)
Draw = Callable[[random.Random], float]


def narrow(rng: random.Random) -> float:
    return max(0.1, rng.gauss(1.0, 0.1))


def wide(rng: random.Random) -> float:
    sigma = math.sqrt(math.log(2))
    return rng.lognormvariate(-(sigma**2) / 2, sigma)


def bimodal(rng: random.Random) -> float:
    return narrow(rng) * (10.0 if rng.random() < 0.3 else 1.0)


def heavy_tailed(rng: random.Random) -> float:
    return rng.paretovariate(2.5)


SHAPES: dict[str, Draw] = {"narrow": narrow, "wide": wide, "bimodal": bimodal, "heavy-tailed": heavy_tailed}


def job(shape: Draw, failing: float, hopeless: float, rng: random.Random) -> PastJob:
    """Return a job that has ended: some jobs fail on every attempt, others by chance."""
    each = failing if rng.random() >= hopeless else 1.0
    seconds, prompt, completion, kickoffs, failed = 0.0, 0, 0, 0, True
    while failed and kickoffs < 3:
        kickoffs += 1
        size = shape(rng)
        seconds += 30 * size
        prompt += round(20_000 * size * rng.uniform(0.8, 1.2))
        completion += round(4_000 * size * rng.uniform(0.8, 1.2))
        failed = rng.random() < each
    return PastJob(
        failed=failed,
        kickoffs=kickoffs,
        seconds=seconds,
        prompt=prompt,
        completion=completion,
        tokens_known=True,
    )


def rehearse(shape: Draw, rng: random.Random) -> tuple[tuple[bool, bool, bool], tuple[float, float]]:
    """Return whether cost, failures and end are inside their intervals, and the widths of those of cost and end."""
    failing, hopeless = rng.uniform(0, 0.2), rng.uniform(0, 0.15)
    history = [job(shape, failing, hopeless, rng) for _ in range(_size(5, 400, rng))]
    batch = [job(shape, failing, hopeless, rng) for _ in range(_size(20, 2000, rng))]
    slots = rng.randint(1, 30)
    part = CrewPart(name="crew", to_start=len(batch), history=history, prices=PRICES, slots=slots, attempts=3)
    expected = forecast([part], slots=slots, interval=0.0, rng=rng)
    assert expected.failures is not None
    assert expected.seconds is not None
    cost = sum(0.05 * each.kickoffs + (0.0025 * each.prompt + 0.01 * each.completion) / 1000 for each in batch)
    free = [0.0] * slots
    for each in batch:
        heapq.heapreplace(free, free[0] + (each.seconds or 0))
    failed, end = sum(each.failed for each in batch), max(free)
    low, high = expected.costs["USD"]
    inside = (
        low <= cost <= high,
        expected.failures[0] <= failed <= expected.failures[1],
        expected.seconds[0] <= end <= expected.seconds[1],
    )
    return inside, ((high - low) / cost, (expected.seconds[1] - expected.seconds[0]) / end)


def _size(least: int, most: int, rng: random.Random) -> int:
    """Return a number of jobs: all orders of magnitude are equally likely."""
    return round(math.exp(rng.uniform(math.log(least), math.log(most))))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=1000, help="batches of all shapes together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    each = given.batches // len(SHAPES)
    print(f"{each} batches of each shape: how often the 90 % interval held, and its median width")
    print(f"{'shape':<14}{'cost':>8}{'failures':>10}{'end':>8}{'width of cost':>16}{'of end':>9}")
    worst, sums = 1.0, [0, 0, 0]
    for name, shape in SHAPES.items():
        rng = random.Random(f"{name}-{given.seed}")
        found = [rehearse(shape, rng) for _ in range(each)]
        held = [sum(inside[which] for inside, _ in found) for which in range(3)]
        sums = [total + number for total, number in zip(sums, held, strict=True)]
        worst = min(worst, *(number / each for number in held))
        widths = [sorted(width[which] for _, width in found)[each // 2] for which in range(2)]
        shown = [f"{number / each:.1%}" for number in held]
        print(f"{name:<14}{shown[0]:>8}{shown[1]:>10}{shown[2]:>8}{widths[0]:>16.0%}{widths[1]:>9.0%}", flush=True)
    shares = [total / (each * len(SHAPES)) for total in sums]
    print(f"{'all':<14}{shares[0]:>8.1%}{shares[1]:>10.1%}{shares[2]:>8.1%}")
    return 1 if given.check and worst < LEAST else 0


if __name__ == "__main__":
    sys.exit(main())

"""Compute the distributions of the durations of executions and tasks: percentiles and a histogram."""

import math
from collections.abc import Iterable, Iterator

from batchcrew.model.report_facts import DurationCount
from batchcrew.model.report_times import Distribution, DurationBin

MOST_CREWS = 50
MOST_TASKS = 50
BINS = 24


def distributions(counts: Iterable[DurationCount]) -> tuple[Distribution, ...]:
    """Return a distribution for each crew and each task: the crews first, each kind by its number of executions."""
    by_name: dict[tuple[str, str | None], list[DurationCount]] = {}
    for count in counts:
        by_name.setdefault((count.crew, count.task), []).append(count)
    found = [_distribution(crew, task, its) for (crew, task), its in by_name.items()]
    found.sort(key=lambda each: (-each.number, each.crew, each.task or ""))
    crews = [each for each in found if each.task is None][:MOST_CREWS]
    return (*crews, *[each for each in found if each.task is not None][:MOST_TASKS])


def _distribution(crew: str, task: str | None, counts: list[DurationCount]) -> Distribution:
    counts.sort(key=lambda count: count.most)
    number = sum(count.number for count in counts)
    p50, p90, p99 = (_percentile(counts, number, share) for share in (0.5, 0.9, 0.99))
    least, most = min(count.least for count in counts), counts[-1].most
    return Distribution(
        crew=crew,
        task=task,
        number=number,
        total_seconds=round(sum(count.seconds for count in counts), 3),
        least=round(least, 3),
        p50=p50,
        p90=p90,
        p99=p99,
        most=round(most, 3),
        bins=tuple(_bins(counts, least, most)),
    )


def _percentile(counts: list[DurationCount], number: int, share: float) -> float:
    """Return the time that this share of the executions took at most, by nearest rank."""
    rank = max(1, math.ceil(share * number - 1e-9))
    passed = 0
    for count in counts:
        passed += count.number
        if passed >= rank:
            return round(count.most, 3)
    return round(counts[-1].most, 3)


def _bins(counts: list[DurationCount], least: float, most: float) -> Iterator[DurationBin]:
    """Yield intervals that grow by the same factor, so that a long tail does not hide the rest."""
    low = max(least, 0.001)
    high = max(most, low) * 1.000001
    factor = (high / low) ** (1 / BINS) if high > low * 1.01 else 1.0
    if factor == 1.0:
        yield DurationBin(start=round(least, 3), end=round(high, 3), number=sum(count.number for count in counts))
        return
    numbers = [0] * BINS
    for count in counts:
        middle = max(low, count.seconds / count.number)
        numbers[min(BINS - 1, int(math.log(middle / low) / math.log(factor)))] += count.number
    for place, number in enumerate(numbers):
        yield DurationBin(start=round(low * factor**place, 3), end=round(low * factor ** (place + 1), 3), number=number)

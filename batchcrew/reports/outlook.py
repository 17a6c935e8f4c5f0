"""Estimate when a batch ends, for `status`, from the totals of its runs."""

from datetime import datetime, timedelta

from batchcrew.base.estimates import Throughput
from batchcrew.base.quantities import format_range
from batchcrew.model.views import BatchLine

ENOUGH_ENDED = 5
"""Number of executions of a batch from which on its rate is used."""
LONGEST_SECONDS = 30 * 86_400.0
"""Longest estimate that is shown."""


def outlook_line(line: BatchLine, now: datetime) -> str | None:
    """Return `end: 12–18 min left (14:20Z to 14:26Z)`; None without a run in progress, or if too little is known.

    Args:
        now: aware.
    """
    found = _seconds_left(line)
    if found is None or found[1] > LONGEST_SECONDS:
        return None
    first, last = (now + timedelta(seconds=seconds) for seconds in found)
    form = "%H:%MZ" if last - now < timedelta(hours=20) else "%Y-%m-%d %H:%MZ"
    texts = [f"{moment:{form}}" for moment in (first, last)]
    return f"end: {format_range(*found)} left ({' to '.join(dict.fromkeys(texts))})"


def _seconds_left(line: BatchLine) -> tuple[float, float] | None:
    """Estimate the end from the rate over all runs; how long executions take follows from how many are in progress."""
    counts, totals = line.counts, line.totals
    ended, left = totals.kickoffs - counts.open, counts.left - counts.waiting
    if not line.running or ended < ENOUGH_ENDED or left < 1 or not totals.kickoffs_per_minute:
        return None
    rate = totals.kickoffs_per_minute / 60 * ended / totals.kickoffs
    running = max(1, min(left, counts.open))
    mean = max(1, counts.open) / rate
    return Throughput(ended=ended, slow=rate, fast=rate, least_mean=mean, most_mean=mean).end(
        left=left, running=running
    )

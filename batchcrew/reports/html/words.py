"""Numbers, moments and states as the words of a page."""

from collections.abc import Iterator
from datetime import timedelta

from batchcrew.base.clock import from_text
from batchcrew.base.text import HARMFUL_IN_BLOCK, escaped
from batchcrew.model.job import JobState
from batchcrew.model.report_times import TIME_PARTS, Timeline
from batchcrew.model.run import Counts

_ORDER = (
    JobState.SUCCEEDED,
    JobState.FAILED,
    JobState.HELD,
    JobState.STALE,
    JobState.CANCELLED,
    JobState.WAITING,
    JobState.OPEN,
    JobState.PENDING,
)


def states(counts: Counts) -> Iterator[tuple[str, int]]:
    """Yield the states that jobs have, each with its number."""
    for state in _ORDER:
        if number := getattr(counts, state.value):
            yield state.value, number


def clean(text: str) -> str:
    """Return text of a crew or a file with `\\x1b` for each control character; lines and tabs are kept.

    The marks of right-to-left scripts are kept as well, because the page isolates them.
    """
    return HARMFUL_IN_BLOCK.sub(lambda match: match[0] if match[0] in "\u061c\u200e\u200f" else escaped(match[0]), text)


def count(number: int) -> str:
    """Return `12,345`."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """Return `1 job`, `12,345 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def compact(number: int) -> str:
    """Return `950`, `12.3k`, `4.56M`."""
    for size, least, unit in ((10**9, 999_500_000, "G"), (10**6, 999_500, "M"), (10**3, 9_995, "k")):
        if number >= least:
            return f"{number / size:,.3g}{unit}" if number < 999.5 * size else f"{number / size:,.0f}{unit}"
    return count(number)


def percent(share: float) -> str:
    """Return `37 %`, `4.6 %`, `less than 0.1 %`."""
    if 0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 <= share < 1:
        return "more than 99.9 %"
    return f"{100 * share:.0f} %" if share in {0, 1} or 0.1 <= share <= 0.9 else f"{100 * share:.1f} %"


def rate(number: float) -> str:
    """Return `1,234`, `56.7`, `0.12`."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def duration(seconds: float) -> str:
    """Return `0.25 s`, `12.3 s`, `3 min 20 s`, `1 h 2 min`, `3 d 4 h`, with blanks that do not break."""
    if seconds < 99.95 and seconds % 60:
        return f"{seconds:.2f}\u00a0s" if seconds < 9.995 else f"{seconds:.1f}\u00a0s"
    whole = round(seconds)
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        number, whole = divmod(whole, size)
        if number and len(parts) < 2:
            parts.append(f"{number}\u00a0{unit}")
        elif parts:
            break
    return "\u00a0".join(parts) or "0\u00a0s"


def moment(text: str) -> str:
    """Return a moment of the ledger as `2026-11-28 09:30:00`, UTC."""
    return f"{from_text(text):%Y-%m-%d %H:%M:%S}"


def bin_start(line: Timeline, place: int) -> str:
    """Return when an interval of the timeline begins."""
    return f"{from_text(line.started_at) + timedelta(seconds=place * line.bin_seconds):%Y-%m-%d %H:%M:%S}"


def time_part(name: str) -> str:
    """Return the meaning of a part of a duration."""
    return TIME_PARTS.get(name, name)

"""Parse and format durations, sizes and other quantities; and the default place of the ledger.

Separate from `settings.py`, so that the commands that only read the ledger start without pydantic.
"""

import math
import re

DEFAULT_LEDGER = "results/batchcrew.db"

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|KiB|MiB|GiB)?", re.IGNORECASE)
_SIZE_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
MAX_DURATION_SECONDS = 366 * 86400.0


def parse_duration(value: object) -> float:
    """Seconds from `30s`, `5m`, `1h30m`, `500ms` or a number of seconds.

    Raises:
        ValueError: the text is not a duration, is negative or over a year.
    """
    seconds: float
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"invalid duration: {value!r} (expected e.g. 30s, 5m or 1h30m)")
    if isinstance(value, str):
        text = value.strip().replace(" ", "")
        if _DURATION.fullmatch(text):
            seconds = sum(float(number) * UNITS[unit] for number, unit in _DURATION_PART.findall(text))
        else:
            try:
                seconds = float(text)
            except ValueError:
                raise ValueError(f"invalid duration: {value!r} (expected e.g. 30s, 5m or 1h30m)") from None
    else:
        seconds = float(value)
    if not 0 <= seconds <= MAX_DURATION_SECONDS:
        raise ValueError(f"invalid duration: {value!r} (expected 0s to 366d)")
    return seconds


def format_duration(seconds: float) -> str:
    """`1h 02m`, `3m 20s`, `12.3s`: for people."""
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m"


_RANGES: tuple[tuple[float, str, float, int], ...] = (
    (100, "s", 1.0, 0),
    (5400, "min", 60.0, 0),
    (172_800, "h", 3600.0, 1),
    (math.inf, "d", 86_400.0, 1),
)
"""The units of an estimate: the seconds below which a unit is used, its length in seconds, and its decimal digits."""


def format_range(low: float, high: float, *, dash: str = "–") -> str:
    """`12–18 min`, `40–55 s`, `1.5–2.2 h`, `about 12 min`: an estimate of seconds, for people."""
    unit, size, digits = next((unit, size, digits) for most, unit, size, digits in _RANGES if high < most)
    step = 5.0 if unit == "s" and high >= 20 else 1.0
    first, last = (f"{round(seconds / size / step, digits) * step:.{digits}f}" for seconds in (max(0.0, low), high))
    if first == last:
        return f"about {last} {unit}" if float(last) else f"less than 1 {unit}"
    return f"{first}{dash}{last} {unit}" if float(first) else f"up to {last} {unit}"


def write_duration(seconds: float) -> str:
    """Write a duration as job files and options do: `30s`, `1h30m`, `500ms`; `parse_duration` reads it."""
    rest, text = round(seconds * 1000), ""
    for unit in ("d", "h", "m", "s", "ms"):
        number, rest = divmod(rest, round(UNITS[unit] * 1000))
        text += f"{number}{unit}" if number else ""
    return text or "0s"


def format_size(size: int) -> str:
    """`512 B`, `136 KiB`, `2.4 MiB`: for people."""
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}" if unit != "B" and amount < 100 else f"{amount:.0f} {unit}"


def parse_size(value: object) -> int:
    """Bytes from `64MiB`, `10 MB` or a number of bytes."""
    match = _SIZE.fullmatch(str(value).strip())
    if isinstance(value, bool) or match is None:
        raise ValueError(f"invalid size: {value!r} (expected e.g. 64MiB)")
    return int(float(match[1]) * _SIZE_UNITS[(match[2] or "B").lower()])

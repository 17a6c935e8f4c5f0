"""Render a forecast for `check`, as text and as JSON."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from batchcrew.base.text import clean_text
from batchcrew.model.forecast import Forecast


def forecast_lines(found: Forecast, now: datetime) -> Iterator[str]:
    """Yield the expected figures, and those that are not known.

    Args:
        now: aware; the time at which a run would start.
    """
    if not found.jobs:
        return
    facts = [_between(*amounts, currency) for currency, amounts in found.costs.items()]
    if found.failures is not None:
        least, most = found.failures
        number = f"{least} to {most} jobs" if least != most else "1 job" if least == 1 else f"{least} jobs"
        facts.append(f"{number} will fail")
    if found.seconds is not None:
        facts.append(_done(*found.seconds, now))
    if facts:
        yield f"forecast (90%, from {found.learned_from} ended jobs): {'; '.join(facts)}"
    for text in found.not_known:
        yield f"not in the forecast: {clean_text(text)}" if facts else f"no forecast: {clean_text(text)}"


def forecast_json(found: Forecast) -> dict[str, Any]:
    """Return `{"jobs", "learned_from", "failures": {"least", "most"}, "costs": [{"currency", "least", "most"}],
    "seconds": {"least", "most"}, "not_known"}`; `failures` and `seconds` are null where they are not known."""
    return {
        "jobs": found.jobs,
        "learned_from": found.learned_from,
        "failures": _range(found.failures),
        "costs": [
            {"currency": currency, "least": round(least, 4), "most": round(most, 4)}
            for currency, (least, most) in found.costs.items()
        ],
        "seconds": _range(None if found.seconds is None else (round(found.seconds[0], 1), round(found.seconds[1], 1))),
        "not_known": list(found.not_known),
    }


def _range(values: tuple[float, float] | None) -> dict[str, float] | None:
    return None if values is None else {"least": values[0], "most": values[1]}


def _between(low: float, high: float, currency: str) -> str:
    digits = 0 if low >= 20 else 2 if high >= 1 else 4
    least, most = f"{low:.{digits}f}", f"{high:.{digits}f}"
    text = least if least == most else f"between {least} and {most}"
    return f"{text} {clean_text(currency)}".rstrip()


def _done(least: float, most: float, now: datetime) -> str:
    first, last = (_moment(now + timedelta(seconds=seconds), now) for seconds in (least, most))
    return f"done at {first}" if first == last else f"done between {first} and {last}"


def _moment(moment: datetime, now: datetime) -> str:
    local, today = moment.astimezone(), now.astimezone().date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"

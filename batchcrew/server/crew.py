"""The demo crew: a travel planner with two tasks, whose text is made from its inputs by plain code."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

INPUTS = ("budget", "interests", "duration", "age")
TASKS = (("research_task", "Researcher", 0.4), ("planning_task", "Trip Planner", 0.6))
"""Task id, agent and its share of the execution's time."""
NO_MODEL = "(batchcrew's demo crew wrote this from your inputs; no language model was asked.)"
MAX_DAYS = 14
_SHOWN = 200

_PLACES = (
    "Kyoto", "Lisbon", "Oaxaca", "Ljubljana", "Hoi An", "Porto", "Taipei", "Valparaíso", "Tbilisi", "Bergen",
    "Seville", "Penang",
)  # fmt: skip
_MORNINGS = (
    "a slow walk through the old town", "the market hall before the crowds", "a museum that opens early",
    "a short hike to the viewpoint", "coffee with the locals", "a guided tour on foot", "a boat along the river",
)  # fmt: skip
_EVENINGS = (
    "dinner where the queue is", "live music in a small bar", "street food and a sunset", "a cooking class",
    "an early night", "a night market", "a concert in the park",
)  # fmt: skip


def missing_inputs(inputs: Mapping[str, Any]) -> list[str]:
    """Required inputs that are not given."""
    return [name for name in INPUTS if name not in inputs]


def research(inputs: Mapping[str, Any]) -> str:
    """What the Researcher found."""
    place = _place(inputs)
    return (
        f"Research findings: {place} fits {_said(inputs, 'interests')} for a traveller of {_said(inputs, 'age')}, "
        f"and {_said(inputs, 'budget')} is enough for {_said(inputs, 'duration')}."
    )


def plan(inputs: Mapping[str, Any]) -> str:
    """The itinerary: the crew's output."""
    place, days, number = _place(inputs), _days(inputs), _number(inputs)
    interests = [part.strip() for part in _said(inputs, "interests").split(",") if part.strip()] or ["resting"]
    lines = [f"{_said(inputs, 'duration')} in {place} on {_said(inputs, 'budget')}"]
    for day in range(days):
        morning = _MORNINGS[(number + day) % len(_MORNINGS)]
        evening = _EVENINGS[(number // 7 + day) % len(_EVENINGS)]
        lines.append(f"Day {day + 1}: {morning}; an afternoon of {interests[day % len(interests)]}; {evening}.")
    return "\n".join([*lines, NO_MODEL])


def failure(inputs: Mapping[str, Any]) -> str:
    """Why an execution that was told to fail did."""
    return f"{TASKS[1][0]}: no flight to {_place(inputs)} could be found (a rehearsed failure, --fail-rate)"


def _said(inputs: Mapping[str, Any], name: str) -> str:
    text = str(inputs.get(name, ""))
    return " ".join(text[:_SHOWN].split()) or "anything"


def _number(inputs: Mapping[str, Any]) -> int:
    key = "|".join(_said(inputs, name) for name in INPUTS)
    return int.from_bytes(hashlib.sha256(key.encode(errors="replace")).digest()[:4])


def _place(inputs: Mapping[str, Any]) -> str:
    return _PLACES[_number(inputs) % len(_PLACES)]


def _days(inputs: Mapping[str, Any]) -> int:
    match = re.search(r"\d{1,4}", _said(inputs, "duration"))
    return min(max(int(match[0]) if match else 3, 1), MAX_DAYS)

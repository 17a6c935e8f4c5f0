"""The demo crew: a travel planner with two tasks, whose texts are made from its inputs without a language model."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INPUTS = ("budget", "interests", "duration", "age")
NO_MODEL = "(batchcrew's demo crew wrote this from your inputs; no language model was used.)"
MAX_DAYS = 14
MAX_INPUT = 160
"""Characters of an input that the crew reads, so that its answer is short whatever the inputs are."""


@dataclass(frozen=True, slots=True)
class Step:
    """One of the crew's tasks."""

    task_id: str
    agent: str
    share: float
    """Part of the execution's time."""
    description: str
    expected_output: str
    thought: str


RESEARCH = Step(
    task_id="research_task",
    agent="Researcher",
    share=0.4,
    description="Find destinations that fit the traveller's interests, age and budget.",
    expected_output="Three destinations, the reason for each, and the one to take.",
    thought="I should first look for destinations that match these interests and this budget.",
)
PLANNING = Step(
    task_id="planning_task",
    agent="Trip Planner",
    share=0.6,
    description="Turn the chosen destination into a plan, day by day.",
    expected_output="An itinerary with a morning, an afternoon and an evening for each day.",
    thought="The destination is settled; I should spread the interests over the days.",
)
TASKS = (RESEARCH, PLANNING)


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    themes: str
    why: str


_PLACES = (
    _Place("Kyoto", "food temple history garden craft tea hik", "old workshops, gardens and quiet trails"),
    _Place("Tokyo", "game tech ai food anime music shopping", "arcades, electronics quarters and tiny kitchens"),
    _Place("Taipei", "tech food night game tea hik", "night markets, hot springs and makers' fairs"),
    _Place("Lisbon", "food music beach sea art surf", "tiled hills, late dinners and the sea nearby"),
    _Place("Porto", "wine river food book art", "wine cellars, bookshops and a river to walk along"),
    _Place("Oaxaca", "food craft history market art", "markets, moles and weavers"),
    _Place("Ljubljana", "hik nature relax book coffee kid famil", "a small car-free centre with mountains nearby"),
    _Place("Bergen", "hik nature sea fish rain photo", "fjords, funiculars and fish soup"),
    _Place("Tallinn", "tech ai startup history sauna", "a walled town full of young companies"),
    _Place("Seville", "music dance history food sun flamenco", "courtyards, dance and long evenings"),
    _Place("Penang", "food street art temple beach", "the best street kitchens of the strait"),
    _Place("Québec", "history snow french kid famil ski", "ramparts, snow slides and maple everything"),
    _Place("Cape Town", "surf wine nature hik beach photo", "a mountain, two oceans and vineyards"),
    _Place("Berlin", "music tech ai art museum history club", "museums by day, music by night"),
)
_MORNINGS = (
    "a slow walk through the old town", "the market hall before the crowds", "a museum that opens early",
    "a short climb to the viewpoint", "breakfast where the locals queue", "a guided tour on foot",
    "a boat along the water",
)  # fmt: skip
_EVENINGS = (
    "dinner at a counter with eight seats", "live music in a small bar", "street food and a sunset",
    "a cooking class", "an early night", "a night market", "a concert in the park",
)  # fmt: skip


def missing_inputs(inputs: Mapping[str, Any]) -> list[str]:
    """Return the required inputs that are missing."""
    return [name for name in INPUTS if name not in inputs]


def trip(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the inputs as the crew reads them: always four short lines of printable text."""
    return {name: _plain(inputs.get(name)) for name in INPUTS}


def research(trip: Mapping[str, str]) -> str:
    """Return the output of the Researcher."""
    chosen, *others = _places(trip)
    lines = [f"Research findings for a traveller of {trip['age']} who likes {trip['interests']}:"]
    lines += [f"{rank}. {place.name}: {place.why}." for rank, place in enumerate((chosen, *others), 1)]
    lines.append(f"{chosen.name} fits best for {trip['duration']} on {trip['budget']}.")
    return "\n".join(lines)


def plan(trip: Mapping[str, str]) -> str:
    """Return the itinerary, day by day: the crew's output."""
    place, number = _places(trip)[0], _number(trip)
    interests = [part.strip() for part in trip["interests"].split(",") if part.strip()] or ["whatever the day brings"]
    days = _days(trip)
    lines = [f"{trip['duration']} in {place.name} on {trip['budget']}{_daily(trip, days)}"]
    for day in range(days):
        morning = _MORNINGS[(number + day) % len(_MORNINGS)]
        evening = _EVENINGS[(number // 7 + day) % len(_EVENINGS)]
        lines.append(f"Day {day + 1}: {morning}; an afternoon of {interests[day % len(interests)]}; {evening}.")
    return "\n".join([*lines, NO_MODEL])


def failure(trip: Mapping[str, str]) -> str:
    """Return the error of an execution that fails on purpose."""
    return f"{PLANNING.task_id}: no way to {_places(trip)[0].name} could be found (a rehearsed failure, --fail-rate)"


def _plain(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        text = ", ".join(value)
    elif isinstance(value, str):
        text = value
    else:
        text = "" if value is None else json.dumps(value)
    text = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * MAX_INPUT]).split())
    return text if len(text) <= MAX_INPUT else text[: MAX_INPUT - 1] + "…"


def _number(trip: Mapping[str, str]) -> int:
    """Return a number that depends only on the inputs, so that the same trip gets the same text."""
    return int.from_bytes(hashlib.sha256("|".join(trip[name] for name in INPUTS).encode()).digest()[:4])


def _places(trip: Mapping[str, str]) -> list[_Place]:
    """Return the three places that fit the interests best; among equals the inputs decide."""
    interests, number = trip["interests"].lower(), _number(trip)

    def rank(at: int) -> tuple[int, int]:
        fits = sum(theme in interests for theme in _PLACES[at].themes.split())
        return -fits, (at * 5 + number) % len(_PLACES)

    return [_PLACES[at] for at in sorted(range(len(_PLACES)), key=rank)[:3]]


def _days(trip: Mapping[str, str]) -> int:
    match = re.search(r"(\d{1,4})\s*(w?)", trip["duration"].lower(), re.ASCII)
    days = int(match[1]) * (7 if match[2] else 1) if match else 3
    return min(max(days, 1), MAX_DAYS)


def _daily(trip: Mapping[str, str], days: int) -> str:
    """Return the budget per day, if the budget contains an amount."""
    match = re.search(r"\d{1,9}", trip["budget"].replace(",", "").replace("'", ""), re.ASCII)
    return f" (about {int(match[0]) // days} a day)" if match else ""

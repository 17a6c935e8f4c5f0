"""Estimate when a run polls an execution next, and why, for a reader of the ledger.

The waits are those that the run chooses, by the same functions, without their jitter. The reader has the durations as
the run saved them last, so the moment is about right.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from batchcrew.base.quantities import format_duration
from batchcrew.config.settings import PollSettings
from batchcrew.engine.observe.durations import Durations
from batchcrew.engine.observe.hazard import Hazard
from batchcrew.engine.observe.learned import Why, hazard_of, learns, shortest_wait, wait_at
from batchcrew.engine.observe.schedule import RECORDED, wait_after

_MOST_POLLS = 10_000
"""Polls of one execution that are followed from its kickoff; after them, the next one follows from its age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The next poll of an execution."""

    age: float
    """Seconds after the kickoff."""
    reason: str
    executions: int = 0
    """Ended executions of the crew from which this was learned; 0: the settings alone decide."""


def forecast(age: float, settings: Mapping[str, Any], durations: Durations | None) -> Forecast:
    """Return the next poll of an execution that is `age` seconds old.

    Args:
        settings: what `polled_by` returned for the run that watches; empty if the ledger does not have it.
        durations: of the crew; None where none are known.
    """
    poll = PollSettings(**{name: settings[name] for name in RECORDED if name in settings})
    due = _learned(age, poll, durations) if learns(poll) else _by_number(age, poll)
    timeout = settings.get("timeout")
    if timeout is not None and age < timeout < due.age:
        return Forecast(age=timeout, reason=f"its time ends then (run.timeout: {format_duration(timeout)})")
    return due


def _learned(age: float, poll: PollSettings, durations: Durations | None) -> Forecast:
    hazard = None if durations is None or not durations.count else hazard_of(durations, poll)
    at = _first_after(age, lambda at, polls: wait_at(at, hazard, poll)[0])
    before = age if at.polls >= _MOST_POLLS else at.before
    _, why = wait_at(before, hazard, poll)
    return Forecast(
        age=at.due,
        reason=_reason(why, at.due, poll, hazard, durations or Durations()),
        executions=0 if hazard is None else hazard.executions,
    )


def _by_number(age: float, poll: PollSettings) -> Forecast:
    at = _first_after(age, lambda at, polls: wait_after(polls, poll))
    if poll.strategy == "backoff" and poll.factor > 1 and poll.initial < poll.max:
        first, last = format_duration(poll.initial), format_duration(poll.max)
        return Forecast(age=at.due, reason=f"poll.strategy is backoff: waits grow from {first} to {last}")
    return Forecast(age=at.due, reason=f"all waits are equal: {format_duration(min(poll.initial, poll.max))}")


@dataclass(frozen=True, slots=True)
class _Poll:
    before: float
    due: float
    polls: int


def _first_after(age: float, wait: Callable[[float, int], float]) -> _Poll:
    """Return the first poll after this age, of those that follow each other from the kickoff."""
    before, due, polls = 0.0, wait(0.0, 0), 0
    while due <= age and polls < _MOST_POLLS:
        polls += 1
        before, due = due, due + wait(due, polls)
    return _Poll(before, due, polls) if due > age else _Poll(age, age + wait(age, polls), polls)


def _reason(why: Why, due: float, poll: PollSettings, hazard: Hazard | None, durations: Durations) -> str:
    match why:
        case Why.FIRST:
            return f"no execution of this crew has ended yet: poll.initial is {format_duration(poll.initial)}"
        case Why.AGE:
            return "no execution of this crew has ended yet: waits grow with the age of the execution"
        case Why.SHORTEST:
            least = (poll.min or 0.0) if hazard is None else shortest_wait(hazard, poll)
            return f"no wait is shorter than {format_duration(least)}"
        case Why.LONGEST:
            return f"no wait is longer than poll.max ({format_duration(poll.max)})"
        case Why.BEYOND:
            return "hardly any execution of this crew takes as long: waits grow with the age of the execution"
        case Why.HAZARD:
            share, known = durations.share_within(due), durations.count
            return f"{share:.0%} of this crew's executions end within {format_duration(due)} (learned from {known})"

"""The line of the live display about slots: how many are in use, and why no more jobs start."""

from collections.abc import Iterator

from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_name, clean_text
from batchcrew.model.capacity import Hold, Why
from batchcrew.progress.tally import Tally

STILL_SECONDS = 3.0
"""From this time without an end on, the display says when the next poll is due,"""
QUIET_SECONDS = 30.0
"""and from this time on, how long it is."""
_NAME_COLUMNS = 16
_DETAIL_COLUMNS = 60
_WORDS = {
    Why.SLOTS: "all in use",
    Why.RATE: "limited by the rate",
    Why.THROTTLED: "throttled",
    Why.CUT: "fewer slots, because the crew refused kickoffs",
    Why.BREAKER: "breaker open",
    Why.AUTO: "auto learns how many the crew can run",
    Why.CANARY: "the canary must succeed first",
    Why.PROBE: "after failures in a row, few start at a time",
    Why.BUDGET: "budget spent",
    Why.PREPARING: "checking the crew",
    Why.PAUSED: "paused",
    Why.RETRIES: "only retries are left",
    Why.NOTHING_LEFT: "nothing left to start",
}
_THEN = {
    Why.RATE: "next kickoff",
    Why.THROTTLED: "next kickoff",
    Why.BREAKER: "next probe",
    Why.RETRIES: "next one",
}


def slots_text(tally: Tally, now: float) -> str:
    """Return `slots 20 of 20: all in use; next poll in 3.0s`; empty while the capacity is not known.

    Args:
        now: monotonic seconds.
    """
    capacity, used = tally.capacity, len(tally.in_flight)
    if capacity is None:
        return ""
    text = f"slots {used} of {capacity.slots}"
    reasons = [] if tally.stopping is not None else list(_reasons(tally, capacity.holds, now))
    facts = [*reasons, *_waits(tally, now)]
    return f"{text}: {'; '.join(facts)}" if facts else text


def _reasons(tally: Tally, holds: tuple[Hold, ...], now: float) -> Iterator[str]:
    """Yield each reason once, with the names of its crews where not all crews share it."""
    if not tally.pending:  # the run knows the reason only once a slot is free
        yield _WORDS[Why.NOTHING_LEFT]
        return
    by_words: dict[str, list[str]] = {}
    for hold in holds:
        by_words.setdefault(_hold_words(hold, now), []).append(clean_name(hold.crew, _NAME_COLUMNS))
    crews = 1 if tally.run is None else len(tally.run.crews)
    for words, names in by_words.items():
        yield words if len(names) == crews or crews == 1 else f"{', '.join(names)}: {words}"


def _hold_words(hold: Hold, now: float) -> str:
    words, detail = _WORDS[hold.why], clean_text(hold.detail, limit=_DETAIL_COLUMNS)
    if detail:
        words += f" {detail}" if hold.why in {Why.PAUSED, Why.RATE} else f" ({detail})"
    wait = 0.0 if hold.until is None else hold.until - now
    return f"{words}, {_THEN.get(hold.why, 'again')} in {format_duration(wait)}" if wait >= 1 else words


def _waits(tally: Tally, now: float) -> Iterator[str]:
    """Yield the events that the run waits for (human input, the next poll), and for how long nothing has ended."""
    if tally.waiting and not tally.in_flight:
        yield "waiting for people to answer"
    quiet = now - tally.moved_at
    polls = [watched.poll_at for watched in tuple(tally.in_flight.values()) if watched.poll_at is not None]
    if polls and quiet >= STILL_SECONDS:
        soonest = min(polls) - now
        yield f"next poll in {format_duration(soonest)}" if soonest >= 1 else "polling"
    if tally.in_flight and quiet >= QUIET_SECONDS:
        yield f"nothing has ended for {format_duration(quiet)}"

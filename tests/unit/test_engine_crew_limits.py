"""The limits of one crew: slots, throttling, reachability, and the state that a later run restores."""

import asyncio
from typing import Any

import pytest
from manual_clock import ManualClock, Middle

from batchcrew.config.settings import BreakerSettings
from batchcrew.engine import RunEnvironment, Stop
from batchcrew.engine.crew_lane import CrewLane
from batchcrew.engine.limits.crew_limits import CrewLimits, CrewLimitSettings
from batchcrew.engine.limits.slots import Permit, Slots

MIDDLE = Middle()


def limits(clock: ManualClock, slots: int = 10) -> CrewLimits:
    return CrewLimits(CrewLimitSettings(slots=slots, breaker=BreakerSettings()), clock=clock, rng=MIDDLE)


def accepted(made: CrewLimits) -> Permit:
    """One kickoff is accepted."""
    (permit,) = made.acquire(1)
    made.accepted(permit)
    return permit


def test_kickoffs_may_leave_for_each_free_slot() -> None:
    made = limits(ManualClock(jumps=True), slots=3)
    assert made.available() == 3
    permits = made.acquire(2)
    assert made.available() == 1
    made.accepted(permits[0])
    permits[0].release()
    assert (made.available(), made.slots.accepted) == (2, 0)


def test_a_permit_is_released_exactly_once() -> None:
    slots = Slots(2)
    (permit,) = slots.acquire(1)
    permit.release()
    with pytest.raises(RuntimeError):
        permit.release()
    assert (slots.in_use, slots.available()) == (0, 2)


def test_no_job_of_a_crew_starts_before_it_is_prepared() -> None:
    clock = ManualClock(jumps=True)
    environment = RunEnvironment(stop=Stop(), clock=clock, rng=MIDDLE, observe=lambda event: None)
    client: Any = None
    lane = CrewLane("c", client, limits(clock), environment=environment, changed=asyncio.Event())
    lane.begin_preparation()
    lane.begin_preparation()
    lane.end_preparation()
    assert (lane.available(), lane.opens_in()) == (0, None)
    lane.end_preparation()
    assert (lane.available(), lane.opens_in()) == (10, 0)


def test_a_429_cuts_the_slots_and_pauses_for_the_requested_time() -> None:
    clock = ManualClock(jumps=True)
    made = limits(clock)
    permits = made.acquire(10)
    for permit in permits[:4]:
        made.accepted(permit)
    for permit in permits[4:]:  # one burst is one cut
        made.refused(20.0, sent_at=clock.seconds - 1, too_many=True)
        permit.release()
    assert made.slots.limit == 5
    assert made.available() == 0
    assert 20.0 <= made.throttle.pause_seconds() <= 22.0
    permits[0].release()
    assert made.available() == 0
    clock.seconds += 23
    assert made.available() == 2


def fill(made: CrewLimits, kickoffs: int) -> None:
    """Kickoffs are accepted, each ends before the next."""
    for _ in range(kickoffs):
        accepted(made).release()


def test_the_limit_grows_back_one_slot_after_some_rounds() -> None:
    clock = ManualClock(jumps=True)
    made = limits(clock, slots=4)
    made.refused(None, sent_at=clock.seconds, too_many=True)
    assert made.slots.limit == 2
    fill(made, 3)
    assert made.slots.limit == 2
    fill(made, 1)
    assert made.slots.limit == 3
    clock.seconds += 100
    made.refused(None, sent_at=clock.seconds, too_many=True)
    assert made.slots.limit == 1
    fill(made, 3)
    assert made.slots.limit == 1  # it has answered 429 again: more rounds before it gets one slot more
    fill(made, 1)
    assert made.slots.limit == 2
    fill(made, 100)
    assert made.slots.limit == 4


def test_a_503_pauses_and_leaves_the_limit_alone() -> None:
    clock = ManualClock(jumps=True)
    made = limits(clock)
    made.refused(5.0, sent_at=clock.seconds, too_many=False)
    assert made.slots.limit == 10
    assert made.throttle.pause_seconds() >= 5.0


def test_pauses_grow_until_a_kickoff_is_accepted() -> None:
    clock = ManualClock(jumps=True)
    made = limits(clock)
    pauses = []
    for _ in range(8):
        (permit,) = made.acquire(1)
        made.not_sent(sent_at=clock.seconds)
        permit.release()
        pauses.append(round(made.throttle.pause_seconds()))
        clock.seconds += made.throttle.pause_seconds() + 0.01
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    accepted(made)
    made.not_sent(sent_at=clock.seconds)
    assert round(made.throttle.pause_seconds()) == 1


def test_silence_is_measured_from_its_first_failure_and_ended_by_any_answer() -> None:
    clock = ManualClock(jumps=True)
    made = limits(clock)
    made.not_sent(sent_at=clock.seconds)
    clock.seconds += 30
    made.not_sent(sent_at=clock.seconds)
    assert made.reachability.silent_seconds() == 30
    made.refused(None, sent_at=clock.seconds, too_many=False)
    assert made.reachability.silent_seconds() is None


def test_a_crew_that_answered_once_is_given_up_later() -> None:
    clock = ManualClock(jumps=True)
    made = limits(clock)
    made.not_sent(sent_at=clock.seconds)
    clock.seconds += 60
    assert made.reachability.is_over()
    made.reached()
    made.not_sent(sent_at=clock.seconds)
    clock.seconds += 599
    assert not made.reachability.is_over()
    clock.seconds += 1
    assert made.reachability.is_over()


def test_a_pause_is_warned_of_once_a_minute() -> None:
    clock = ManualClock(jumps=True)
    throttle = limits(clock).throttle
    assert [throttle.should_warn(), throttle.should_warn()] == [True, False]
    clock.seconds += 61
    assert throttle.should_warn()


def test_a_machine_without_descriptors_holds_fewer_and_blames_no_server() -> None:
    clock = ManualClock(jumps=True)
    made = limits(clock, slots=20)
    permits = made.acquire(20)
    for permit in permits[:6]:
        made.accepted(permit)
    pauses = []
    for _ in range(4):
        made.throttle.no_descriptor(sent_at=clock.seconds)
        pauses.append(made.throttle.pause_seconds())
        clock.seconds += 5
    assert made.slots.limit == 6
    assert pauses == [1.0] * 4  # they do not grow
    assert made.reachability.silent_seconds() is None
    assert not any(breaker.is_open for breaker in made.breakers)


def test_the_saved_state_of_an_earlier_version_is_restored() -> None:
    """Literal: ledgers contain this, and a tick must understand it."""
    breaker = {
        "in_a_row": 2,
        "latest": [True, False, False],
        "why": "",
        "open_for": None,
        "probe_in": 0.0,
        "pause": 0.0,
    }
    state = {
        "pause": 4.0,
        "paused_for": 30.0,
        "asked_for": 20.0,
        "pace": None,
        "limit": 3,
        "round": 1,
        "rounds": 4,
        "silent_for": 12.0,
        "was_reached": True,
        "breakers": [breaker, breaker, breaker],
    }
    clock = ManualClock(jumps=True)
    made = limits(clock)
    made.restore(state, 10)
    assert (made.slots.limit, made.throttle.pause_seconds(), made.reachability.silent_seconds()) == (3, 20.0, 22.0)
    saved = made.saved()
    assert set(saved) == {*state, "silence", "retries"}
    assert {key: saved[key] for key in ("asked_for", "limit", "round", "rounds", "was_reached", "breakers")} == {
        **{key: state[key] for key in ("limit", "round", "rounds", "was_reached", "breakers")},
        "asked_for": 10.0,
    }

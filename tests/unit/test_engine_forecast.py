"""The next poll that a reader of the ledger is shown is the one that the run sends."""

import random

import pytest
from manual_clock import ManualClock, Middle

from batchcrew.config.settings import PollSettings, PollStrategy
from batchcrew.engine.observe.durations import Durations
from batchcrew.engine.observe.forecast import forecast
from batchcrew.engine.observe.learned import CrewDurations, LearnedSchedule
from batchcrew.engine.observe.schedule import PollSchedule, Schedule, polled_by

TIMEOUT = 1e6


def known(executions: int) -> Durations:
    made, rng = Durations(), random.Random(1)
    for _ in range(executions):
        made.add(rng.lognormvariate(3.4, 0.5))
    return made


def polls(schedule: Schedule, clock: ManualClock, number: int = 40) -> list[float]:
    """The ages at which the run polls an execution that does not end."""
    ages, began = [], clock.monotonic()
    for _ in range(number):
        clock.advance(schedule.next())
        ages.append(clock.monotonic() - began)
    return ages


@pytest.mark.parametrize("executions", [0, 1, 5, 500])
@pytest.mark.parametrize("poll", [PollSettings(), PollSettings(min=3, max=10), PollSettings(initial=0.5, max=600)])
def test_a_learned_poll(executions: int, poll: PollSettings) -> None:
    clock, durations = ManualClock(), known(executions)
    schedule = LearnedSchedule(
        CrewDurations(clock, poll, durations), poll, clock=clock, rng=Middle(), since=clock.monotonic(), running_at=None
    )
    settings = polled_by(poll, TIMEOUT)
    before = 0.0
    for age in polls(schedule, clock):
        due = forecast((before + age) / 2, settings, durations)
        assert due.age == pytest.approx(age, rel=1e-6)
        assert due.executions == executions
        before = age


@pytest.mark.parametrize("strategy", ["fixed", "backoff"])
def test_a_poll_that_is_not_learned(strategy: PollStrategy) -> None:
    poll = PollSettings(strategy=strategy)
    clock, before = ManualClock(), 0.0
    for age in polls(PollSchedule(poll, Middle()), clock):
        due = forecast((before + age) / 2, polled_by(poll, TIMEOUT), known(10))
        assert due.age == pytest.approx(age)
        assert due.executions == 0
        before = age
    reason = forecast(0.0, polled_by(poll, TIMEOUT), None).reason
    assert ("backoff" if strategy == "backoff" else "equal") in reason


def test_the_reason_names_how_many_end_until_then() -> None:
    durations = known(400)
    due = forecast(25.0, polled_by(PollSettings(), TIMEOUT), durations)
    share = durations.share_within(due.age)
    assert 0.35 < share < 0.65
    assert due.reason.startswith(f"{share:.0%} of this crew's executions end within")
    assert due.reason.endswith("(learned from 400)")


@pytest.mark.parametrize(
    ("age", "poll", "executions", "words"),
    [
        (0.0, PollSettings(), 0, "poll.initial is 2.0s"),
        (20.0, PollSettings(), 0, "grow with the age"),
        (4000.0, PollSettings(max=2000), 400, "hardly any"),
        (100.0, PollSettings(max=1), 400, "equal"),
        (150.0, PollSettings(max=3), 400, "longer than poll.max (3.0s)"),
        (30.0, PollSettings(min=20), 400, "shorter than 20s"),
    ],
)
def test_the_reason(age: float, poll: PollSettings, executions: int, words: str) -> None:
    settings = {**polled_by(poll, TIMEOUT), "max": poll.max}
    assert words in forecast(age, settings, known(executions)).reason


def test_an_execution_is_polled_when_its_time_is_over() -> None:
    settings = polled_by(PollSettings(strategy="fixed", initial=10), 25.0)
    assert (forecast(21.0, settings, None).age, forecast(19.0, settings, None).age) == (25.0, 20.0)
    assert forecast(26.0, settings, None).age == 30.0
    assert "run.timeout" in forecast(21.0, settings, None).reason


def test_the_settings_of_a_run_that_recorded_none_are_the_defaults() -> None:
    assert forecast(0.0, {}, None).age == PollSettings().initial


def test_settings_of_another_version_are_ignored() -> None:
    assert forecast(0.0, {"strategy": "fixed", "initial": 7.0, "later": 1}, None).age == 7.0


def test_many_polls_of_a_long_execution_take_no_time() -> None:
    poll = PollSettings(strategy="fixed", initial=0.001)
    assert forecast(86_400.0, polled_by(poll, TIMEOUT), None).age == pytest.approx(86_400.001)

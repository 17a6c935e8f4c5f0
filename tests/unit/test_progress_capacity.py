"""The line of the live display about slots, and the estimate of when the last job ends."""

from datetime import UTC, datetime

import pytest
from attempts import attempt
from manual_clock import ManualClock

from batchcrew.base.quantities import format_range
from batchcrew.model.capacity import Capacity, Hold, Why
from batchcrew.model.events import CapacityChanged, Event, KickedOff, PollDue, RunStarted, Stopping, WaitStarted
from batchcrew.model.execution import Question
from batchcrew.model.run import Counts
from batchcrew.progress.capacity import slots_text
from batchcrew.progress.pace import Durations, Pace, seconds_left
from batchcrew.progress.tally import Tally

NOW = 1000.0


def text_of(*events: Event, crews: tuple[str, ...] = ("default (url)",), seconds: float = 0.0) -> str:
    clock = ManualClock(datetime(2026, 2, 3, tzinfo=UTC))
    clock.seconds = NOW
    tally = Tally(clock)
    run = RunStarted(
        batch="travel",
        run_id="run",
        jobfile="j.yaml",
        ledger="l.db",
        crews=crews,
        concurrency=20,
        counts=Counts(pending=99),
    )
    for event in (run, *events):
        tally.observe(event)
    return slots_text(tally, NOW + seconds)


def held(*holds: Hold, slots: int = 20) -> CapacityChanged:
    return CapacityChanged(Capacity(slots, holds))


@pytest.mark.parametrize(
    ("hold", "expected"),
    [
        (Hold(Why.SLOTS, "default"), "slots 0 of 20: all in use"),
        (Hold(Why.RATE, "default", NOW + 12, "2/m"), "slots 0 of 20: limited by the rate 2/m, next kickoff in 12s"),
        (Hold(Why.RATE, "default", NOW + 0.2, "2/s"), "slots 0 of 20: limited by the rate 2/s"),
        (Hold(Why.THROTTLED, "default", NOW + 70, "429"), "slots 0 of 20: throttled (429), next kickoff in 1m 10s"),
        (
            Hold(Why.BREAKER, "default", NOW + 30, "5 failed"),
            "slots 0 of 20: breaker open (5 failed), next probe in 30s",
        ),
        (Hold(Why.PAUSED, "default", detail="by a@b (x)"), "slots 0 of 20: paused by a@b (x)"),
        (Hold(Why.BUDGET, "default", detail="\x1b[2J[b]"), r"slots 0 of 20: budget spent (\x1b[2J[b])"),
        (Hold(Why.RETRIES, "default", NOW + 5), "slots 0 of 20: only retries are left, next one in 5.0s"),
    ],
)
def test_the_line_says_what_keeps_jobs_from_starting(hold: Hold, expected: str) -> None:
    assert text_of(held(hold)) == expected


@pytest.mark.parametrize("why", Why)
def test_every_reason_has_words(why: Why) -> None:
    assert ": " in text_of(held(Hold(why, "default")))


def test_crews_are_named_where_their_reasons_differ() -> None:
    crews = ("research (u)", "writer (v)")
    both = (Hold(Why.SLOTS, "research"), Hold(Why.SLOTS, "writer"))
    assert text_of(held(*both), crews=crews) == "slots 0 of 20: all in use"
    one = (Hold(Why.SLOTS, "research"), Hold(Why.THROTTLED, "writer", NOW + 9, "503"))
    expected = "slots 0 of 20: research: all in use; writer: throttled (503), next kickoff in 9.0s"
    assert text_of(held(*one), crews=crews) == expected


def test_when_nothing_moves_the_line_says_what_the_run_waits_for() -> None:
    events: list[Event] = [KickedOff(attempt("a")), KickedOff(attempt("b")), held(Hold(Why.SLOTS, "default"), slots=2)]
    events += [PollDue("attempt-a", NOW + 50), PollDue("attempt-b", NOW + 60), PollDue("attempt-gone", NOW + 1)]
    assert text_of(*events) == "slots 2 of 2: all in use"
    assert text_of(*events, seconds=10) == "slots 2 of 2: all in use; next poll in 40s"
    text = "slots 2 of 2: all in use; next poll in 10s; nothing has ended for 40s"
    assert text_of(*events, seconds=40) == text


def test_a_run_that_only_waits_for_people_says_so() -> None:
    one = attempt("a")
    events: list[Event] = [KickedOff(one), WaitStarted(one, Question()), held(Hold(Why.NOTHING_LEFT, "default"))]
    assert text_of(*events) == "slots 0 of 20: nothing left to start; waiting for people to answer"


def test_a_run_that_stops_gives_no_further_reason() -> None:
    assert text_of(held(Hold(Why.SLOTS, "default")), Stopping("SIGTERM", 0)) == "slots 0 of 20"


def test_a_capacity_is_reported_again_only_if_a_reader_would_see_a_difference() -> None:
    wait = Capacity(5, (Hold(Why.RATE, "a", 10.0),))
    assert wait.resembles(Capacity(5, (Hold(Why.RATE, "a", 10.4),)))
    assert not wait.resembles(Capacity(5, (Hold(Why.RATE, "a", 12.0),)))
    assert not wait.resembles(Capacity(5, (Hold(Why.RATE, "a"),)))
    assert not wait.resembles(Capacity(4, (Hold(Why.RATE, "a", 10.0),)))
    assert not wait.resembles(Capacity(5))
    assert not wait.resembles(None)


# the end -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 0.2, "less than 1 s"),
        (2.0, 4.4, "2–4 s"),
        (38.0, 57.0, "40–55 s"),
        (0.4, 300.0, "up to 5 min"),
        (720.0, 1080.0, "12–18 min"),
        (730.0, 735.0, "about 12 min"),
        (5000.0, 8000.0, "1.4–2.2 h"),
        (170_000.0, 400_000.0, "2.0–4.6 d"),
    ],
)
def test_a_range_has_one_unit_and_no_false_digits(low: float, high: float, expected: str) -> None:
    assert format_range(low, high) == expected


def test_a_range_can_be_ascii() -> None:
    assert format_range(720.0, 1080.0, dash="-") == "12-18 min"


def test_the_range_becomes_narrower_as_jobs_end() -> None:
    pace, durations, widths = Pace(0.0), Durations(), []
    for number in range(1, 401):  # ten slots with executions of 10 s
        pace.count_one(float(number))
        durations.add(10.0)
        if number in {10, 50, 300}:
            found = seconds_left(pace, durations, [5.0] * 10, left=1000 - number, slots=10, now=float(number))
            assert found is not None
            assert found[0] < 1000 - number < found[1]
            widths.append((found[1] - found[0]) / (1000 - number))
    assert widths == sorted(widths, reverse=True)


def test_there_is_no_range_without_a_rate() -> None:
    assert seconds_left(Pace(0.0), Durations(), [], left=5, slots=1, now=60.0) is None

"""When kickoffs to a failing crew are paused, when it is probed and given up, and the state that a tick saves."""

from decimal import Decimal

import pytest
from manual_clock import ManualClock, Middle

from batchcrew.config.settings import BreakerSettings
from batchcrew.config.values import Rate
from batchcrew.engine.limits.breaker import Breaker
from batchcrew.engine.limits.crew_limits import CrewLimits, CrewLimitSettings
from batchcrew.engine.limits.rate_limiter import RateLimiter


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(jumps=True)


def breaker(clock: ManualClock, **settings: object) -> Breaker:
    return Breaker("kickoffs", BreakerSettings.model_validate(settings), clock=clock, rng=Middle())


def test_it_opens_after_n_failures_in_a_row_and_not_before(clock: ManualClock) -> None:
    made = breaker(clock, failures=3)
    assert [made.failed("500"), made.failed("500"), made.succeeded(), made.failed("500"), made.failed("x")] == [
        False
    ] * 5
    assert made.available() == float("inf")
    assert made.failed("502 Bad Gateway")
    assert (made.available(), made.opens_in()) == (0, 5.0)
    assert str(made) == "3 kickoffs in a row failed (502 Bad Gateway)"


def test_it_opens_by_its_rate_once_the_sample_is_complete(clock: ManualClock) -> None:
    made = breaker(clock, failures=100, rate="50%", sample=6)
    for wrong in (True, False, True, False, True):
        assert not (made.failed("x") if wrong else made.succeeded())
    assert made.failed("x")
    assert str(made) == "4 of the last 6 kickoffs failed (x)"


def test_a_smaller_share_leaves_it_closed(clock: ManualClock) -> None:
    made = breaker(clock, failures=100, rate=Decimal("0.5"), sample=6)
    for number in range(40):
        assert not (made.failed("x") if number % 3 == 0 else made.succeeded())


def test_one_probe_at_a_time_with_growing_waits_and_a_success_closes_it(clock: ManualClock) -> None:
    made = breaker(clock, failures=1, pause=5)
    assert made.failed("x")
    waits = []
    for _ in range(6):
        waits.append(made.opens_in())
        clock.seconds += made.opens_in() or 0
        assert made.available() == 1
        made.acquire()
        assert (made.available(), made.opens_in()) == (0, None)
        assert not made.failed("x")
    assert waits == [5, 10, 20, 40, 60, 60]
    clock.seconds += 60
    made.acquire()
    assert made.succeeded()
    assert made.available() == float("inf")
    assert made.failed("x")
    assert made.opens_in() == 5


def test_failures_of_earlier_kickoffs_do_not_lengthen_the_pause(clock: ManualClock) -> None:
    made = breaker(clock, failures=2)
    assert [made.failed("x"), made.failed("x"), made.failed("x"), made.failed("x")] == [False, True, False, False]
    assert made.opens_in() == 5


def test_an_undecided_probe_is_followed_by_another(clock: ManualClock) -> None:
    made = breaker(clock, failures=1)
    made.failed("x")
    clock.seconds += 5
    made.acquire()
    made.undecided()
    assert (made.available(), made.opens_in()) == (0, 10)


def test_it_gives_up_after_its_time_and_not_while_a_probe_is_on_its_way(clock: ManualClock) -> None:
    made = breaker(clock, failures=1, give_up=60)
    assert made.gives_up_in() is None
    made.failed("x")
    assert made.gives_up_in() == 60
    clock.seconds += 59
    made.acquire()
    clock.seconds += 2
    assert made.gives_up_in() is None
    made.failed("x")
    assert made.gives_up_in() == 0
    made.start_over()
    assert made.gives_up_in() == 60
    assert made.is_open


def test_the_next_tick_continues_with_the_saved_state(clock: ManualClock) -> None:
    first, second = breaker(clock, failures=3), breaker(clock, failures=3)
    for each in ("a", "b"):
        first.failed(each)
    second.restore(first.saved(), 60)
    assert second.failed("c")
    third = breaker(clock, failures=3, give_up=100)
    clock.seconds += 1
    third.restore(second.saved(), 2)
    assert (third.opens_in(), third.gives_up_in()) == (2, 97)
    assert (str(third)[0], str(third)[-3:]) == ("3", "(c)")


def limits(clock: ManualClock, **settings: object) -> CrewLimits:
    breaker = BreakerSettings.model_validate(settings)
    return CrewLimits(CrewLimitSettings(slots=10, breaker=breaker), clock=clock, rng=Middle())


def test_one_kickoff_may_leave_as_a_probe(clock: ManualClock) -> None:
    made = limits(clock, failures=1)
    made.kickoffs.failed("x")
    assert (made.available(), made.opens_in(), made.gives_up_in()) == (0, 5, 600)
    clock.seconds += 5
    assert made.available() == 1
    made.acquire(1)
    assert (made.available(), made.opens_in()) == (0, None)
    made.kickoffs.succeeded()
    assert made.available() == 9


def test_while_polls_fail_those_of_executions_in_progress_are_the_probes(clock: ManualClock) -> None:
    made = limits(clock, failures=1)
    (permit,) = made.acquire(1)
    made.polls.failed("x")
    clock.seconds += 100
    assert (made.available(), made.opens_in()) == (0, None)
    permit.release()
    assert made.available() == 1


def test_a_crew_is_failing_when_one_of_its_breakers_was_open_for_too_long(clock: ManualClock) -> None:
    made = limits(clock, failures=1, give_up=10)
    made.polls.failed("x")
    assert made.failing() is None
    clock.seconds += 10
    assert made.failing() is made.polls


def test_the_pause_that_the_server_requested_lasts_into_the_next_run(clock: ManualClock) -> None:
    first = limits(clock)
    first.acquire(4)
    first.refused(120, sent_at=clock.seconds, too_many=True)
    ran, ticked = limits(clock), limits(clock)
    ran.restore_requested(first.saved(), 20)
    ticked.restore(first.saved(), 20)
    assert ran.opens_in() == 100
    assert ticked.opens_in() == pytest.approx(106)
    assert (ran.slots.limit, ticked.slots.limit) == (10, first.slots.limit)
    assert first.slots.limit < 10


def test_repeated_retry_after_zero_leads_to_ever_longer_pauses(clock: ManualClock) -> None:
    made = limits(clock)
    waits = []
    for _ in range(7):
        made.refused(0.0, sent_at=clock.seconds, too_many=True)
        waits.append(made.opens_in())
        clock.seconds += made.opens_in() or 0
    assert waits == [1, 2, 4, 8, 10, 10, 10]


def test_a_run_does_not_wait_for_the_backoff_of_an_earlier_one(clock: ManualClock) -> None:
    first, ran, ticked = limits(clock), limits(clock), limits(clock)
    first.not_sent(sent_at=clock.seconds)
    ran.restore_requested(first.saved(), 0)
    ticked.restore(first.saved(), 0)
    assert (ran.opens_in(), ticked.opens_in()) == (0, 1)


def test_a_tick_may_send_what_the_rate_allows_since_the_last_and_no_window_sees_more(clock: ManualClock) -> None:
    rate = Rate(count=6, period_seconds=60)
    sent: list[float] = []
    kept: tuple[float | None, float] = (None, 0)
    for _ in range(100):  # a tick every 7 s
        pace = RateLimiter(rate, clock, burst=True)
        pace.restore(*kept)
        allowed = int(pace.available())
        pace.spend(allowed)
        sent += [clock.seconds] * allowed
        kept = (pace.next_in(), 7)
        clock.seconds += 7
    assert all(sum(start <= moment < start + 60 for moment in sent) <= 7 for start in sent)
    assert len(sent) >= 65

"""Polls that learn: the histogram of durations, the hazard, and the schedule that is made from them."""

import asyncio
import json
import math
import random
from itertools import pairwise

import pytest
from manual_clock import ManualClock, Middle

from batchcrew.config.settings import PollSettings
from batchcrew.config.values import Rate
from batchcrew.engine.limits.poll_budget import PollBudget
from batchcrew.engine.observe.durations import BUCKET, MEMORY, RECENT, Durations, bucket_of, start_of
from batchcrew.engine.observe.hazard import Hazard
from batchcrew.engine.observe.learned import (
    MOST_LOSS,
    MOST_LOSS_SHORT,
    SHORT_SECONDS,
    CrewDurations,
    LearnedSchedule,
    Why,
    hazard_of,
    wait_at,
)
from batchcrew.engine.observe.schedule import PollSchedule, wait_after
from batchcrew.model.crew_answers import Unclear
from batchcrew.model.execution import Execution, ExecutionState

RUNNING = Execution(state=ExecutionState.RUNNING, word="running")
SUCCEEDED = Execution(state=ExecutionState.SUCCEEDED, word="completed", output="text")


def around(mean: float, executions: int, seed: int = 1) -> Durations:
    """Executions whose durations deviate by a fifth."""
    made, rng = Durations(), random.Random(seed)
    for _ in range(executions):
        made.add(max(0.1, rng.gauss(mean, 0.2 * mean)))
    return made


def planned(hazard: Hazard, until: float) -> list[float]:
    """The ages at which an execution is polled that runs for `until` seconds."""
    ages = [0.0]
    while ages[-1] < until:
        due = hazard.next_poll(ages[-1])
        assert due is not None
        assert due > ages[-1]
        ages.append(due)
    return ages[1:]


# Durations


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.01, 0.3, 7.0, 3600.0, 1e9])
def test_a_duration_is_in_its_bucket(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert start_of(bucket) <= seconds * 1.000001
    assert seconds < start_of(bucket + 1) * 1.000001 or seconds > 1e6


def test_quantiles_are_as_precise_as_a_bucket() -> None:
    made = around(30.0, 2000)
    for share, expected in ((0.05, 30 - 1.645 * 6), (0.5, 30.0), (0.95, 30 + 1.645 * 6)):
        assert made.quantile(share) == pytest.approx(expected, rel=BUCKET - 1)


def test_nothing_is_known_at_first() -> None:
    assert Durations().quantile(0.5) is None
    assert Durations().weight == 0


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_an_impossible_duration_is_ignored(seconds: float) -> None:
    made = Durations()
    made.add(seconds)
    assert made.count == 0


def test_an_execution_that_ended_between_two_polls_is_divided_as_the_others_are() -> None:
    made = around(30.0, 200)
    before = made.quantile(0.5)
    for _ in range(200):
        made.add(60.0, earliest=10.0)
    assert made.quantile(0.5) == pytest.approx(before, rel=0.15)


def test_later_executions_count_more() -> None:
    made = Durations()
    for seconds in [10.0, 11.0] * MEMORY:  # too alike for a shift
        made.add(seconds)
    assert made.weight == pytest.approx(MEMORY * 0.75 / 0.693, rel=0.02)


@pytest.mark.parametrize("factor", [3.0, 1 / 3])
def test_a_shift_is_recognized_within_the_recent_executions(factor: float) -> None:
    made, rng = around(30.0, 500), random.Random(2)
    for _ in range(RECENT + 5):
        made.add(rng.gauss(30.0 * factor, 6.0 * factor))
    assert made.quantile(0.5) == pytest.approx(30.0 * factor, rel=0.2)
    assert made.count <= 2 * RECENT


def test_the_same_durations_are_not_a_shift() -> None:
    resets = sum(around(30.0, 500, seed).count < 500 for seed in range(20))
    assert resets <= 2


def test_what_was_learned_is_saved_as_small_json() -> None:
    made = around(30.0, 5000)
    text = json.dumps(made.saved())
    again = Durations.restored(json.loads(text))
    assert len(text) < 3000
    assert again.count == made.count
    for share in (0.1, 0.5, 0.9):
        assert again.quantile(share) == pytest.approx(made.quantile(share), rel=0.01)
    for each in (made, again):
        each.add(40.0)
    assert again.weight == pytest.approx(made.weight, rel=0.01)


# Hazard


def test_there_is_no_poll_before_an_execution_can_have_ended() -> None:
    ages = planned(Hazard(around(30.0, 500)), 45.0)
    assert ages[0] > 15.0


def test_polls_are_closest_where_the_hazard_is_highest() -> None:
    ages = planned(Hazard(around(30.0, 500)), 40.0)
    gaps = [later - earlier for earlier, later in pairwise(ages)]
    assert min(gaps) == min(gaps[1:])
    assert gaps[0] > 1.5 * min(gaps)


def test_one_execution_is_enough_for_a_guess() -> None:
    made = Durations()
    made.add(30.0)
    ages = planned(Hazard(made), 300.0)
    assert 5.0 < ages[0] < 25.0


def test_polls_continue_beyond_the_longest_execution_that_is_known() -> None:
    ages = planned(Hazard(around(30.0, 500)), 65.0)
    assert len([age for age in ages if age > 50.0]) >= 2


def test_an_execution_of_an_age_that_was_never_seen() -> None:
    assert Hazard(around(1.0, 500)).next_poll(1e7) is None


# The price of a poll


def drawn(mean: float, deviation: float, seed: int) -> Durations:
    """Lognormal durations with this standard deviation of the logarithm."""
    made, rng = Durations(), random.Random(seed)
    for _ in range(500):
        made.add(rng.lognormvariate(math.log(mean) - deviation**2 / 2, deviation))
    return made


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("deviation", [0.2, 0.55, 1.0])
@pytest.mark.parametrize("mean", [4.0, 30.0, 600.0])
def test_polls_are_no_more_than_those_of_backoff_unless_much_time_would_be_lost(
    mean: float, deviation: float, seed: int
) -> None:
    poll = PollSettings()
    hazard = hazard_of(drawn(mean, deviation, seed), poll)
    learned = hazard.expected(lambda age, polls: wait_at(age, hazard, poll)[0])
    backoff = hazard.expected(lambda age, polls: wait_after(polls, PollSettings(strategy="backoff")))
    most_loss = MOST_LOSS_SHORT if hazard.median < SHORT_SECONDS else MOST_LOSS
    assert learned.polls <= backoff.polls or learned.loss == pytest.approx(most_loss, abs=0.005)
    assert learned.loss < min(most_loss + 0.005, backoff.loss + 0.001)


def test_what_is_expected_is_what_happens() -> None:
    rng = random.Random(2)
    seconds = [rng.lognormvariate(3.0, 0.5) for _ in range(3000)]
    durations = Durations()
    for each in seconds:
        durations.add(each)
    expected = Hazard(durations).expected(lambda age, polls: 5.0)
    polls = [math.ceil(each / 5.0) for each in seconds]
    delay = sum(5.0 * number for number in polls) - sum(seconds)
    assert expected.polls == pytest.approx(sum(polls) / len(polls), rel=0.03)
    assert expected.loss == pytest.approx(delay / (delay + sum(seconds)), rel=0.03)


def test_an_execution_that_takes_longer_than_all_others_is_polled_as_its_age_grows() -> None:
    hazard = Hazard(around(1.0, 500))
    assert wait_at(20.0, hazard, PollSettings()) == (5.0, Why.BEYOND)
    assert wait_at(1e6, hazard, PollSettings()) == (30.0, Why.LONGEST)


# The schedule


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def schedule(
    clock: ManualClock, crew: CrewDurations, poll: PollSettings | None = None, *, known: bool = True
) -> LearnedSchedule:
    since = clock.monotonic()
    return LearnedSchedule(
        crew, poll or PollSettings(), clock=clock, rng=Middle(), since=since, running_at=since if known else None
    )


def test_while_nothing_is_known_waits_grow_with_the_age(clock: ManualClock) -> None:
    made, waits = schedule(clock, CrewDurations(clock, PollSettings())), []
    for _ in range(14):
        waits.append(made.next())
        clock.advance(waits[-1])
    assert waits[:4] == [2.0, 1.0, 1.0, 1.0]
    assert waits[-1] == pytest.approx(waits[-2] * 1.25)


def test_the_first_poll_is_when_the_first_executions_end(clock: ManualClock) -> None:
    made = schedule(clock, CrewDurations(clock, PollSettings(), around(30.0, 500)))
    assert 15.0 < made.first() < 27.0
    assert made.next() == made.first()


def test_waits_are_between_min_and_max(clock: ManualClock) -> None:
    poll = PollSettings(min=20.0, max=30.0)
    made = schedule(clock, CrewDurations(clock, poll, around(300.0, 500)), poll)
    for _ in range(20):
        wait = made.next()
        assert 20.0 <= wait <= 30.0
        clock.advance(wait)


def test_short_executions_are_polled_more_often_than_initial_unless_min_is_set(clock: ManualClock) -> None:
    polls = (PollSettings(), PollSettings(min=2.0))
    both = [schedule(clock, CrewDurations(clock, poll, around(4.0, 500)), poll) for poll in polls]
    clock.advance(4.0)
    often, seldom = (each.next() for each in both)
    assert often < 1.0
    assert seldom == 2.0


def test_the_server_may_request_a_longer_wait(clock: ManualClock) -> None:
    assert schedule(clock, CrewDurations(clock, PollSettings())).next(at_least=90.0) == 90.0


def test_an_end_is_learned_between_the_latest_two_polls(clock: ManualClock) -> None:
    crew = CrewDurations(clock, PollSettings())
    made, began = schedule(clock, crew), clock.monotonic()
    made.record(RUNNING, began + 20.0)
    made.record(SUCCEEDED, began + 24.0)
    made.record(SUCCEEDED, began + 90.0)  # polled again, for its output
    assert crew.durations.count == crew.added == 1
    assert 20.0 < (crew.durations.quantile(0.5) or 0) < 24.5


@pytest.mark.parametrize(("reported", "learned"), [(22.0, 22.0), (5.0, None), (80.0, None)])
def test_a_duration_that_the_crew_reports_counts_only_if_it_fits_the_polls(
    clock: ManualClock, reported: float, learned: float | None
) -> None:
    crew = CrewDurations(clock, PollSettings())
    made, began = schedule(clock, crew), clock.monotonic()
    made.record(RUNNING, began + 20.0)
    made.record(
        Execution(state=ExecutionState.FAILED, word="failed", error="no", execution_time=reported), began + 60.0
    )
    found = crew.durations.quantile(0.5) or 0
    assert found == pytest.approx(learned, rel=0.05) if learned else 30.0 < found < 55.0


def test_nothing_is_learned_from_an_execution_that_may_have_ended_long_before(clock: ManualClock) -> None:
    crew = CrewDurations(clock, PollSettings())
    schedule(clock, crew, known=False).record(SUCCEEDED, clock.monotonic() + 3000.0)
    assert crew.durations.count == 0


def test_nothing_is_learned_from_an_execution_that_waited_for_you(clock: ManualClock) -> None:
    crew = CrewDurations(clock, PollSettings())
    made = schedule(clock, crew)
    asked = Execution(state=ExecutionState.WAITING_FOR_HUMAN, word="pending human input")
    made.record(asked, clock.monotonic() + 20.0)
    made.record(SUCCEEDED, clock.monotonic() + 9000.0)
    assert crew.durations.count == 0


def test_an_answer_without_a_status_teaches_nothing(clock: ManualClock) -> None:
    crew = CrewDurations(clock, PollSettings())
    made = schedule(clock, crew)
    made.record(Unclear("502"), clock.monotonic() + 20.0)
    made.record(SUCCEEDED, clock.monotonic() + 30.0)
    assert (crew.durations.quantile(0.02) or 0) < 5.0  # it may have ended at any time


def test_the_hazard_follows_new_executions(clock: ManualClock) -> None:
    crew = CrewDurations(clock, PollSettings())

    def executions() -> int:
        return 0 if crew.hazard is None else crew.hazard.executions

    assert executions() == 0
    crew.add(30.0, 29.0)
    assert executions() == 1
    crew.add(30.0, 29.0)
    assert executions() == 1  # it takes a millisecond, so not for each execution
    clock.advance(1.0)
    assert executions() == 2


def test_fixed_waits_do_not_grow() -> None:
    made = PollSchedule(PollSettings(strategy="fixed", initial=3.0), Middle())
    assert [made.next() for _ in range(4)] == [3.0] * 4


# The budget


async def test_status_requests_pass_at_their_rate_and_the_longest_due_first(clock: ManualClock) -> None:
    budget, passed = PollBudget(Rate(count=2.0, period_seconds=1.0), clock), []
    began = clock.monotonic()

    async def poll(name: str, due: float) -> None:
        await budget.acquire(began + due)
        passed.append((name, clock.monotonic() - began))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(poll(name, due)) for name, due in (("a", 0.0), ("c", 3.0), ("d", 4.0), ("b", 1.0))]
        await clock.settle()
        tasks[2].cancel()
        for _ in range(6):
            clock.advance(0.25)
            await clock.settle()
    assert passed == [("a", 0.0), ("b", 0.5), ("c", 1.0)]


async def test_without_a_rate_no_status_request_waits(clock: ManualClock) -> None:
    budget = PollBudget(None, clock)
    for _ in range(100):
        await budget.acquire(clock.monotonic())

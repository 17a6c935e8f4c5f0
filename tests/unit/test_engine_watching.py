"""Watchers: when an execution is polled, and what a tick reports of one that is not due."""

from datetime import timedelta
from typing import Any

import pytest
from manual_clock import ManualClock, Middle

from batchcrew.base.clock import to_text
from batchcrew.config.settings import PollSettings
from batchcrew.engine.limits.poll_budget import PollBudget
from batchcrew.engine.observe.polling import PollingWatcher, StatusRequests
from batchcrew.engine.observe.schedule import PollSchedule
from batchcrew.engine.observe.settling import Settling
from batchcrew.engine.observe.single_look import SingleLook
from batchcrew.engine.observe.watcher import NotDue, Observation
from batchcrew.model.crew_answers import StatusAnswer, Unclear
from batchcrew.model.execution import Execution, ExecutionState

POLL = PollSettings(initial=2.0, factor=2.0, max=10.0, settle=10.0)
RUNNING = Execution(state=ExecutionState.RUNNING, word="running")
EMPTY = Execution(state=ExecutionState.SUCCEEDED, word="completed")
FORGOTTEN = Execution(state=ExecutionState.NOT_FOUND, word="not found")
FAR = 1000.0


class Scripted:
    """Answers status requests from a list."""

    def __init__(self, *answers: StatusAnswer) -> None:
        self._answers = list(answers)

    async def status(self, kickoff_id: str) -> StatusAnswer:
        return self._answers.pop(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(jumps=True)


def requests(clock: ManualClock, *answers: StatusAnswer, first_wait: float = 1.0) -> StatusRequests:
    client: Any = Scripted(*answers)
    return StatusRequests(
        client,
        "k-1",
        schedule=PollSchedule(POLL, Middle()),
        settling=Settling(POLL, Middle()),
        clock=clock,
        first_wait=first_wait,
        budget=PollBudget(None, clock),
    )


async def moments(clock: ManualClock, watcher: PollingWatcher, number: int, within: float = FAR) -> list[float]:
    """When the next answers were requested, in seconds from now."""
    began, found = clock.seconds, []
    for _ in range(number):
        observed = await watcher.next(within=within)
        assert isinstance(observed, Observation)
        found.append(observed.requested_at - began)
    return found


async def test_a_run_polls_after_growing_waits(clock: ManualClock) -> None:
    watcher = PollingWatcher(requests(clock, *[RUNNING] * 5), clock)
    assert await moments(clock, watcher, 5) == [1, 3, 7, 15, 25]


async def test_the_server_may_request_a_longer_wait(clock: ManualClock) -> None:
    watcher = PollingWatcher(requests(clock, Unclear("busy", retry_after=60.0), RUNNING), clock)
    assert await moments(clock, watcher, 2) == [1, 61]


async def test_an_execution_is_polled_at_its_deadline_and_as_often_as_before_after_it(clock: ManualClock) -> None:
    watcher = PollingWatcher(requests(clock, *[RUNNING] * 3, first_wait=8.0), clock)
    assert await moments(clock, watcher, 1, within=5.0) == [5]
    assert await moments(clock, watcher, 2, within=-1.0) == [2, 6]


async def test_an_empty_answer_is_polled_again_soon_until_its_time_is_over(clock: ManualClock) -> None:
    watcher = PollingWatcher(requests(clock, *[EMPTY] * 5, FORGOTTEN), clock)
    observed = [await watcher.next(within=FAR) for _ in range(4)]
    assert [each.settling for each in observed if isinstance(each, Observation)] == [True, True, True, False]
    assert [each.requested_at for each in observed if isinstance(each, Observation)] == [1001, 1003, 1007, 1011]


async def test_an_execution_that_the_crew_forgets_keeps_its_empty_answer(clock: ManualClock) -> None:
    watcher = PollingWatcher(requests(clock, EMPTY, FORGOTTEN), clock)
    await watcher.next(within=FAR)
    observed = await watcher.next(within=FAR)
    assert isinstance(observed, Observation)
    assert (observed.answer, observed.settling, observed.completed) == (FORGOTTEN, False, EMPTY)


async def test_an_answer_that_came_without_a_request_decides_when_the_next_request_is_due(clock: ManualClock) -> None:
    made = requests(clock, first_wait=60.0)
    assert made.due_in(FAR) == 60.0
    assert made.record(EMPTY, clock.seconds).settling
    assert made.due_in(FAR) == 2.0
    assert made.sent == 0


async def test_a_tick_polls_once_and_reports_when_the_execution_is_due(clock: ManualClock) -> None:
    look = SingleLook(requests(clock, EMPTY, first_wait=0.0), clock)
    assert isinstance(await look.next(within=FAR), Observation)
    next_at = to_text(clock.now() + timedelta(seconds=2))
    assert await look.next(within=FAR) == NotDue(1, next_at, to_text(clock.now()))


async def test_a_tick_does_not_poll_what_is_not_due(clock: ManualClock) -> None:
    look = SingleLook(requests(clock, first_wait=5.0), clock)
    assert await look.next(within=FAR) == NotDue(0, to_text(clock.now() + timedelta(seconds=5)), None)
    assert clock.seconds == 1000.0

"""What an outcome means for its job, when to poll next, and how fast kickoffs may follow: pure decisions."""

import ast
import random
from pathlib import Path
from typing import Any

import pytest
from manual_clock import ManualClock, Middle

from batchcrew.config.settings import PollSettings, RetrySettings
from batchcrew.config.values import Rate
from batchcrew.engine import retry
from batchcrew.engine.limits.rate_limiter import RateLimiter
from batchcrew.engine.limits.silence import Silence
from batchcrew.engine.observe.deadline import ExecutionDeadline
from batchcrew.engine.observe.schedule import PollSchedule
from batchcrew.engine.observe.settling import Settling
from batchcrew.model.attempt import AttemptState
from batchcrew.model.execution import Execution, ExecutionState, TaskResult
from batchcrew.model.job import JobState
from batchcrew.model.verdict import ACCEPTED, Verdict

MIDDLE = Middle()
FAILED = Execution(state=ExecutionState.FAILED, word="error", error="no model")
RUNNING = Execution(state=ExecutionState.RUNNING, word="warming up", known_word=False)
SUCCEEDED = Execution(state=ExecutionState.SUCCEEDED, word="completed", output="x")


@pytest.mark.parametrize("path", sorted(Path(retry.__file__).parent.rglob("*.py")), ids=lambda path: path.name)
def test_no_text_of_the_engine_holds_a_command(path: Path) -> None:
    """The engine knows neither the ledger's path nor how batchcrew was started: its commands would not work."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            assert "batchcrew " not in node.value


def test_a_success_ends_the_job() -> None:
    outcome = retry.ended(SUCCEEDED, attempts_used=1, retry=RetrySettings(), rng=MIDDLE)
    assert (outcome.attempt_state, outcome.job_state) == (AttemptState.SUCCEEDED, JobState.SUCCEEDED)


@pytest.mark.parametrize(
    ("on", "attempts_used", "wait"), [("lost", 1, None), ("rejected", 1, 5.0), ("rejected", 3, None)]
)
def test_a_rejected_answer_fails_its_job_and_keeps_its_execution(
    on: Any, attempts_used: int, wait: float | None
) -> None:
    settings = RetrySettings(on=(on,))
    ended = retry.ended(SUCCEEDED, attempts_used=attempts_used, retry=settings, rng=MIDDLE)
    outcome = retry.judged(ended, Verdict("too short"), attempts_used=attempts_used, retry=settings, rng=MIDDLE)
    assert (outcome.attempt_state, outcome.execution) == (AttemptState.FAILED, SUCCEEDED)
    assert (outcome.reason, outcome.answer_rejected) == ("answer rejected: too short", "too short")
    assert (outcome.retry_in, outcome.job_state) == (wait, JobState.FAILED if wait is None else JobState.PENDING)
    # its inputs have changed meanwhile: the job runs with the new ones, and nothing is stale
    assert retry.outdated(outcome, "keep").job_state is JobState.PENDING
    assert retry.outdated(
        retry.judged(ended, ACCEPTED, attempts_used=1, retry=settings, rng=MIDDLE), "keep"
    ).job_state is (JobState.STALE)


@pytest.mark.parametrize(("attempts_used", "wait"), [(1, 5.0), (2, 10.0), (3, None)])
def test_a_crews_failure_is_tried_again_with_growing_waits(attempts_used: int, wait: float | None) -> None:
    outcome = retry.ended(FAILED, attempts_used=attempts_used, retry=RetrySettings(), rng=MIDDLE)
    assert outcome.attempt_state is AttemptState.FAILED
    assert outcome.retry_in == wait
    assert outcome.job_state is (JobState.FAILED if wait is None else JobState.PENDING)
    assert outcome.reason == "no model"


@pytest.mark.parametrize(
    ("settings", "wait"),
    [
        (RetrySettings(attempts=1), None),
        (RetrySettings(backoff=7.0), 14.0),
        (RetrySettings(factor=3.0), 15.0),
        (RetrySettings(max=6.0), 6.0),
        (RetrySettings(on=("lost",)), None),
    ],
)
def test_every_retry_setting_counts(settings: RetrySettings, wait: float | None) -> None:
    assert retry.next_wait("crew_error", attempts_used=2, retry=settings, rng=MIDDLE) == wait


def test_a_timeout_is_retried_only_if_configured() -> None:
    outcome = retry.timed_out(60, RUNNING, attempts_used=1, retry=RetrySettings(), rng=MIDDLE)
    assert (outcome.attempt_state, outcome.job_state) == (AttemptState.TIMED_OUT, JobState.FAILED)
    assert "may still be running" in (outcome.reason or "")
    assert "'warming up'" in (outcome.reason or "")
    asked = retry.timed_out(60, RUNNING, attempts_used=1, retry=RetrySettings(on=("timeout",)), rng=MIDDLE)
    assert asked.job_state is JobState.PENDING


def test_a_lost_execution_is_tried_again() -> None:
    outcome = retry.lost(
        "gone", attempts_used=1, delivery="at_least_once", attached=False, retry=RetrySettings(), rng=MIDDLE
    )
    assert (outcome.attempt_state, outcome.job_state) == (AttemptState.LOST, JobState.PENDING)


@pytest.mark.parametrize(("delivery", "attached"), [("at_most_once", False), ("at_least_once", True)])
def test_a_lost_execution_is_held_where_a_retry_might_be_paid_twice(delivery: Any, attached: bool) -> None:
    outcome = retry.lost(
        "gone", attempts_used=1, delivery=delivery, attached=attached, retry=RetrySettings(), rng=MIDDLE
    )
    assert (outcome.attempt_state, outcome.job_state) == (AttemptState.LOST, JobState.HELD)
    assert ("attach the right one" in (outcome.reason or "")) == attached
    assert "batchcrew" not in (outcome.reason or "")  # commands are added where the reason is printed


def test_delivery_decides_the_outcome_of_an_attempt_in_doubt() -> None:
    settings = RetrySettings()
    once = retry.in_doubt("500", attempts_used=1, delivery="at_most_once", retry=settings, rng=MIDDLE)
    assert (once.attempt_state, once.job_state) == (AttemptState.IN_DOUBT, JobState.HELD)
    again = retry.in_doubt("500", attempts_used=1, delivery="at_least_once", retry=settings, rng=MIDDLE)
    assert (again.job_state, again.retry_in) == (JobState.PENDING, 5.0)
    spent = retry.in_doubt("500", attempts_used=3, delivery="at_least_once", retry=settings, rng=MIDDLE)
    assert spent.job_state is JobState.FAILED
    assert "attempt 3 of 3" in (spent.reason or "")


def test_a_refusal_costs_nothing_unless_it_is_for_good() -> None:
    assert retry.rejected("429").job_state is JobState.PENDING
    assert retry.rejected("422", for_good=True).job_state is JobState.FAILED


def test_jitter_is_kept_after_the_cap() -> None:
    chance = random.Random(1)
    waits = {
        retry.next_wait("lost", attempts_used=9, retry=RetrySettings(attempts=20, max=30.0), rng=chance)
        for _ in range(20)
    }
    assert len(waits) == 20
    assert all(wait is not None and 27 <= wait <= 33 for wait in waits)


def test_polls_grow_to_their_cap() -> None:
    waits = PollSchedule(PollSettings(initial=2.0, factor=2.0, max=10.0), MIDDLE)
    assert waits.next() == 2.0
    assert [waits.next() for _ in range(4)] == [4.0, 8.0, 10.0, 10.0]
    assert waits.next(at_least=60.0) == 60.0


def test_first_polls_of_resumed_executions_are_spread_over_one_wait() -> None:
    chance = random.Random(2)
    firsts = {PollSchedule(PollSettings(initial=4.0), chance).spread() for _ in range(50)}
    assert len(firsts) == 50
    assert all(0 <= first <= 4 for first in firsts)


def test_not_found_is_tolerated_first_and_then_three_times() -> None:
    patience = ExecutionDeadline(timeout=1000, age=0)
    assert [patience.is_lost(watched) for watched in (10, 30, 59, 61, 70, 80)] == [False] * 5 + [True]


@pytest.mark.parametrize(("age", "polled", "over"), [(0, 9.9, False), (0, 10, True), (500, 0, True)])
def test_only_a_poll_that_was_sent_after_the_deadline_can_find_it_overdue(
    age: float, polled: float, over: bool
) -> None:
    assert ExecutionDeadline(timeout=10, age=age).is_over(polled) is over


def completed(**values: Any) -> Execution:
    return Execution(state=ExecutionState.SUCCEEDED, word="completed", **values)


@pytest.mark.parametrize(
    ("values", "has_output"),
    [
        ({}, False),
        ({"output": ""}, False),
        ({"output": " \n"}, False),
        ({"output": "x"}, True),
        ({"result_json": {"a": 1}}, True),
        ({"result_json": {}}, False),
        ({"tasks": (TaskResult(task_id="t", output="x"),)}, True),
        ({"tasks": (TaskResult(task_id="t"),)}, False),
    ],
)
def test_an_empty_text_and_null_are_not_output(values: dict[str, Any], has_output: bool) -> None:
    assert completed(**values).has_output is has_output
    assert Settling(PollSettings(), MIDDLE).is_open(completed(**values), 0) is not has_output


def test_a_completed_execution_without_output_settles_after_its_time() -> None:
    settling = Settling(PollSettings(initial=2.0, settle=10.0), MIDDLE)
    assert [settling.is_open(completed(), at) for at in (100, 105, 109.9, 110)] == [True, True, True, False]
    assert settling.next(109.0) == 1.0  # the last poll is sent when the time is over, not a whole wait later
    again = Settling(PollSettings(settle=10.0), MIDDLE, since=100)  # in another tick
    assert [again.is_open(completed(), at) for at in (109, 111)] == [True, False]
    assert not Settling(PollSettings(settle=0), MIDDLE).is_open(completed(), 0)


def test_an_execution_that_runs_again_settles_again() -> None:
    settling = Settling(PollSettings(settle=10.0), MIDDLE)
    assert settling.is_open(completed(), 100)
    assert not settling.is_open(RUNNING, 105)
    assert settling.is_open(completed(), 111)


def test_silence_lasts_from_its_first_poll_and_counts_from_the_third() -> None:
    clock = ManualClock(jumps=True)
    silence = Silence(clock, give_up=100)
    for _ in range(2):
        silence.lasts("502")
        clock.seconds += 60
    assert silence.gives_up_in() == float("inf")
    silence.lasts("502")
    assert silence.gives_up_in() == 0
    other = Silence(clock, give_up=1000)
    other.restore(silence.saved(), ago=80)  # 120 s, and 80 between two ticks
    assert other.gives_up_in() == 800
    silence.ended()
    assert silence.gives_up_in() == float("inf")


def test_a_rate_spaces_kickoffs_evenly() -> None:
    clock = ManualClock(jumps=True)
    pace = RateLimiter(Rate(count=60, period_seconds=60.0), clock)
    left = 0
    for _ in range(1200):  # two minutes, looked at ten times a second
        allowed = int(pace.available())
        pace.spend(allowed)
        left += allowed
        clock.seconds += 0.1
    assert left == 120
    assert 0 < pace.wait_seconds() <= 1.0


def test_a_fast_rate_catches_up_what_a_late_loop_missed() -> None:
    clock = ManualClock(jumps=True)
    pace = RateLimiter(Rate(count=1000, period_seconds=1.0), clock)
    left = 0
    for _ in range(100):  # one second, looked at a hundred times
        allowed = int(pace.available())
        pace.spend(allowed)
        left += allowed
        clock.seconds += 0.01
    assert 950 <= left <= 1001


def test_without_a_rate_there_is_no_pace() -> None:
    pace = RateLimiter(None, ManualClock(jumps=True))
    pace.spend(1000)
    assert pace.available() == float("inf")
    assert pace.wait_seconds() == 0

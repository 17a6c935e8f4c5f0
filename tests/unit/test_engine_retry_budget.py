"""The retry budget: at most a fifth of the kickoffs of a minute, and ten more, are retries."""

from manual_clock import ManualClock

from batchcrew.engine.limits.retry_budget import A_MINUTE, RetryBudget


def test_ten_retries_a_minute_may_leave_in_any_case() -> None:
    clock = ManualClock()
    budget = RetryBudget(clock)
    assert budget.available() == A_MINUTE
    budget.spend(10, 10)
    assert budget.available() == 2
    clock.advance(59)
    assert budget.available() == 2
    clock.advance(1)
    assert budget.available() == A_MINUTE


def test_a_fifth_of_the_kickoffs_may_be_retries() -> None:
    budget = RetryBudget(ManualClock())
    budget.spend(100, 0)
    assert budget.available() == A_MINUTE + 20
    budget.spend(50, 35)
    assert budget.available() == A_MINUTE + 30 - 35


def test_a_quiet_hour_leaves_nothing_to_spend_at_once() -> None:
    clock = ManualClock()
    budget = RetryBudget(clock)
    for _ in range(3600):
        budget.spend(1, 0)
        clock.advance(1)
    assert budget.available() <= A_MINUTE + 12


def test_retries_beyond_the_budget_count_too() -> None:
    budget = RetryBudget(ManualClock())
    budget.spend(500, 500)
    assert budget.available() == 0


def test_memory_does_not_grow_with_the_kickoffs() -> None:
    clock = ManualClock()
    budget = RetryBudget(clock)
    for _ in range(10_000):
        budget.spend(1, 1)
        clock.advance(0.05)
        budget.available()
    assert len(budget.saved()) <= 62


def test_ticks_share_the_budget() -> None:
    clock = ManualClock()
    budget = RetryBudget(clock)
    budget.spend(10, 10)
    clock.advance(20)
    saved = budget.saved()
    later = RetryBudget(clock)
    later.restore({"retries": saved}, ago=30.0)
    assert later.available() == 2
    clock.advance(10)
    assert later.available() == A_MINUTE
    later.restore({}, ago=1.0)
    assert later.available() == A_MINUTE


def test_waiting_retries_are_reported_once_a_minute() -> None:
    clock = ManualClock()
    budget = RetryBudget(clock)
    assert (budget.should_report(), budget.should_report()) == (True, False)
    clock.advance(60)
    assert budget.should_report()

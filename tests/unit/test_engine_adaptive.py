"""`concurrency: auto`: how the number of slots follows what a crew can run."""

import pytest
from manual_clock import ManualClock

from batchcrew.base.reasons import is_overload
from batchcrew.engine.limits.adaptive import HOLD_ROUNDS, LEAST_SUCCEEDED, AdaptiveLimit
from batchcrew.engine.limits.slots import Permit, Slots


class Crew:
    """A crew whose kickoffs are answered, and whose executions end, when the test says so."""

    def __init__(self, clock: ManualClock, most: int = 400) -> None:
        self.clock = clock
        self.slots = Slots(most)
        self.changes: list[tuple[int, int]] = []
        self.limit = AdaptiveLimit(self.slots, clock, lambda before, after, _: self.changes.append((before, after)))
        self.running: list[Permit] = []

    def fill(self, capacity: int = 10_000) -> int:
        """Kick off until nothing may leave, one answer at a time. Returns the number of refusals."""
        refused = 0
        while self.limit.available() >= 1 and not refused:
            (permit,) = self.slots.acquire(1)
            if len(self.running) < capacity:
                permit.accept()
                self.limit.accepted()
                self.running.append(permit)
            else:
                refused += 1
                self.limit.refused(None)
                permit.release()
        return refused

    def round(self, seconds: float = 2.0, *, succeeded: bool = True, capacity: int = 10_000) -> int:
        """End as many executions as there are slots, each of which is replaced at once. Returns the refusals."""
        number, refused = self.slots.limit, self.fill(capacity)
        for _ in range(number):
            self.clock.advance(seconds / number)
            self.running.pop(0).release()
            self.limit.ended(succeeded=succeeded)
            refused += self.fill(capacity)
        return refused


@pytest.fixture
def crew() -> Crew:
    return Crew(ManualClock())


def test_the_slots_double_each_round_until_the_crew_refuses(crew: Crew) -> None:
    for _ in range(3):
        crew.round()
    assert [after for _, after in crew.changes] == [20, 40, 80]
    assert crew.round(capacity=100) == 1
    assert crew.slots.limit == 100


def test_the_maximum_is_kept() -> None:
    crew = Crew(ManualClock(), most=15)
    for _ in range(4):
        crew.round()
    assert crew.slots.limit == 15


def test_a_maximum_below_the_first_slots() -> None:
    assert Crew(ManualClock(), most=3).slots.limit == 3


def test_nothing_grows_before_enough_executions_have_succeeded(crew: Crew) -> None:
    for _ in range(3):
        crew.round(succeeded=False)
    assert crew.changes == []
    for _ in range(LEAST_SUCCEEDED // 10):
        crew.round()
    assert crew.slots.limit == 20


def test_only_few_kickoffs_wait_for_their_answer_at_a_number_that_is_new(crew: Crew) -> None:
    assert crew.limit.available() == 1
    crew.fill()
    crew.round()
    assert crew.slots.limit == 20
    assert crew.fill() == 0
    assert len(crew.running) == 20


def test_a_number_that_the_crew_has_run_before_is_used_at_once(crew: Crew) -> None:
    crew.fill()
    for permit in crew.running:
        permit.release()
    assert crew.limit.available() == 10


def test_refusals_cut_the_slots_to_what_the_crew_runs(crew: Crew) -> None:
    assert crew.fill(capacity=5) == 1
    assert crew.slots.limit == 5


def test_a_refusal_that_overtakes_acceptances_does_not_cut_below_what_the_crew_runs(crew: Crew) -> None:
    for _ in range(2):
        crew.round()
    while crew.slots.in_use > 10:
        crew.running.pop().release()
    sent = crew.slots.acquire(18)
    crew.limit.refused(None)
    assert crew.slots.limit == 10
    for permit in sent[:10]:
        permit.accept()
        crew.limit.accepted()
    for permit in sent[10:]:
        permit.release()
    assert crew.slots.limit == 20
    assert crew.limit.available() == 0
    sent[0].release()
    crew.limit.ended(succeeded=True)
    assert crew.changes[-2:] == [(40, 10), (10, 20)]


def test_after_refusals_the_slots_grow_slowly_and_ever_more_seldom(crew: Crew) -> None:
    crew.fill(capacity=40)
    kickoffs = refused = 0
    for _ in range(100):
        kickoffs += crew.slots.limit
        refused += crew.round(capacity=40)
    assert 38 <= crew.slots.limit <= 42
    assert 1 <= refused <= 0.03 * kickoffs


def test_a_crew_that_can_run_less_is_followed(crew: Crew) -> None:
    for _ in range(3):
        crew.round(capacity=40)
    assert crew.slots.limit == 40
    crew.fill(capacity=20)
    while len(crew.running) > 20:
        crew.running.pop(0).release()
        crew.limit.ended(succeeded=True)
    crew.fill(capacity=20)
    assert crew.slots.limit == 20


def test_a_crew_that_can_run_more_is_followed(crew: Crew) -> None:
    crew.fill(capacity=5)
    assert crew.slots.limit == 5
    for _ in range(60):
        crew.round(capacity=40)
    assert crew.slots.limit > 8


def test_growth_that_brings_no_throughput_is_taken_back(crew: Crew) -> None:
    crew.round(seconds=2.0)
    assert crew.slots.limit == 20
    crew.round(seconds=4.0)  # twice the slots, and each execution takes twice as long
    assert crew.slots.limit == 10
    for _ in range(HOLD_ROUNDS):
        crew.round()
    assert crew.slots.limit == 10


def test_slots_that_are_not_used_do_not_grow(crew: Crew) -> None:
    for _ in range(30):
        crew.running.append(crew.slots.acquire(1)[0])
        crew.running[-1].accept()
        crew.limit.accepted()
        crew.running.pop(0).release()
        crew.limit.ended(succeeded=True)
    assert crew.changes == []


def test_a_lost_answer_pauses_the_growth(crew: Crew) -> None:
    crew.limit.unsure()
    crew.round()
    assert crew.slots.limit == 10
    crew.round()
    assert crew.slots.limit == 20


def test_executions_that_fail_because_of_an_overload_cut_once_an_episode(crew: Crew) -> None:
    crew.fill()
    for _ in range(5):
        crew.limit.overloaded()
    assert crew.slots.limit == 8
    crew.clock.advance(16.0)
    crew.limit.overloaded()
    assert crew.slots.limit == 6


def test_what_was_learned_is_restored(crew: Crew) -> None:
    for _ in range(3):
        crew.round(capacity=33)
    again = Crew(crew.clock)
    again.limit.restore(crew.limit.saved())
    assert again.slots.limit == 33
    again.fill()
    again.round()
    assert again.slots.limit < 40  # it does not double again


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("RateLimitError: Error code: 429 - Too Many Requests", True),
        ("litellm.RateLimitError: rate limit reached for gpt-4o", True),
        ("the model is overloaded, try later", True),
        ("RESOURCE_EXHAUSTED", True),
        ("KeyError: 'topic'", False),
        ("the answer has 429 words", False),
    ],
)
def test_reasons_that_are_an_overload(reason: str, expected: bool) -> None:
    assert is_overload(reason) is expected

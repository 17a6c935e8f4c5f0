"""Failures in a row: what makes a row, what may start while there is one, and when the run stops."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from manual_clock import ManualClock

from batchcrew.base.clock import to_text
from batchcrew.config.limits import FailureLimit
from batchcrew.engine.limits.failure_streak import FailureStreaks
from batchcrew.model.attempt import Attempt, AttemptState, Outcome
from batchcrew.model.job import JobState

CREDIT = "credit balance is too low (request {})"


@dataclass
class Load:
    """A crew, as the limit sees it."""

    name: str
    in_use: int = 0
    exhausted: bool = False


class Stage:
    """One or more crews' rows, without a ledger."""

    def __init__(self, *crews: str, single_pass: bool = False, **limit: Any) -> None:
        self.clock = ManualClock(jumps=True)
        self.limit = FailureLimit(**limit) if limit else FailureLimit(in_a_row=3)
        self.single_pass = single_pass
        self.streaks = self._new()
        self.crews = {crew: Load(crew) for crew in crews or ("a",)}
        self.kept = "{}"
        self.number = 0

    def _new(self) -> FailureStreaks:
        return FailureStreaks(self.limit, run_id="r1", clock=self.clock, single_pass=self.single_pass)

    async def next_run(self, *pending: str) -> str | None:
        """A new run of the same batch, as the ledger has it."""
        self.streaks = self._new()
        return await self.streaks.read(_Kept(self.kept, pending or tuple(self.crews)), None)  # type: ignore[arg-type]

    def end(
        self,
        state: AttemptState = AttemptState.FAILED,
        reason: str | None = None,
        *,
        crew: str = "a",
        run_id: str = "r1",
        intended_at: str | None = None,
    ) -> str | None:
        """One attempt ends; returns why the run stops, if it does."""
        self.number += 1
        attempt = Attempt(
            attempt_id=f"{run_id}-{self.number:06d}",
            batch="b",
            job_key=self.number,
            job_id=str(self.number),
            crew=crew,
            number=1,
            attempts_used=1,
            inputs={},
            meta={},
            intended_at=to_text(self.clock.now()) if intended_at is None else intended_at,
        )
        if reason is None and state is not AttemptState.SUCCEEDED:
            reason = CREDIT.format(self.number)
        kept = self.streaks.count(attempt, Outcome(attempt_state=state, job_state=JobState.FAILED, reason=reason))
        self.kept = kept or self.kept
        return self.streaks.why_stop(crew if kept else None)

    def available(self, crew: str = "a", *, in_use: int = 0) -> float:
        self.crews[crew].in_use = in_use
        return self.streaks.available(self.crews[crew], self.crews.values())


class _Kept:
    """Returns what a ledger returns; the rows come from JSON, as in a ledger."""

    def __init__(self, kept: str, pending: tuple[str, ...]) -> None:
        self._kept = kept
        self._pending = pending

    async def failure_streaks(self, key: object) -> dict[str, Any]:
        return dict(json.loads(self._kept))

    async def pending_crews(self, key: object) -> dict[str, int]:
        return dict.fromkeys(self._pending, 1)


def test_failures_with_one_reason_in_a_row_stop_the_run_and_the_reason_is_quoted() -> None:
    stage = Stage()
    assert [stage.end(), stage.end()] == [None, None]
    detail = stage.end()
    assert detail is not None
    assert "3 executions in a row" in detail
    assert CREDIT.format(3) in detail


@pytest.mark.parametrize("state", [AttemptState.LOST, AttemptState.TIMED_OUT])
def test_lost_and_timed_out_executions_make_a_row(state: AttemptState) -> None:
    stage = Stage()
    assert [bool(stage.end(state)) for _ in range(3)] == [False, False, True]


def test_lost_executions_of_an_earlier_run_do_not_count_in_a_run() -> None:
    stage = Stage()
    assert [stage.end(AttemptState.LOST, run_id="r0") for _ in range(9)] == [None] * 9
    assert stage.available() == float("inf")
    ticking = Stage(single_pass=True)
    assert [bool(ticking.end(AttemptState.LOST, run_id="r0")) for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("state", [AttemptState.REJECTED, AttemptState.IN_DOUBT, AttemptState.CANCELLED])
def test_attempts_without_an_ended_execution_leave_the_streak_unchanged(state: AttemptState) -> None:
    stage = Stage()
    ends = [stage.end(), stage.end(), stage.end(state), stage.end()]
    assert [bool(end) for end in ends] == [False, False, False, True]
    assert stage.end(state) is None


def test_a_success_starts_over() -> None:
    stage = Stage()
    for _ in range(5):
        assert [stage.end(), stage.end(), stage.end(AttemptState.SUCCEEDED)] == [None] * 3
    assert stage.available(in_use=49) == float("inf")


def test_another_reason_starts_over_unless_any_counts() -> None:
    same, any_reason = Stage(in_a_row=3), Stage(in_a_row=3, same=False)
    reasons = ["no tool", "no agent"] * 2
    assert [bool(same.end(reason=reason)) for reason in reasons] == [False] * 4
    assert [bool(any_reason.end(reason=reason)) for reason in reasons] == [False, False, True, True]


def test_each_crew_has_its_own_row() -> None:
    stage = Stage("a", "b")
    assert [stage.end(), stage.end(), stage.end(crew="b"), stage.end(AttemptState.SUCCEEDED, crew="b")] == [None] * 4
    assert stage.end()


@pytest.mark.parametrize("limit", [None, FailureLimit(count=5)])
def test_without_in_a_row_nothing_stops_or_waits(limit: FailureLimit | None) -> None:
    stage = Stage()
    stage.limit = limit  # type: ignore[assignment]
    stage.streaks = stage._new()
    assert [stage.end() for _ in range(20)] == [None] * 20
    assert stage.available(in_use=9) == float("inf")


def test_no_more_may_be_in_progress_than_could_fail_before_the_stop() -> None:
    stage = Stage(in_a_row=10)
    assert stage.available(in_use=10) == float("inf")
    ended, in_use = 0, 10
    while in_use:
        stage.end()
        ended, in_use = ended + 1, in_use - 1
        assert stage.available(in_use=in_use) == (1 if ended >= 10 else 0)
    assert ended == 10
    stage.end(AttemptState.SUCCEEDED)
    assert stage.available(in_use=9) == float("inf")


async def test_the_streak_continues_in_the_next_run() -> None:
    stage = Stage()
    stage.end()
    stage.end()
    assert await stage.next_run() is None
    assert stage.available() == 1
    assert stage.end()


async def test_after_a_stop_one_job_starts_until_it_has_ended() -> None:
    stage = Stage()
    for _ in range(3):
        stage.end()
    assert "3 executions in a row" in (await stage.next_run() or "")
    assert (stage.available(), stage.available(in_use=1)) == (1, 0)
    assert stage.end(AttemptState.REJECTED) is None  # it never ran: another one is the probe
    assert stage.available() == 1
    assert "4 executions in a row" in (stage.end() or "")


@pytest.mark.parametrize(("state", "reason"), [(AttemptState.SUCCEEDED, None), (AttemptState.FAILED, "something else")])
async def test_a_probe_that_succeeds_or_fails_otherwise_lets_everything_start(
    state: AttemptState, reason: str | None
) -> None:
    stage = Stage(in_a_row=10)
    for _ in range(10):
        stage.end()
    await stage.next_run()
    assert stage.end(state, reason) is None
    assert stage.available() >= 9


async def test_no_other_crew_starts_during_a_probe() -> None:
    stage = Stage("a", "b")
    for _ in range(3):
        stage.end()
    await stage.next_run()
    assert (stage.available("a"), stage.available("b")) == (1, 0)
    stage.crews["a"].in_use = 1
    assert stage.available("b") == 0
    stage.crews["a"].in_use, stage.crews["a"].exhausted = 0, True  # no job is left that could be a probe
    assert stage.available("b") == float("inf")


async def test_a_batch_without_pending_jobs_of_the_crew_announces_no_probe() -> None:
    stage = Stage("a", "b")
    for _ in range(3):
        stage.end()
    assert await stage.next_run("b") is None


async def test_ticks_wait_longer_and_longer_after_three_probes_and_a_run_does_not() -> None:
    stage = Stage(single_pass=True)
    for _ in range(3):
        stage.end()
    waits = []
    for _ in range(9):
        await stage.next_run()
        began = stage.clock.seconds
        while not stage.available():
            assert "the next probe at 2026-" in (stage.streaks.why_no_probe(stage.crews.values()) or "")
            assert await stage.next_run() is None
            stage.clock.seconds += 60
        assert stage.streaks.why_no_probe(stage.crews.values()) is None
        waits.append(stage.clock.seconds - began)
        assert stage.end()
    assert waits == [0, 0, 0, 300, 600, 1200, 2400, 3600, 3600]
    stage.single_pass = False
    await stage.next_run()
    assert stage.available() == 1


async def test_executions_in_progress_at_the_stop_do_not_count_as_probes() -> None:
    stage = Stage(single_pass=True)
    for _ in range(20):  # concurrency 20
        stage.end(intended_at="2025-12-31T23:00:00.000Z")
    await stage.next_run()
    assert stage.available() == 1


async def test_a_clock_that_was_set_back_makes_no_tick_wait() -> None:
    stage = Stage(single_pass=True)
    for _ in range(7):
        stage.end()
    await stage.next_run()
    assert stage.available() == 0
    stage.clock.seconds -= 500
    assert stage.available() == 1


async def test_unknown_keys_saved_by_a_later_version_are_ignored() -> None:
    stage = Stage()
    stage.end()
    row = json.loads(stage.kept)["a"]
    stage.kept = json.dumps({"a": {**row, "alike": 3, "color": "red"}})
    assert "3 executions" in (await stage.next_run() or "")

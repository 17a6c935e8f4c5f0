"""Adaptive concurrency: how many executions a crew can run at once, found while it runs them.

Like TCP, it doubles the slots until the crew refuses, and then grows slowly. The duration of an execution is not used,
because it depends on the task; refusals and the throughput are.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from batchcrew.base.clock import Clock
from batchcrew.engine.limits.slots import Slots

FIRST_SLOTS = 10
LEAST_SUCCEEDED = 10
"""Executions that must have succeeded before the first growth."""
FULL = 0.9
"""Share of the slots that must have been in use in a round; otherwise more slots would make no difference."""
CUT = 0.8
GROWTH = 0.05
"""Share of the slots that is added in a round without refusals."""
EPISODE_SECONDS = 15.0
"""Refusals within this time, or within the wait that the server requests, are one episode and cause one cut."""
MOST_ROUNDS = 16
"""Most rounds before the number of slots at which the crew refused the last time is tried again."""
UNANSWERED = 0.1
"""Share of the slots that may wait for their kickoff's answer beyond what the crew has run before."""
JUDGED_GROWTH = 1.25
"""The throughput must increase after growth by this factor."""
LEAST_GAIN = 0.25
"""Share of the growth by which the throughput must increase; otherwise the growth is undone."""
HOLD_ROUNDS = 10
"""Rounds without growth after it was undone."""

OnChange: TypeAlias = Callable[[int, int, str], None]
"""Receives the former limit, the new limit, and the reason."""


def ignore_change(before: int, after: int, reason: str) -> None:
    """Ignore a change of the limit."""
    del before, after, reason


class AdaptiveLimit:
    """Adjusts the limit of one crew's slots.

    A round is as many ended executions as there are slots.

    Args:
        on_change: is called after each change of the limit.
    """

    def __init__(self, slots: Slots, clock: Clock, on_change: OnChange) -> None:
        self._slots = slots
        self._clock = clock
        self._on_change = on_change
        self._doubles = True
        self._succeeded = 0
        self._run_before = 0
        self._refused_at: int | None = None
        self._cut_to = 0
        """The number of executions that the crew seemed to run at the latest refusal; 0 after a cut below it."""
        self._raised_from: int | None = None
        """The limit at that refusal, if it was raised since and this is not reported yet."""
        self._patience = 1
        self._rounds_below = 0
        self._hold = 0
        self._episode_until = -math.inf
        self._growth = 0.0
        self._confirmed: tuple[int, float] | None = None
        slots.restore(min(FIRST_SLOTS, slots.most))
        self._begin_round()

    def _begin_round(self) -> None:
        self._began = self._clock.monotonic()
        self._ended = 0
        self._peak = self._slots.in_use
        self._clean = True

    def available(self) -> int:
        """Return how many kickoffs may leave now: few at a time where it is unknown whether the crew can run them."""
        slots = self._slots
        unanswered = slots.in_use - slots.accepted
        beyond = max(0, self._run_before - slots.in_use)
        cautious = max(1, int(slots.limit * UNANSWERED)) - unanswered
        return max(0, min(slots.available(), max(beyond, cautious)))

    def accepted(self) -> None:
        """Record an accepted kickoff."""
        self._run_before = max(self._run_before, self._slots.accepted)
        self._peak = max(self._peak, self._slots.in_use)
        running = self._slots.accepted
        if self._slots.limit == self._cut_to < running:
            # a refusal may overtake acceptances of the same moment, which are first made durable
            self._raised_from = self._raised_from or self._slots.limit
            self._refused_at = self._cut_to = running
            self._slots.restore(running)

    def refused(self, retry_after: float | None) -> None:
        """Record a refusal for now (429, 503)."""
        now, slots = self._clock.monotonic(), self._slots
        self._doubles, self._clean, self._growth = False, False, 0.0
        self._confirmed = None
        reached = max(1, slots.accepted)
        self._run_before = min(self._run_before, reached)
        if self._refused_at is not None and reached <= 1.1 * self._refused_at + 1:
            self._patience = min(self._patience * 2, MOST_ROUNDS)
        else:
            self._patience = 1
        self._refused_at, self._rounds_below = reached, 0
        if now >= self._episode_until:
            self._episode_until = now + max(EPISODE_SECONDS, retry_after or 0.0)
            reached = min(reached, max(1, round(slots.limit * CUT))) if reached >= slots.limit else reached
        self._set(min(slots.limit, reached), "the crew refused a kickoff")
        self._cut_to = reached if reached == self._refused_at else 0

    def overloaded(self) -> None:
        """Record an execution that failed because a rate limit or an overload stopped it."""
        now = self._clock.monotonic()
        self._doubles, self._clean, self._growth = False, False, 0.0
        if now >= self._episode_until:
            self._episode_until = now + EPISODE_SECONDS
            self._set(max(1, int(self._slots.limit * CUT)), "an execution failed because of an overload")

    def unsure(self) -> None:
        """Record an error of the server, or a lost answer: this round does not grow."""
        self._clean = False

    def ended(self, *, succeeded: bool) -> None:
        """Record the end of an execution whose slot was just released."""
        slots = self._slots
        self._report_raised()
        self._succeeded += succeeded
        self._ended += 1
        if self._ended >= slots.limit:
            self._end_round()

    def _end_round(self) -> None:
        slots, seconds = self._slots, max(self._clock.monotonic() - self._began, 1e-6)
        throughput, full = self._ended / seconds, self._peak >= FULL * self._slots.limit
        clean = self._clean
        self._begin_round()
        if not clean or not full or self._succeeded < LEAST_SUCCEEDED:
            return
        self._rounds_below += 1
        if self._hold:
            self._hold -= 1
            return
        if self._takes_back(throughput):
            return
        if self._doubles:
            self._set(slots.limit * 2, "the crew accepts all kickoffs")
            return
        if self._refused_at is not None and slots.limit >= self._refused_at and self._rounds_below < self._patience:
            return
        self._growth += max(slots.limit * GROWTH, 0.25)
        if self._growth >= 1:
            grown, self._growth = int(self._growth), self._growth % 1
            self._set(slots.limit + grown, "no kickoff was refused in the latest round")

    def _takes_back(self, throughput: float) -> bool:
        """Return whether the latest growth did not increase the throughput, and is undone."""
        limit = self._slots.limit
        if self._confirmed is None:
            self._confirmed = (limit, throughput)
            return False
        before, rate = self._confirmed
        if limit < before * JUDGED_GROWTH:
            self._confirmed = (before, max(rate, throughput) if limit == before else rate)
            return False
        if throughput >= rate * (1 + LEAST_GAIN * (limit / before - 1)):
            self._confirmed = (limit, throughput)
            return False
        self._doubles, self._hold = False, HOLD_ROUNDS
        self._confirmed = None
        self._set(before, "more slots brought no throughput")
        return True

    def _report_raised(self) -> None:
        """Report in one change that the crew has accepted several kickoffs after a refusal."""
        before, self._raised_from = self._raised_from, None
        if before is not None:
            self._on_change(before, self._slots.limit, "the crew accepted more kickoffs that were on their way")

    def _set(self, limit: int, reason: str) -> None:
        self._report_raised()
        before = self._slots.limit
        self._slots.restore(max(1, limit))
        if self._slots.limit != before:
            self._on_change(before, self._slots.limit, reason)

    def saved(self) -> dict[str, Any]:
        """Return the state for the next run; it does not depend on the time."""
        return {
            "limit": self._slots.limit,
            "doubles": self._doubles,
            "succeeded": min(self._succeeded, LEAST_SUCCEEDED),
            "refused_at": self._refused_at,
            "patience": self._patience,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the limit that an earlier run has learned."""
        self._slots.restore(state["limit"])
        self._begin_round()
        self._doubles, self._succeeded = state["doubles"], state["succeeded"]
        self._refused_at, self._patience = state["refused_at"], state["patience"]
        self._run_before = 0

"""All limits of one crew: slots, throttling, its rate, its retries, its breakers, and whether it answers at all."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchcrew.base.clock import Clock
from batchcrew.config.settings import BreakerSettings
from batchcrew.config.values import Rate
from batchcrew.engine.limits.adaptive import AdaptiveLimit, OnChange, ignore_change
from batchcrew.engine.limits.breaker import Breaker
from batchcrew.engine.limits.rate_limiter import RateLimiter
from batchcrew.engine.limits.reachability import UNREACHABLE_SECONDS, Reachability
from batchcrew.engine.limits.retry_budget import RetryBudget
from batchcrew.engine.limits.silence import Silence
from batchcrew.engine.limits.slots import Permit, Slots
from batchcrew.engine.limits.throttle import Throttle
from batchcrew.model.capacity import Hold, Why


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewLimitSettings:
    """The settings of one crew's limits.

    Args:
        slots: most executions in progress.
        adaptive: find out how many of the slots the crew can use.
        burst: see `RateLimiter`.
        unreachable: seconds after which a crew that has never answered is given up.
    """

    slots: int
    breaker: BreakerSettings
    adaptive: bool = False
    rate: Rate | None = None
    burst: bool = False
    unreachable: float = UNREACHABLE_SECONDS


class CrewLimits:
    """Combines the limits of one crew. Each of them owns its state; this class decides by all of them."""

    def __init__(
        self, settings: CrewLimitSettings, *, clock: Clock, rng: random.Random, on_change: OnChange = ignore_change
    ) -> None:
        breaker = settings.breaker
        self._clock = clock
        self._on_change = on_change
        self.slots = Slots(settings.slots)
        self.adaptive = AdaptiveLimit(self.slots, clock, on_change) if settings.adaptive else None
        self.throttle = Throttle(self.slots, clock=clock, rng=rng, adapts=self.adaptive is None)
        self.rate_limiter = RateLimiter(settings.rate, clock, burst=settings.burst)
        self.retries = RetryBudget(clock)
        self.kickoffs = Breaker("kickoffs", breaker, clock=clock, rng=rng)
        self.polls = Breaker("status requests", breaker, clock=clock, rng=rng)
        self.executions = Breaker("executions", breaker, clock=clock, rng=rng, kind="crew_error")
        self.silence = Silence(clock, give_up=breaker.give_up)
        """Silence of status requests, which counts while their breaker is closed."""
        self.reachability = Reachability(clock, unreachable=settings.unreachable, give_up=breaker.give_up)

    def resize(self, slots: int, *, adaptive: bool, reason: str) -> None:
        """Change the crew's concurrency while executions are in progress.

        Args:
            slots: most executions in progress; those above it end first.
            adaptive: find out how many of the slots the crew can use.
            reason: recorded with the new number of slots where it is, or was, found out.
        """
        before, was_adaptive = self.slots.limit, self.adaptive is not None
        if adaptive == was_adaptive:
            self.slots.resize(slots, grow=not adaptive)
        elif adaptive:
            self.slots.resize(slots, grow=False)
            self.adaptive = AdaptiveLimit(self.slots, self._clock, self._on_change)
            self.slots.restore(max(before, self.slots.limit))  # the crew runs as many already
        else:
            self.adaptive = None
            self.slots.resize(slots)
            self.slots.restore(slots)
        self.throttle.change(adapts=not adaptive)
        if (adaptive or was_adaptive) and self.slots.limit != before:
            self._on_change(before, self.slots.limit, reason)

    @property
    def breakers(self) -> tuple[Breaker, ...]:
        return (self.kickoffs, self.polls, self.executions)

    def available(self) -> float:
        """Return the number of kickoffs that may leave now."""
        if not self.throttle.is_open:
            return 0
        if self.polls.is_open and self.slots.in_use:  # the polls of executions in progress are its probes
            return 0
        probes = min(breaker.available() for breaker in self.breakers)
        return max(0, min(self._free_slots(), self.rate_limiter.available(), probes))

    def hold(self, crew: str, pause_reason: str) -> Hold | None:
        """Return why no kickoff may leave now; None if this crew's limits allow one.

        Args:
            pause_reason: why kickoffs were paused the latest time.
        """
        now = self._clock.monotonic()
        if not self.throttle.is_open:
            return Hold(Why.THROTTLED, crew, now + self.throttle.pause_seconds(), pause_reason)
        for breaker in self.breakers:
            if breaker.is_open and (not breaker.available() or (breaker is self.polls and self.slots.in_use)):
                wait = breaker.opens_in()
                return Hold(Why.BREAKER, crew, None if wait is None else now + wait, str(breaker))
        if self._free_slots() <= 0:
            if self.slots.limit >= self.slots.most and self.slots.available() <= 0:
                return Hold(Why.SLOTS, crew)
            return Hold(Why.CUT if self.adaptive is None else Why.AUTO, crew)
        if self.rate_limiter.available() < 1:
            return Hold(Why.RATE, crew, now + self.rate_limiter.wait_seconds())
        return None

    def _free_slots(self) -> int:
        return self.slots.available() if self.adaptive is None else self.adaptive.available()

    def opens_in(self) -> float | None:
        """Return the seconds until a kickoff may leave; None when a slot must be released or an answer come first."""
        if self._free_slots() <= 0 or (self.polls.is_open and self.slots.in_use):
            return None
        probes = [breaker.opens_in() for breaker in self.breakers]
        if None in probes:
            return None
        waits = [wait for wait in probes if wait is not None]
        return max(self.throttle.pause_seconds(), self.rate_limiter.wait_seconds(), *waits)

    def acquire(self, kickoffs: int, *, retries: int = 0) -> list[Permit]:
        """Take the slots of kickoffs that leave now; `retries` of them are retries."""
        self.rate_limiter.spend(kickoffs)
        self.retries.spend(kickoffs, retries)
        for breaker in self.breakers:
            breaker.acquire()
        return self.slots.acquire(kickoffs)

    def acquire_resumed(self, *, accepted: bool) -> Permit:
        """Take the slot of an attempt that an earlier run has started; it counts against no rate.

        Args:
            accepted: the crew has accepted its kickoff.
        """
        (permit,) = self.slots.acquire(1)
        if accepted:
            permit.accept()
        return permit

    def reached(self) -> None:
        """Record an answer of any kind."""
        self.reachability.reached()

    def accepted(self, permit: Permit) -> None:
        """Record that the crew accepted the permit's kickoff."""
        permit.accept()
        self.reachability.reached()
        self.throttle.accepted()
        if self.adaptive is not None:
            self.adaptive.accepted()

    def refused(self, retry_after: float | None, *, sent_at: float, too_many: bool) -> None:
        """Record a kickoff that the crew refused for now (see `Throttle.refused`)."""
        self.reachability.reached()
        is_new = self.throttle.refused(retry_after, sent_at=sent_at, too_many=too_many)
        if is_new and self.adaptive is not None:
            self.adaptive.refused(retry_after)

    def not_sent(self, *, sent_at: float) -> None:
        """Record a request, sent at this monotonic moment, that did not reach the crew."""
        self.reachability.not_reached(sent_at=sent_at)
        self.throttle.not_sent(sent_at=sent_at)

    def failing(self) -> Breaker | Silence | None:
        """Return the kind of request that has failed for too long, or None."""
        if not self.polls.is_open and not self.silence.gives_up_in():
            return self.silence
        return next((breaker for breaker in self.breakers if breaker.gives_up_in() == 0), None)

    def gives_up_in(self) -> float:
        """Return the seconds until something has failed for too long; `inf` while nothing fails."""
        waits = [wait for breaker in self.breakers if (wait := breaker.gives_up_in()) is not None]
        if not self.polls.is_open:
            waits.append(self.silence.gives_up_in())
        return min(waits, default=math.inf)

    def start_over(self) -> None:
        """Start measuring again, because this run gives the crew up; the next one waits for the full time."""
        self.silence.start_over()
        for breaker in self.breakers:
            breaker.start_over()

    def saved(self) -> dict[str, Any]:
        """Return the state for the next tick, or a run that follows soon; moments are seconds from now.

        Ledgers store these names, so they must not change: states of earlier versions must remain readable.
        """
        return {
            **self.throttle.saved(),
            **self.reachability.saved(),
            "pace": self.rate_limiter.next_in(),
            "breakers": [breaker.saved() for breaker in self.breakers],
            "silence": self.silence.saved(),
            "retries": self.retries.saved(),
            **({} if self.adaptive is None else {"adaptive": self.adaptive.saved()}),
        }

    def restore_requested(self, state: Mapping[str, Any], ago: float) -> None:
        """Restore the pause that the server requested, the rate, and what `concurrency: auto` has learned."""
        self.throttle.restore_requested(state, ago)
        self._restore_adaptive(state)
        self.rate_limiter.restore(state["pace"], ago)

    def restore(self, state: Mapping[str, Any], ago: float) -> None:
        """Restore everything, as it was saved `ago` seconds ago."""
        self.throttle.restore(state, ago)
        self._restore_adaptive(state)
        self.rate_limiter.restore(state["pace"], ago)
        self.retries.restore(state, ago)
        self.reachability.restore(state, ago)
        for breaker, saved in zip(self.breakers, state["breakers"], strict=True):
            breaker.restore(saved, ago)
        if "silence" in state:  # earlier versions saved none
            self.silence.restore(state["silence"], ago)

    def _restore_adaptive(self, state: Mapping[str, Any]) -> None:
        if self.adaptive is not None and "adaptive" in state:
            self.adaptive.restore(state["adaptive"])

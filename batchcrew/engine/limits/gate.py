"""How many executions of one crew may be in flight, and what holds its kickoffs back."""

import math
import random
from collections.abc import Mapping
from typing import Any

from batchcrew.base.clock import Clock
from batchcrew.config.settings import BreakerSettings
from batchcrew.config.values import Rate
from batchcrew.engine.limits.breaker import Breaker
from batchcrew.engine.limits.rate_limiter import RateLimiter
from batchcrew.engine.observe.polling import Silence
from batchcrew.engine.retry import jittered

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_OWN_SECONDS = 10.0
"""Most that is waited on top of what the server asks for: `Retry-After: 0` for ever is no reason to ask for ever."""
WARN_EVERY_SECONDS = 60.0
MOST_ROUNDS = 8
"""Rounds of accepted kickoffs, at most, before a crew that said 429 is tried with one slot more."""


class Gate:
    """What holds back the kickoffs of one crew.

    Slots: at most `slots` executions in flight; a slot is held from before the kickoff to the end.
    A server that says 429 cuts the slots in use to what it did accept and pauses kickoffs; then the limit
    grows by one after some rounds of accepted kickoffs, more of them each time it says 429 again. A server
    that cannot be reached, or says 503, pauses them. A crew whose calls go wrong again and again is only probed.

    Args:
        burst: see `RateLimiter`.
    """

    def __init__(
        self,
        name: str,
        *,
        slots: int,
        rate: Rate | None,
        breaker: BreakerSettings,
        clock: Clock,
        rng: random.Random,
        burst: bool = False,
    ) -> None:
        self.name = name
        self.slots = slots
        self.limit = slots
        self.pace = RateLimiter(rate, clock, burst=burst)
        self.kickoffs = Breaker("kickoffs", breaker, clock=clock, rng=rng)
        self.questions = Breaker("status requests", breaker, clock=clock, rng=rng)
        self.executions = Breaker("executions", breaker, clock=clock, rng=rng)
        """Told of only where `breaker.on` names crew_error."""
        self.silence = Silence(clock, give_up=breaker.give_up)
        """Of the status requests; it decides while their breaker is closed."""
        self.in_use = 0
        self.accepted_in_flight = 0
        self.ready = False
        """Set once the crew was asked for its inputs and what was in doubt is settled."""
        self.required: tuple[str, ...] = ()
        """The inputs that the crew requires."""
        self.idempotent = False
        self.exhausted = False
        """Nothing is pending now; a retry may fall due, or a job may come back."""
        self.spent = False
        """The crew's month is spent: nothing of it starts in this run."""
        self.came_back = 0
        """Jobs that became pending again: tells whether `exhausted` was found out before or after."""
        self._clock = clock
        self._rng = rng
        self._paused_until = -math.inf
        self._asked_until = -math.inf
        """The part of the pause that the server asked for (Retry-After)."""
        self._pause = 0.0
        self._cut_at = -math.inf
        self._round = 0
        self._rounds = 1
        self._warned_at = -math.inf
        self.silent_since: float | None = None
        """Monotonic moment since when the crew could not be reached, without a single success."""
        self.was_reached = False
        """It has answered in this run, or an earlier tick: from then on `breaker.give_up` says when it is given up."""

    def room(self) -> float:
        """How many kickoffs may leave now."""
        if not self.ready or self._clock.monotonic() < self._paused_until:
            return 0
        if self.questions.is_open and self.in_use:  # the questions that are asked anyway are its probes
            return 0
        probes = min(breaker.room() for breaker in self.breakers)
        return max(0, min(self.limit - self.in_use, self.pace.allowed(), probes))

    def opens_in(self) -> float | None:
        """Seconds until time alone makes room; None when a slot must be given back, or an answer come, first."""
        if not self.ready or self.in_use >= self.limit or (self.questions.is_open and self.in_use):
            return None
        probes = [breaker.opens_in() for breaker in self.breakers]
        if None in probes:
            return None
        waits = [wait for wait in probes if wait is not None]
        return max(0.0, self._paused_until - self._clock.monotonic(), self.pace.wait_seconds(), *waits)

    @property
    def breakers(self) -> tuple[Breaker, ...]:
        return (self.kickoffs, self.questions, self.executions)

    def ill(self) -> Breaker | Silence | None:
        """What has failed for too long, if anything."""
        if not self.questions.is_open and not self.silence.gives_up_in():
            return self.silence
        return next((breaker for breaker in self.breakers if breaker.gives_up_in() == 0), None)

    def gives_up_in(self) -> float:
        """Seconds until something has, `inf` while all is well."""
        waits = [wait for breaker in self.breakers if (wait := breaker.gives_up_in()) is not None]
        if not self.questions.is_open:
            waits.append(self.silence.gives_up_in())
        return min(waits, default=math.inf)

    def start_over(self) -> None:
        """The run gives the crew up; the next one has as much patience again."""
        self.silence.start_over()
        for breaker in self.breakers:
            breaker.start_over()

    def take(self, slots: int) -> None:
        """So many kickoffs are about to leave."""
        self.in_use += slots
        self.pace.spend(slots)
        for breaker in self.breakers:
            breaker.take()

    def take_up(self) -> None:
        """An execution of an earlier run holds a slot, even above the limit."""
        self.in_use += 1
        self.accepted_in_flight += 1

    def give_back(self, *, accepted: bool) -> None:
        """An attempt ended."""
        self.in_use -= 1
        if accepted:
            self.accepted_in_flight -= 1

    def accepted(self) -> None:
        """A kickoff was accepted."""
        self.accepted_in_flight += 1
        self.reached()
        self._pause = 0.0
        if self.limit < self.slots:
            self._round += 1
            if self._round >= self._rounds * self.limit:
                self.limit += 1
                self._round = 0

    def job_came_back(self) -> None:
        """A job of this crew is pending again."""
        self.exhausted = self.spent
        self.came_back += 1

    def reached(self) -> None:
        """The server answered at all."""
        self.silent_since = None
        self.was_reached = True

    def busy(self, retry_after: float | None, *, sent_at: float, too_many: bool) -> None:
        """The server refused a kickoff for now.

        Args:
            sent_at: monotonic, when that kickoff left.
            too_many: it said 429, which is about how much we ask of it; other refusals only pause.
        """
        self.reached()
        if sent_at < self._cut_at:  # it left before the last pause, which answered it already
            return
        if too_many:
            # what it has accepted so far may still be on its way to us: never below half at once
            self.limit = max(1, min(self.limit, max(self.accepted_in_flight, self.limit // 2)))
            self._round = 0
            # a server whose limit stays is asked for more ever less often
            self._rounds = min(self._rounds * 2, MOST_ROUNDS)
        self._pause_for(retry_after)
        self._cut_at = self._clock.monotonic()

    def no_descriptor(self, *, sent_at: float) -> None:
        """This machine could open no connection: hold fewer of them, and try again soon.

        It says nothing about the server: neither its pauses grow, nor is it silent.
        """
        if sent_at < self._cut_at:
            return
        self.limit = max(1, min(self.limit, max(self.accepted_in_flight, self.limit // 2)))
        self._round = 0
        self._rounds = min(self._rounds * 2, MOST_ROUNDS)
        self._cut_at = self._clock.monotonic()
        self._paused_until = max(self._paused_until, self._cut_at + jittered(FIRST_PAUSE_SECONDS, self._rng))

    def not_sent(self, *, sent_at: float) -> None:
        """The server could not be reached."""
        now = self._clock.monotonic()
        if self.silent_since is None:
            self.silent_since = sent_at
        if sent_at >= self._cut_at:
            self._pause_for(None)
            self._cut_at = now

    def pause_seconds(self) -> float:
        """What is left of the pause."""
        return max(0.0, self._paused_until - self._clock.monotonic())

    def should_warn(self) -> bool:
        """True at most once a minute: a long pause is one line, not a thousand."""
        now = self._clock.monotonic()
        if now - self._warned_at < WARN_EVERY_SECONDS:
            return False
        self._warned_at = now
        return True

    def _pause_for(self, seconds: float | None) -> None:
        self._pause = min(max(FIRST_PAUSE_SECONDS, self._pause * 2), LONGEST_PAUSE_SECONDS)
        own = jittered(self._pause, self._rng)
        # what the server asks for is kept and only lengthened, by jitter and where it says "at once" again and again
        wait = own if seconds is None else max(seconds * self._rng.uniform(1.0, 1.1), min(own, LONGEST_OWN_SECONDS))
        self._paused_until = max(self._paused_until, self._clock.monotonic() + wait)
        if seconds is not None:
            self._asked_until = max(self._asked_until, self._clock.monotonic() + seconds)

    # From one tick to the next

    def saved(self) -> dict[str, Any]:
        """What the next tick, or a run that follows soon, needs; moments as seconds from now."""
        return {
            "pause": self._pause,
            "paused_for": self.pause_seconds(),
            "asked_for": max(0.0, self._asked_until - self._clock.monotonic()),
            "pace": self.pace.next_in(),
            "limit": self.limit,
            "round": self._round,
            "rounds": self._rounds,
            "silent_for": None if self.silent_since is None else self._clock.monotonic() - self.silent_since,
            "was_reached": self.was_reached,
            "breakers": [breaker.saved() for breaker in self.breakers],
            "silence": self.silence.saved(),
        }

    def restore_pauses(self, state: Mapping[str, Any], ago: float) -> None:
        """Keep what the server asked for (Retry-After) and the rate, as remembered so many seconds ago."""
        self._paused_until = self._asked_until = self._clock.monotonic() + state["asked_for"] - ago
        self.pace.restore(state["pace"], ago)

    def restore(self, state: Mapping[str, Any], ago: float) -> None:
        """Go on as remembered so many seconds ago."""
        self.restore_pauses(state, ago)
        self._paused_until = self._clock.monotonic() + state["paused_for"] - ago
        self._pause, self._round, self._rounds = state["pause"], state["round"], state["rounds"]
        self.limit = min(self.slots, state["limit"])
        self.was_reached = state["was_reached"]
        if state["silent_for"] is not None:
            self.silent_since = self._clock.monotonic() - state["silent_for"] - ago
        for breaker, remembered in zip(self.breakers, state["breakers"], strict=True):
            breaker.restore(remembered, ago)
        if "silence" in state:  # an earlier batchcrew kept none
            self.silence.restore(state["silence"], ago)

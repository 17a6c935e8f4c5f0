"""How many executions may be in flight, and how fast kickoffs may follow each other."""

import math
import random

from batchcrew.clock import Clock
from batchcrew.engine.retry import jittered
from batchcrew.settings import Rate

CATCH_UP_SECONDS = 0.05
"""A loop that was late may send at once what it missed in so much time: only felt above 20 kickoffs/s."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
WARN_EVERY_SECONDS = 60.0
MOST_ROUNDS = 8
"""Rounds of accepted kickoffs, at most, before a crew that said 429 is tried with one slot more."""


class Pace:
    """Kickoffs of a rate, evenly spaced: no window of a period sees more than its count and one."""

    def __init__(self, rate: Rate | None, clock: Clock) -> None:
        self._interval = rate.interval_seconds if rate else 0.0
        self._clock = clock
        self._next = -math.inf

    def allowed(self) -> float:
        """How many kickoffs may leave now (`inf` without a rate)."""
        if not self._interval:
            return math.inf
        now = self._clock.monotonic()
        if now < self._next:
            return 0
        burst = max(1, int(CATCH_UP_SECONDS / self._interval))
        return min(burst, int((now - max(self._next, now - 86400)) / self._interval) + 1)

    def spend(self, kickoffs: int) -> None:
        """So many have left."""
        if self._interval:
            start = max(self._next, self._clock.monotonic() - CATCH_UP_SECONDS)
            if self._next == -math.inf:
                start = self._clock.monotonic()
            self._next = start + kickoffs * self._interval

    def wait_seconds(self) -> float:
        """Until the next may leave."""
        return max(0.0, self._next - self._clock.monotonic()) if self._interval else 0.0


class Gate:
    """What holds back the kickoffs of one crew.

    Slots: at most `slots` executions in flight; a slot is held from before the kickoff to the end.
    A server that says 429 cuts the slots in use to what it did accept and pauses kickoffs; then the limit
    grows by one after some rounds of accepted kickoffs, more of them each time it says 429 again. A server
    that cannot be reached, or says 503, pauses them.
    """

    def __init__(self, name: str, *, slots: int, rate: Rate | None, clock: Clock, chance: random.Random) -> None:
        self.name = name
        self.slots = slots
        self.limit = slots
        self.pace = Pace(rate, clock)
        self.in_use = 0
        self.accepted_in_flight = 0
        self.ready = False
        """Set once the crew was asked for its inputs and what was in doubt is settled."""
        self.idempotent = False
        self.exhausted = False
        """Nothing is pending now; a retry may fall due, or a job may come back."""
        self.spent = False
        """The crew's month is spent: nothing of it starts in this run."""
        self.came_back = 0
        """Jobs that became pending again: tells whether `exhausted` was found out before or after."""
        self._clock = clock
        self._chance = chance
        self._paused_until = -math.inf
        self._pause = 0.0
        self._cut_at = -math.inf
        self._round = 0
        self._rounds = 1
        self._warned_at = -math.inf
        self.silent_since: float | None = None
        """Monotonic moment since when the crew could not be reached, without a single success."""

    def room(self) -> float:
        """How many kickoffs may leave now."""
        if not self.ready or self._clock.monotonic() < self._paused_until:
            return 0
        return max(0, min(self.limit - self.in_use, self.pace.allowed()))

    def opens_in(self) -> float | None:
        """Seconds until time alone makes room; None when a slot must be given back first."""
        if not self.ready or self.in_use >= self.limit:
            return None
        return max(0.0, self._paused_until - self._clock.monotonic(), self.pace.wait_seconds())

    def take(self, slots: int) -> None:
        """So many kickoffs are about to leave."""
        self.in_use += slots
        self.pace.spend(slots)

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
        # what the server asks for is kept; jitter only lengthens it
        wait = jittered(self._pause, self._chance) if seconds is None else seconds * self._chance.uniform(1.0, 1.1)
        self._paused_until = max(self._paused_until, self._clock.monotonic() + wait)

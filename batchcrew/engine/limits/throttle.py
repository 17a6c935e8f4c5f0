"""Throttling: how kickoffs slow down when a crew refuses them for now, or cannot be reached."""

import math
import random
from collections.abc import Mapping
from typing import Any

from batchcrew.base.clock import Clock
from batchcrew.engine.limits.slots import Slots
from batchcrew.engine.retry import jittered

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_OWN_SECONDS = 10.0
"""Most that is added to the wait that the server requests: it may send `Retry-After: 0` with every answer."""
WARN_EVERY_SECONDS = 60.0
MOST_ROUNDS = 8
"""Rounds of accepted kickoffs, at most, before a crew that answered 429 gets one slot more."""


class Throttle:
    """Pauses the kickoffs of one crew, and cuts its slots.

    429 cuts the slots to the number that the server has accepted and pauses kickoffs. The limit then grows by one after
    some rounds of accepted kickoffs, and after more of them each time the server answers 429 again. 503, or a server
    that cannot be reached, only pauses kickoffs.

    Args:
        adapts: False leaves the slots as they are, because `AdaptiveLimit` adjusts them.
    """

    def __init__(self, slots: Slots, *, clock: Clock, rng: random.Random, adapts: bool = True) -> None:
        self._slots = slots
        self._adapts = adapts
        self._clock = clock
        self._rng = rng
        self._paused_until = -math.inf
        self._requested_until = -math.inf
        """The part of the pause that the server requested (Retry-After)."""
        self._pause = 0.0
        self._cut_at = -math.inf
        self._round = 0
        self._rounds = 1
        self._warned_at = -math.inf

    def change(self, *, adapts: bool) -> None:
        """Change whether a 429 cuts the slots."""
        self._adapts = adapts
        self._round = 0

    @property
    def is_open(self) -> bool:
        """Whether kickoffs may leave."""
        return self._clock.monotonic() >= self._paused_until

    def pause_seconds(self) -> float:
        """Return the seconds that are left of the pause."""
        return max(0.0, self._paused_until - self._clock.monotonic())

    def accepted(self) -> None:
        """Record an accepted kickoff: pauses start from the beginning, and the limit may grow."""
        self._pause = 0.0
        if self._adapts and self._slots.limit < self._slots.most:
            self._round += 1
            if self._round >= self._rounds * self._slots.limit:
                self._slots.widen()
                self._round = 0

    def refused(self, retry_after: float | None, *, sent_at: float, too_many: bool) -> bool:
        """Record that the server refused a kickoff for now.

        Args:
            retry_after: seconds that the server requests.
            sent_at: monotonic moment at which that kickoff left.
            too_many: the answer was 429, which is about the number of requests; other refusals only pause.

        Returns:
            False if it left before the last pause, which has dealt with it.
        """
        if sent_at < self._cut_at:
            return False
        if too_many:
            self._cut()
        self._pause_for(retry_after)
        self._cut_at = self._clock.monotonic()
        return True

    def no_descriptor(self, *, sent_at: float) -> None:
        """Record that this machine could not open a connection: use fewer, and try again soon.

        The server is not at fault, so the pauses do not grow.
        """
        if sent_at < self._cut_at:
            return
        self._cut()
        self._cut_at = self._clock.monotonic()
        self._paused_until = max(self._paused_until, self._cut_at + jittered(FIRST_PAUSE_SECONDS, self._rng))

    def not_sent(self, *, sent_at: float) -> None:
        """Record that the server could not be reached."""
        now = self._clock.monotonic()
        if sent_at >= self._cut_at:
            self._pause_for(None)
            self._cut_at = now

    def should_warn(self) -> bool:
        """Return True at most once a minute, so that a long pause is reported in one line."""
        now = self._clock.monotonic()
        if now - self._warned_at < WARN_EVERY_SECONDS:
            return False
        self._warned_at = now
        return True

    def saved(self) -> dict[str, Any]:
        """Return the state for the next run; moments are seconds from now."""
        return {
            "pause": self._pause,
            "paused_for": self.pause_seconds(),
            "asked_for": max(0.0, self._requested_until - self._clock.monotonic()),
            "limit": self._slots.limit,
            "round": self._round,
            "rounds": self._rounds,
        }

    def restore_requested(self, state: Mapping[str, Any], ago: float) -> None:
        """Restore the pause that the server requested, as it was saved `ago` seconds ago."""
        self._paused_until = self._requested_until = self._clock.monotonic() + state["asked_for"] - ago

    def restore(self, state: Mapping[str, Any], ago: float) -> None:
        """Restore everything, as it was saved `ago` seconds ago."""
        self.restore_requested(state, ago)
        self._paused_until = self._clock.monotonic() + state["paused_for"] - ago
        self._pause, self._round, self._rounds = state["pause"], state["round"], state["rounds"]
        if self._adapts:
            self._slots.restore(state["limit"])

    def _cut(self) -> None:
        if not self._adapts:
            return
        self._slots.cut()
        self._round = 0
        # a server whose own limit does not change gets one slot more less and less often
        self._rounds = min(self._rounds * 2, MOST_ROUNDS)

    def _pause_for(self, seconds: float | None) -> None:
        self._pause = min(max(FIRST_PAUSE_SECONDS, self._pause * 2), LONGEST_PAUSE_SECONDS)
        own = jittered(self._pause, self._rng)
        # the server's wait is never shortened: it is extended by jitter, and if the server repeatedly requests none
        wait = own if seconds is None else max(seconds * self._rng.uniform(1.0, 1.1), min(own, LONGEST_OWN_SECONDS))
        self._paused_until = max(self._paused_until, self._clock.monotonic() + wait)
        if seconds is not None:
            self._requested_until = max(self._requested_until, self._clock.monotonic() + seconds)

"""One attempt's life: its kickoff, its watching, its outcome. The order of commits is kept here.

The intent is durable before `live` is called (the ledger's claim), the kickoff_id before anything is
done with it, the outcome before its slot is free.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TypedDict

from batchcrew.clock import Clock, from_text
from batchcrew.crew import CrewClient
from batchcrew.engine import retry
from batchcrew.engine.limits import Gate
from batchcrew.engine.polling import Patience, Waits
from batchcrew.engine.stopping import Stop
from batchcrew.events import KickedOff, Observe, Progressed, Warned
from batchcrew.ledger import Ledger
from batchcrew.models import (
    Accepted,
    Attempt,
    BadInputs,
    Busy,
    Doubtful,
    Execution,
    ExecutionState,
    KickoffAnswer,
    NotSent,
    Outcome,
    StopReason,
    Unclear,
    Unusable,
)
from batchcrew.settings import RetrySettings, RunSettings, format_duration

RESENDS = 8
"""How often a kickoff in doubt is sent again to a server that honours its Idempotency-Key."""
LONGEST_RESEND_SECONDS = 30.0


class _Decisions(TypedDict):
    retry: RetrySettings
    chance: random.Random


class Phase(Enum):
    """What may be cut off when a run leaves: everything but a kickoff on the wire."""

    KICKING_OFF = auto()
    WATCHING = auto()


@dataclass(slots=True)
class Life:
    """An attempt in flight."""

    attempt: Attempt
    phase: Phase
    ended: bool = False
    """Its outcome is durable and its slot free."""

    @property
    def accepted(self) -> bool:
        return self.attempt.kickoff_id is not None


class AttemptRunner:
    """Lives attempts of one crew through. Holds nothing of a single attempt."""

    def __init__(
        self,
        *,
        client: CrewClient,
        gate: Gate,
        ledger: Ledger,
        settings: RunSettings,
        stop: Stop,
        clock: Clock,
        chance: random.Random,
        observe: Observe,
        count_kickoff: Callable[[str], None],
    ) -> None:
        self._client = client
        self._gate = gate
        self._ledger = ledger
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._chance = chance
        self._observe = observe
        self._count_kickoff = count_kickoff

    async def kick_off(self, life: Life, *, again: bool = False) -> Outcome | None:
        """From the intent to the outcome; None when the run leaves before the end.

        `again`: an earlier run may have sent it already, so it can be left but not called unsent.
        """
        if self._stop.leaving() or self._stop.reason is StopReason.STOP_AFTER_FAILURES:
            return None if again else retry.rejected("not sent: the run was stopping")
        sent_at = self._clock.monotonic()
        answer = await self._send(life)
        match answer:
            case Accepted(kickoff_id):
                when = await self._ledger.kicked_off(life.attempt, kickoff_id)
                life.attempt = replace(life.attempt, kickoff_id=kickoff_id, kicked_off_at=when)
                self._gate.accepted()
                self._count_kickoff(self._gate.name)
                self._observe(KickedOff(life.attempt))
                return await self.watch(life)
            case Busy(reason, retry_after, too_many):
                self._gate.busy(retry_after, sent_at=sent_at, too_many=too_many)
                self._warn_of_pause(f"asks to slow down ({reason})")
                return retry.rejected(reason)
            case NotSent(reason):
                self._gate.not_sent(sent_at=sent_at)
                self._warn_of_pause(f"cannot be reached ({reason})")
                return retry.rejected(reason)
            case BadInputs(reason):
                self._gate.reached()
                return retry.rejected(reason, for_good=True)
            case Unusable(reason):
                self._give_crew_up(reason)
                return retry.rejected(reason)
            case Doubtful(reason):
                if self._gate.idempotent and self._stop.leaving():
                    return None  # still intended: the next run sends the same key again
                return self.doubt(life.attempt, reason)

    def doubt(self, attempt: Attempt, reason: str) -> Outcome:
        """The kickoff's answer is lost for good."""
        return retry.in_doubt(
            reason,
            charged=attempt.charged,
            delivery=self._settings.delivery,
            retry=self._settings.retry,
            chance=self._chance,
        )

    async def watch(self, life: Life, *, taken_up: bool = False) -> Outcome | None:
        """Ask for the execution's status until it ends; None when the run leaves before."""
        life.phase = Phase.WATCHING
        if self._stop.leaving():
            return None
        attempt, began = life.attempt, self._clock.monotonic()
        waits = Waits(self._settings.poll, self._chance)
        patience = Patience(self._settings.timeout, self._age(attempt))
        wait = waits.first(taken_up=taken_up)
        shown: tuple[object, ...] = ()
        while True:
            remaining = patience.remaining(self._clock.monotonic() - began)
            await self._clock.sleep(min(wait, remaining) if remaining > 0 else wait)
            answer = await self._client.status(attempt.kickoff_id or "")
            watched = self._clock.monotonic() - began
            at_least, execution = None, None
            match answer:
                case Unusable(reason):
                    self._give_crew_up(reason)
                    return None
                case Unclear(_, retry_after):
                    at_least = retry_after
                case Execution(state=ExecutionState.SUCCEEDED | ExecutionState.FAILED):
                    return retry.ended(answer, charged=attempt.charged, **self._decisions())
                case Execution(state=ExecutionState.NOT_FOUND):
                    if patience.is_lost(watched):
                        reason = f"the crew no longer knows kickoff {attempt.kickoff_id}"
                        return retry.lost(reason, charged=attempt.charged, **self._decisions())
                case Execution():
                    execution = answer
                    patience.absent = 0
                    shown = self._show(attempt, execution, shown)
            if patience.is_over(watched, clear=execution is not None):
                timeout = self._settings.timeout
                return retry.timed_out(timeout, execution, charged=attempt.charged, **self._decisions())
            wait = waits.next(at_least=at_least)

    async def _send(self, life: Life) -> KickoffAnswer:
        """POST the kickoff; to a server that honours the key, until its answer is known."""
        for resend in range(RESENDS):
            life.phase = Phase.KICKING_OFF
            answer = await self._client.kickoff(life.attempt)
            if not (isinstance(answer, Doubtful) and self._gate.idempotent) or self._stop.leaving():
                return answer
            # the same key gives the same kickoff_id: asking again is safe, and so is leaving it for the next run
            life.phase = Phase.WATCHING
            await self._clock.sleep(retry.jittered(min(0.5 * 2**resend, LONGEST_RESEND_SECONDS), self._chance))
        life.phase = Phase.KICKING_OFF
        return await self._client.kickoff(life.attempt)

    def _show(self, attempt: Attempt, execution: Execution, shown: tuple[object, ...]) -> tuple[object, ...]:
        seen = (execution.word, execution.current_task, execution.completed_tasks, execution.total_tasks)
        if seen != shown:
            self._observe(Progressed(attempt, execution))
            if seen[1:] != (None, None, None):
                self._ledger.progressed(attempt, execution)
        return seen

    def _decisions(self) -> _Decisions:
        return {"retry": self._settings.retry, "chance": self._chance}

    def _age(self, attempt: Attempt) -> float:
        """Seconds since the kickoff; a clock that was set back between two runs makes nobody younger than new."""
        kicked_off = from_text(attempt.kicked_off_at or attempt.intended_at)
        return max(0.0, (self._clock.now() - kicked_off).total_seconds())

    def _give_crew_up(self, reason: str) -> None:
        self._stop.request(StopReason.CREW_UNUSABLE, f"crew {self._gate.name}: {reason}", leave=True)

    def _warn_of_pause(self, what: str) -> None:
        if self._gate.should_warn():
            pause = format_duration(self._gate.pause_seconds())
            self._observe(Warned(f"crew {self._gate.name} {what}; its next kickoff in {pause}"))

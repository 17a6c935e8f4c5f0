"""One attempt's life: its kickoff, its watching, its outcome. The order of commits is kept here.

The intent is durable before `live` is called (the ledger's claim), the kickoff_id before anything is
done with it, the outcome before its slot is free.
"""

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from typing import TypedDict

from batchcrew.base.clock import Clock, from_text, to_text
from batchcrew.base.errors import NotRecorded
from batchcrew.base.quantities import format_duration
from batchcrew.config.settings import BreakerClass, RetrySettings, RunSettings
from batchcrew.crew import CrewClient
from batchcrew.engine import retry
from batchcrew.engine.limits.breaker import Breaker
from batchcrew.engine.limits.gate import Gate
from batchcrew.engine.missing_inputs import missing_words
from batchcrew.engine.observe.polling import LASTING_TIMES, ExecutionDeadline, PollSchedule, Settling, Silence
from batchcrew.engine.stopping import Stop
from batchcrew.ledger import Ledger
from batchcrew.model.attempt import Attempt, AttemptState, Outcome, Progress, Watch
from batchcrew.model.crew_answers import Accepted, BadInputs, Busy, Doubtful, KickoffAnswer, NotSent, Unclear, Unusable
from batchcrew.model.events import KickedOff, Observe, Progressed, RecordKickoff, Warned, WatchFormerAddress
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.model.run import StopReason

RESENDS = 8
"""How often a kickoff in doubt is sent again to a server that honours its Idempotency-Key."""
LONGEST_RESEND_SECONDS = 30.0


class _Decisions(TypedDict):
    retry: RetrySettings
    rng: random.Random


class Phase(Enum):
    """What may be cut off when a run leaves: everything but a kickoff on the wire."""

    KICKING_OFF = auto()
    WATCHING = auto()


@dataclass(slots=True)
class AttemptTask:
    """An attempt in flight."""

    attempt: Attempt
    phase: Phase
    ended: bool = False
    """Its outcome is durable and its slot free."""
    left: bool = False
    """This run does no more for it; it keeps its slot."""
    maybe_sent: bool = False
    """The crew may have it already, under its key: no refusal says that it was never started."""

    @property
    def accepted(self) -> bool:
        return self.attempt.kickoff_id is not None


@dataclass(slots=True)
class FormerAddress:
    """Where executions of an earlier run were started, if the job file names another address by now.

    What it answers says nothing about the crew's present server, and one that is gone does not end the run.
    """

    client: CrewClient
    url: str
    silence: Silence
    given_up: str | None = None
    """Why this run does not poll it any more."""


class AttemptRunner:
    """InProgress attempts of one crew through. Holds nothing of a single attempt.

    Args:
        former: the crew's former addresses at which executions are still watched.
        once: a tick: what is not due now is left for the next tick.
        count_kickoff: told the crew's name at each kickoff that was accepted.
        wake: set when the loop should look again at what may start.
    """

    def __init__(
        self,
        *,
        client: CrewClient,
        gate: Gate,
        ledger: Ledger,
        settings: RunSettings,
        stop: Stop,
        clock: Clock,
        rng: random.Random,
        observe: Observe,
        count_kickoff: Callable[[str], None],
        wake: asyncio.Event,
        once: bool = False,
        former: Mapping[str, FormerAddress] | None = None,
    ) -> None:
        self._client = client
        self._former = former or {}
        self._gate = gate
        self._ledger = ledger
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._rng = rng
        self._observe = observe
        self._count_kickoff = count_kickoff
        self._wake = wake
        self._once = once
        self._longest_wait = 0.0 if once else math.inf

    async def kick_off(self, life: AttemptTask, *, again: bool = False) -> Outcome | None:
        """From the intent to the outcome; None when the run leaves before the end.

        `again`: an earlier run may have sent it already, so it can be left but not called unsent.
        """
        if self._stop.leaving() or self._stop.reason is StopReason.STOP_AFTER_FAILURES:
            return None if again else retry.rejected("not sent: the run was stopping")
        missing = [] if again else [name for name in self._gate.required if name not in life.attempt.inputs]
        if missing:  # a job whose inputs changed while it was in progress, claimed before they were checked
            return retry.rejected(missing_words(missing, list(life.attempt.inputs)), for_good=True)
        life.maybe_sent = again
        sent_at = self._clock.monotonic()
        answer = await self._send(life)
        match answer:
            case Accepted(kickoff_id):
                await self._accept(life, kickoff_id)
                return await self.watch(life)
            case Busy(reason, retry_after, too_many):
                self._gate.busy(retry_after, sent_at=sent_at, too_many=too_many)
                if too_many:  # it counts what runs, so it is well
                    self._gate.kickoffs.undecided()
                else:
                    self._went_wrong("api", self._gate.kickoffs, reason)
                self._warn_of_pause(f"is busy ({reason})")
                return retry.rejected(reason)
            case NotSent(reason, local=True):
                self._gate.no_descriptor(sent_at=sent_at)
                self._gate.kickoffs.undecided()
                self._warn_of_pause(f"cannot be called right now ({reason})")
                return retry.rejected(reason)
            case NotSent(reason):
                self._gate.not_sent(sent_at=sent_at)
                self._went_wrong("api", self._gate.kickoffs, reason)
                self._warn_of_pause(f"cannot be reached ({reason})")
                return retry.rejected(reason)
            case BadInputs(reason):
                self._gate.reached()
                self._went_well(self._gate.kickoffs)
                return retry.rejected(reason, for_good=True)
            case Unusable(reason):
                self._give_crew_up(reason)
                life.left = life.maybe_sent  # still intended: the next run sends the same key again
                return None if life.left else retry.rejected(reason)
            case Doubtful(reason):
                if self._gate.idempotent and (self._once or self._stop.leaving()):
                    life.left = True
                    return None
                return self.doubt(life.attempt, reason)

    async def _accept(self, life: AttemptTask, kickoff_id: str) -> None:
        """Nothing is done with a kickoff_id before it is durable."""
        attempt = life.attempt
        try:
            when = await self._ledger.kicked_off(attempt, kickoff_id)
        except NotRecorded as error:
            words = f"job {attempt.job_id}: kickoff_id {kickoff_id} could not be written to the ledger"
            if error.spilled:  # paid for, and kept where the next run looks first
                warning = Warned(
                    f"{words}; it is saved in the spill file next to the ledger, and the next run resumes it"
                )
            else:
                warning = Warned(words, action=RecordKickoff(attempt.job_id, kickoff_id))
            self._observe(warning)
            raise
        life.attempt = replace(attempt, kickoff_id=kickoff_id, kicked_off_at=when)
        self._gate.accepted()
        self._went_well(self._gate.kickoffs)
        self._count_kickoff(self._gate.name)
        self._observe(KickedOff(life.attempt))

    def doubt(self, attempt: Attempt, reason: str) -> Outcome:
        """The kickoff's answer is lost for good."""
        return retry.in_doubt(
            reason,
            attempts_used=attempt.attempts_used,
            delivery=self._settings.delivery,
            retry=self._settings.retry,
            rng=self._rng,
        )

    async def watch(self, life: AttemptTask, *, taken_up: bool = False) -> Outcome | None:
        """Poll the execution until it ends; None when the run leaves before, or a tick has polled."""
        life.phase = Phase.WATCHING
        if self._stop.leaving():
            return None
        attempt, began = life.attempt, self._clock.monotonic()
        former = self._former.get(attempt.address or "")
        client = self._client if former is None else former.client
        before = attempt.watch or Watch(asked=0, absent=0, unclear=0, next_at="")
        waits = PollSchedule(self._settings.poll, self._rng, asked=before.asked)
        deadline = ExecutionDeadline(self._settings.timeout, self._age(attempt), before.absent, before.unclear)
        settling = Settling(self._settings.poll, self._rng, since=self._moment(before.empty_since))
        wait = self._first_wait(attempt, waits, taken_up=taken_up)
        asked = 0
        shown = Progress()
        while True:
            remaining = deadline.remaining(self._clock.monotonic() - began)
            wait = min(wait, remaining) if remaining > 0 else wait
            if wait > self._longest_wait:
                self._leave(life, before.asked, asked, deadline, settling, wait)
                return None
            await self._clock.sleep(wait)
            polled_at = self._clock.monotonic()
            answer = await client.status(attempt.kickoff_id or "")
            asked += 1
            watched = self._clock.monotonic() - began
            if isinstance(answer, Unusable):
                self._give_up(former, answer.reason)
                return None
            if isinstance(answer, Unclear):
                if not self._unclear(answer, former, deadline):
                    return None
                wait = waits.next(at_least=answer.retry_after)
            else:
                self._clear(answer, former, deadline)
                if settling.is_open(answer, polled_at):
                    wait = settling.next(self._clock.monotonic())
                else:
                    ended = self._ended(attempt, answer, deadline, settling, watched, polled=polled_at - began)
                    if ended is not None:
                        return ended
                    wait = waits.next()
            shown = self._show(attempt, answer, deadline, shown)

    def _unclear(self, answer: Unclear, former: FormerAddress | None, deadline: ExecutionDeadline) -> bool:
        """Count an answer that is not a status; False when the run does not poll that address any more."""
        deadline.unclear += 1
        if answer.local:
            return True
        if former is None:
            if self._gate.silence.lasts(answer.reason):
                self._wake.set()  # from now on the loop must look when it has lasted for too long
            self._went_wrong("api", self._gate.questions, answer.reason)
            return True
        former.silence.lasts(answer.reason)
        if former.given_up is None and not former.silence.gives_up_in():
            self._give_up(former, str(former.silence))
        elif self._once and deadline.unclear > LASTING_TIMES:
            self._observe(Warned(f"crew {self._gate.name}: {former.url} reports no status for its executions"))
        return former.given_up is None

    def _clear(self, answer: Execution, former: FormerAddress | None, deadline: ExecutionDeadline) -> None:
        """Note that the server says how the execution is, or that it does not know it."""
        deadline.unclear = 0
        if former is None:
            self._gate.silence.ended()
            self._went_well(self._gate.questions)
        else:
            former.silence.ended()
        if answer.state is not ExecutionState.NOT_FOUND:
            deadline.absent = 0

    def _ended(
        self,
        attempt: Attempt,
        execution: Execution,
        deadline: ExecutionDeadline,
        settling: Settling,
        watched: float,
        *,
        polled: float,
    ) -> Outcome | None:
        match execution.state:
            case ExecutionState.SUCCEEDED | ExecutionState.FAILED:
                return retry.ended(execution, attempts_used=attempt.attempts_used, **self._decisions())
            case ExecutionState.NOT_FOUND if not deadline.is_lost(watched):
                return None
            case ExecutionState.NOT_FOUND if settling.completed is not None:
                return retry.ended(settling.completed, attempts_used=attempt.attempts_used, **self._decisions())
            case ExecutionState.NOT_FOUND:
                reason = f"the crew no longer knows kickoff {attempt.kickoff_id}"
                return retry.lost(
                    reason,
                    attempts_used=attempt.attempts_used,
                    delivery=self._settings.delivery,
                    attached=attempt.attached,
                    **self._decisions(),
                )
            case _ if deadline.is_over(polled):
                timeout = self._settings.timeout
                return retry.timed_out(timeout, execution, attempts_used=attempt.attempts_used, **self._decisions())
            case _:
                return None

    def _first_wait(self, attempt: Attempt, waits: PollSchedule, *, taken_up: bool) -> float:
        if not taken_up:
            return waits.next()
        if not self._once:
            return waits.spread()
        if attempt.watch is None:
            return max(0.0, self._settings.poll.initial - self._age(attempt))
        return max(0.0, (from_text(attempt.watch.next_at) - self._clock.now()).total_seconds())

    def _leave(
        self, life: AttemptTask, before: int, asked: int, deadline: ExecutionDeadline, settling: Settling, wait: float
    ) -> None:
        """A tick does not wait: record for the next one when the execution is due."""
        life.left = True
        if asked:
            empty_since = None
            if settling.since is not None:
                ago = timedelta(seconds=self._clock.monotonic() - settling.since)
                empty_since = to_text(self._clock.now() - ago)
            watch = Watch(
                asked=before + asked,
                absent=deadline.absent,
                unclear=deadline.unclear,
                next_at=to_text(self._clock.now() + timedelta(seconds=wait)),
                empty_since=empty_since,
            )
            self._ledger.watched(life.attempt, watch)

    def _moment(self, text: str | None) -> float | None:
        """The monotonic moment of a moment in the ledger."""
        if text is None:
            return None
        return self._clock.monotonic() - (self._clock.now() - from_text(text)).total_seconds()

    def learn(self, attempt: Attempt, outcome: Outcome) -> None:
        """What an attempt's end says about its crew's health."""
        gate = self._gate
        if attempt.kickoff_id is None:
            gate.questions.undecided()  # it was to be the execution that is asked about
        match outcome.attempt_state:
            case AttemptState.SUCCEEDED:
                self._went_well(gate.executions)
            case AttemptState.FAILED | AttemptState.LOST | AttemptState.TIMED_OUT:
                self._went_wrong("crew_error", gate.executions, outcome.reason or "")
            case _:
                gate.executions.undecided()

    def _went_well(self, breaker: Breaker) -> None:
        if breaker.succeeded():
            self._wake.set()
            self._observe(Warned(f"crew {self._gate.name}: {breaker.what} succeed again; kickoffs resume"))

    def _went_wrong(self, kind: BreakerClass, breaker: Breaker, reason: str) -> None:
        if kind in self._settings.breaker.on and breaker.failed(reason):
            self._wake.set()
            pause = format_duration(breaker.opens_in() or 0.0)
            self._observe(Warned(f"crew {self._gate.name}: {breaker}; kickoffs are paused, next probe in {pause}"))

    async def _send(self, life: AttemptTask) -> KickoffAnswer:
        """POST the kickoff; to a server that honours the key, until its answer is known.

        An attempt that may be with the crew already is not ended by a refusal, or by a server that is away: a new
        attempt would be paid for beside it.
        """
        for resend in range(RESENDS + 1):
            life.phase = Phase.KICKING_OFF
            sent_at = self._clock.monotonic()
            answer = await self._client.kickoff(life.attempt)
            if isinstance(answer, Doubtful):
                life.maybe_sent = True
            if not life.maybe_sent or isinstance(answer, Accepted | BadInputs | Unusable):
                return answer
            if not (isinstance(answer, NotSent) and answer.local):
                self._went_wrong("api", self._gate.kickoffs, answer.reason)
            wait = min(0.5 * 2**resend, LONGEST_RESEND_SECONDS)
            if isinstance(answer, Busy):
                self._gate.busy(answer.retry_after, sent_at=sent_at, too_many=answer.too_many)
                wait = max(wait, answer.retry_after or 0.0)
            if not self._gate.idempotent or resend == RESENDS or self._once or self._stop.leaving():
                return Doubtful(answer.reason)
            # the same key gives the same kickoff_id: asking again is safe, and so is leaving it for the next run
            life.phase = Phase.WATCHING
            await self._clock.sleep(retry.jittered(wait, self._rng))
        raise AssertionError("the last answer was returned")

    def _show(
        self, attempt: Attempt, answer: Execution | Unclear, deadline: ExecutionDeadline, shown: Progress
    ) -> Progress:
        """Report what has changed since the last poll; an answer that is not a status only once it lasts."""
        if isinstance(answer, Unclear):
            seen = replace(shown, unclear_answer=answer.reason if deadline.unclear >= LASTING_TIMES else None)
        elif answer.state is ExecutionState.NOT_FOUND:
            seen = replace(shown, unclear_answer=answer.word if deadline.absent else None)
        else:
            seen = Progress(
                status_word=answer.word,
                current_task=answer.current_task,
                completed_tasks=answer.completed_tasks,
                total_tasks=answer.total_tasks,
            )
            if seen != shown:
                self._observe(Progressed(attempt, answer))
        if seen != shown:
            self._ledger.progressed(attempt, seen)
        return seen

    def _decisions(self) -> _Decisions:
        return {"retry": self._settings.retry, "rng": self._rng}

    def _age(self, attempt: Attempt) -> float:
        """Seconds since the kickoff; a clock that was set back between two runs makes nobody younger than new."""
        kicked_off = from_text(attempt.kicked_off_at or attempt.intended_at)
        return max(0.0, (self._clock.now() - kicked_off).total_seconds())

    def _give_up(self, former: FormerAddress | None, reason: str) -> None:
        """Poll no more in this run: of the crew's former address only, or of the crew."""
        if former is None:
            self._give_crew_up(reason)
        elif former.given_up is None:
            former.given_up = reason
            left = f"crew {self._gate.name}: executions at {former.url} are left for the next run: {reason}"
            self._observe(Warned(left, action=WatchFormerAddress(self._gate.name, former.url)))

    def _give_crew_up(self, reason: str) -> None:
        self._stop.request(StopReason.CREW_UNUSABLE, f"crew {self._gate.name}: {reason}", leave=True)

    def _warn_of_pause(self, what: str) -> None:
        if self._gate.should_warn():
            pause = format_duration(self._gate.pause_seconds())
            self._observe(Warned(f"crew {self._gate.name} {what}; next kickoff in {pause}"))

"""One attempt in progress, from its intent to its outcome. The order of commits is kept here.

The intent is durable before an `AttemptTask` exists (the ledger's claim), the kickoff_id before anything is done with
it, and the outcome before the slot is free.
"""

import asyncio
from dataclasses import replace
from enum import Enum, auto

from batchcrew.base.clock import to_text
from batchcrew.base.errors import NotRecorded
from batchcrew.base.quantities import format_duration
from batchcrew.engine import retry
from batchcrew.engine.context import RunContext
from batchcrew.engine.crew_lane import CrewLane
from batchcrew.engine.following import AwaitsPerson, Decisions, Following, decisions
from batchcrew.engine.limits.slots import Permit
from batchcrew.engine.missing_inputs import missing_message
from batchcrew.engine.observe.choice import Watchers, age_of
from batchcrew.engine.webhooks import Mailbox
from batchcrew.model.attempt import Attempt, AttemptState, Outcome
from batchcrew.model.control import Given
from batchcrew.model.crew_answers import (
    Accepted,
    BadInputs,
    Busy,
    Doubtful,
    Finished,
    KickoffAnswer,
    NotSent,
    NotStarted,
    Unusable,
)
from batchcrew.model.events import KickedOff, KickoffSent, RecordKickoff
from batchcrew.model.run import StopReason

RESENDS = 8
"""How often a kickoff in doubt is sent again to a server that honours its Idempotency-Key."""
LONGEST_RESEND_SECONDS = 30.0


class Phase(Enum):
    """The phase of an attempt. When a run leaves, it waits only for kickoffs that were sent and not answered."""

    KICKING_OFF = auto()
    WATCHING = auto()


class AttemptTask:
    """An attempt in progress: owns its permit, its phase and its deadline.

    Args:
        permit: the attempt's slot.
        lane: its crew.
        watchers: chooses how its execution is watched.
        maybe_sent: an earlier run may have sent the kickoff already.
        resend: the kickoff may be sent again, because the crew honours its key.
    """

    def __init__(
        self,
        attempt: Attempt,
        permit: Permit,
        lane: CrewLane,
        context: RunContext,
        watchers: Watchers,
        *,
        maybe_sent: bool = False,
        resend: bool = True,
    ) -> None:
        self.attempt = attempt
        self.lane = lane
        self.phase = Phase.KICKING_OFF if attempt.kickoff_id is None else Phase.WATCHING
        self._permit = permit
        self._context = context
        self._watchers = watchers
        self._resumed = maybe_sent
        self._resend = resend
        self._box: Mailbox | None = None
        self._maybe_sent = maybe_sent
        """The crew may already have it under its key, so a refusal does not show that it was never started."""
        self._left = False
        self._ended = False
        self._let_go: Given | None = None
        self._following = Following(attempt, lane, context, watchers)

    @property
    def waits_for_result(self) -> bool:
        """Whether its kickoff waits for the result of the execution; ending it would lose a paid result."""
        return self.phase is Phase.KICKING_OFF and self.lane.client.answers_with_results

    @property
    def can_be_let_go(self) -> bool:
        """Whether its kickoff has its answer, and its execution has not ended yet."""
        return self.phase is Phase.WATCHING and not self._ended

    def apply_timeout(self) -> None:
        """Use a `run.timeout` that was set meanwhile."""
        self._following.apply_timeout()

    def let_go(self, given: Given) -> None:
        """End with the outcome `cancelled` once the task is cancelled, or once the kickoff was answered."""
        self._let_go = given

    async def run(self) -> Outcome | AwaitsPerson | None:
        """Kick off, unless that was done before, and watch. Call it once.

        Returns:
            The outcome, which is not durable yet; or that the execution waits for human input. None: this run leaves
            the attempt to the next one.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        webhooks = self._context.webhooks if self.lane.client.requests_webhooks else None
        if webhooks is not None:
            self._box = webhooks.open(self.attempt)
        try:
            kicked_off = self.attempt.kickoff_id is not None
            outcome = await (self._watch(resumed=True) if kicked_off else self._kick_off())
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._let_go is None or task is None:
                raise
            task.uncancel()
            outcome = retry.let_go(self._let_go)
        finally:
            if webhooks is not None:
                webhooks.close(self.attempt)
        self._ended = True
        return await self._judged(outcome) if isinstance(outcome, Outcome) else outcome

    @property
    def may_be_found_again(self) -> bool:
        """Whether the kickoff of an earlier run, which may have been sent, named webhooks that this run receives."""
        return self.attempt.webhooks and self._context.webhooks is not None and self.lane.client.requests_webhooks

    def release(self) -> None:
        """Free the slot: the outcome is durable."""
        self._permit.release()

    def abandon(self) -> None:
        """Free the slot of an attempt without an outcome; one that is left to the next tick keeps it in this one."""
        if not self._left and not self._permit.released:
            self._permit.release()

    def take_permit(self) -> Permit:
        """Return the slot of an attempt whose execution waits for human input; its new owner releases it."""
        self._left = True
        return self._permit

    def doubt(self, reason: str) -> Outcome:
        """Return the outcome if the kickoff's answer will never be known."""
        return retry.in_doubt(reason, delivery=self._context.settings.delivery, **self._decisions())

    async def _judged(self, outcome: Outcome) -> Outcome:
        """Return the outcome after the job file's rules have judged its answer, if it has one."""
        judging, execution = self._context.judging, outcome.execution
        if judging is None or execution is None or outcome.attempt_state is not AttemptState.SUCCEEDED:
            return outcome
        verdict = await judging.verdict(self.attempt, execution, self.attempt.inputs)
        return retry.judged(outcome, verdict, **self._decisions())

    # Kickoff

    async def _kick_off(self) -> Outcome | AwaitsPerson | None:
        if unsent := self._why_not_to_send():
            return None if self._resumed else retry.rejected(f"not sent: {unsent}")
        if not self._resend:
            return await self._find_again("an earlier run ended before the answer arrived")
        missing = [] if self._resumed else [name for name in self.lane.required if name not in self.attempt.inputs]
        if missing:  # a job whose inputs changed while it was in progress, claimed before they were checked
            return retry.rejected(missing_message(missing, list(self.attempt.inputs)), for_good=True)
        sent_at, sent = self._context.clock.monotonic(), to_text(self._context.clock.now())
        answer = await self._send()
        match answer:
            case Accepted(kickoff_id, place):
                await self._accept(kickoff_id)
                self.lane.understood("kickoff id", place)
                return await self._watch(resumed=False)
            case Finished():
                return self._finish(answer, sent)
            case Busy() | NotSent():
                self.lane.kickoff_refused(answer, sent_at=sent_at)
                return retry.refused(answer.reason)
            case BadInputs(reason):
                self.lane.inputs_refused()
                return retry.rejected(reason, for_good=True)
            case Unusable(reason):
                self.lane.give_up(reason)
                self._left = self._maybe_sent  # still intended: the next run sends the same key again
                return None if self._left else retry.rejected(reason)
            case NotStarted(reason):
                if self.lane.kickoff_not_started(reason):
                    return retry.rejected(reason)
                return retry.not_started(reason, **self._decisions())
            case Doubtful(reason):
                return await self._find_again(reason)

    async def _find_again(self, reason: str) -> Outcome | AwaitsPerson | None:
        """Wait for a webhook of an execution whose kickoff is in doubt; without one, `delivery` decides."""
        box, context = self._box, self._context
        if self.lane.idempotent and self._resend and self._may_not_resend():
            self._left = True  # the next run sends the same key again
            return None
        if box is None:
            return self.doubt(reason)
        self.phase = Phase.WATCHING
        wait = self._watchers.doubt_seconds(self.attempt)
        left = wait - age_of(self.attempt, context.clock)
        if left > 0 and context.webhooks is not None and context.webhooks.first_in_doubt():
            waits = f"waits up to {format_duration(wait)} for its webhook, then `delivery` decides"
            context.warn(f"job {self.attempt.job_id}: kickoff in doubt ({reason}); it {waits}", lasting=True)
        kickoff_id = await box.kickoff_id(0.0 if context.single_pass else left)
        if kickoff_id is not None and not self.lane.client.is_secret(kickoff_id):
            box.counts.found_again += 1
            await self._accept(kickoff_id)
            return await self._watch(resumed=True)
        if context.single_pass and left > 0:
            self._left = True  # still intended: a later tick decides
            return None
        return self.doubt(f"{reason}; no webhook named its execution within {format_duration(wait)}")

    def _why_not_to_send(self) -> str | None:
        stop = self._context.stop
        if stop.leaving() or stop.reason is StopReason.STOP_AFTER_FAILURES:
            return "the run was stopping"
        if self._context.paused:
            return "the batch was paused"
        return None if self._let_go is None else "the job was cancelled"

    def _finish(self, answer: Finished, sent: str) -> Outcome:
        """Return the outcome of a kickoff that was answered with the result, sent at this moment (UTC text).

        It becomes durable in one transaction: there is no id to record before. A run that is killed until then leaves
        the attempt in doubt.
        """
        self.attempt = replace(self.attempt, kickoff_id=answer.kickoff_id, kicked_off_at=sent, answered_at_once=True)
        self.lane.kickoff_accepted(self._permit)
        self._context.observe(KickedOff(self.attempt))
        self.lane.understood_execution(answer.execution)
        return retry.ended(answer.execution, **self._decisions())

    async def _send(self) -> KickoffAnswer:
        """Send the POST; to a server that honours the key, repeat it until its answer is known.

        A refusal, or a server that is unreachable, does not end an attempt that the crew may have started: a new
        attempt would be paid for in addition.
        """
        clock, lane = self._context.clock, self.lane
        reason: str | None = None
        for resend in range(RESENDS + 1):
            self.phase = Phase.KICKING_OFF
            sent_at = clock.monotonic()
            self._context.observe(KickoffSent(self.attempt, reason))
            answer = await lane.client.kickoff(self.attempt, within=self._context.settings.timeout)
            if isinstance(answer, Doubtful):
                self._maybe_sent = True
                self._following.keep(self.attempt, answer.body)
            if not self._maybe_sent or isinstance(answer, Accepted | Finished | BadInputs | Unusable):
                return answer
            reason = answer.reason
            lane.kickoff_in_doubt(answer, reason, sent_at=sent_at)
            wait = min(0.5 * 2**resend, LONGEST_RESEND_SECONDS)
            if isinstance(answer, Busy):
                wait = max(wait, answer.retry_after or 0.0)
            if not lane.idempotent or resend == RESENDS or self._may_not_resend():
                return Doubtful(reason)
            # the same key gets the same kickoff_id, so it can be sent again, now or by the next run
            self.phase = Phase.WATCHING
            await clock.sleep(retry.jittered(wait, self._context.rng))
        raise AssertionError("the last answer was returned")

    def _may_not_resend(self) -> bool:
        return self._context.single_pass or self._context.stop.leaving() or self._context.paused

    async def _accept(self, kickoff_id: str) -> None:
        """Make the kickoff_id durable before anything is done with it."""
        attempt = self.attempt
        try:
            when = await self._context.ledger.kicked_off(attempt, kickoff_id)
        except NotRecorded as error:
            message = f"job {attempt.job_id}: kickoff_id {kickoff_id} could not be written to the ledger"
            if error.spilled:  # paid for, and saved in the file that the next run reads first
                saved = "it is saved in the spill file next to the ledger, and the next run resumes it"
                self._context.warn(f"{message}; {saved}")
            else:
                self._context.warn(message, action=RecordKickoff(attempt.job_id, kickoff_id))
            raise
        self.attempt = replace(attempt, kickoff_id=kickoff_id, kicked_off_at=when)
        if self._box is not None:
            self._box.accept(kickoff_id)
        self.lane.kickoff_accepted(self._permit)
        self._context.observe(KickedOff(self.attempt))

    # Watching

    async def _watch(self, *, resumed: bool) -> Outcome | AwaitsPerson | None:
        """Follow the execution until it ends. None: the run leaves earlier, or a tick has polled it."""
        self.phase = Phase.WATCHING
        if self._context.stop.leaving():
            return None
        if self._let_go is not None:
            return retry.let_go(self._let_go)
        outcome = await self._following.until_end(self.attempt, self._box, resumed=resumed)
        self._left = self._left or self._following.left
        return outcome

    def _decisions(self) -> Decisions:
        return decisions(self.attempt, self._context)

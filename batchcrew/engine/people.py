"""Watch executions that wait for human input. They occupy no task and no slot, and are polled slowly.

The ledger has them, so that memory does not grow with their number. An execution is watched again, in a slot, as soon
as it does not wait any more: because `batchcrew answer` has delivered a decision, or a poll notices one that was given
elsewhere.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TypeAlias

from batchcrew.base.clock import from_text, to_text
from batchcrew.engine.attempt import AttemptTask
from batchcrew.engine.context import RunContext
from batchcrew.engine.crew_lane import CrewLane
from batchcrew.engine.following import AwaitsPerson
from batchcrew.engine.limits.slots import Permit
from batchcrew.engine.retry import jittered, waited_too_long
from batchcrew.model.attempt import Attempt, Outcome
from batchcrew.model.crew_answers import Unclear, Unusable
from batchcrew.model.events import Polled, WaitEnded, WaitStarted
from batchcrew.model.execution import Execution, ExecutionState, Question
from batchcrew.model.waits import Wait

LOOK_SECONDS = 1.0
"""How often the ledger is read for decisions that were delivered meanwhile."""
AT_ONCE = 5
"""Executions that are polled at the same time."""

Resume: TypeAlias = Callable[[Attempt, Permit, Outcome | None], None]
"""Watches an execution again, in this slot; or records the outcome of one that has waited too long."""


class WaitingJobs:
    """The waiting jobs of a run.

    Args:
        stay: the run ends only when no job waits any more (`--wait`).
        changed: set when the rest of the run's work may be different.
        resume: watches an execution again.
    """

    def __init__(
        self,
        context: RunContext,
        lanes: Mapping[str, CrewLane],
        *,
        stay: bool,
        changed: asyncio.Event,
        resume: Resume,
    ) -> None:
        self._context = context
        self._lanes = lanes
        self._stay = stay
        self._changed = changed
        self._resume = resume
        self._held: dict[str, Permit] = {}
        """By attempt: the slots of waiting executions, with `human.hold_slot`."""
        self._polled_all = False
        self._resuming = 0
        """Steps between the commit that an execution waits no longer and its task, which may not be missed."""
        self._some = asyncio.Event()
        """Set once a job waits, or has an answer that no run has noticed."""

    async def begin(self) -> None:
        """Find the executions that wait since an earlier run."""
        context = self._context
        await context.ledger.take_up_answered(context.batch)  # they are among the open attempts
        if not await context.ledger.waiting_now(context.batch):
            self._polled_all = True
            return
        self._some.set()
        if not context.single_pass:
            await context.ledger.poll_waiting_now(context.batch)
        if context.settings.human.hold_slot:
            for attempt_id, crew in await context.ledger.held_slots(context.batch):
                if crew in self._lanes:
                    self._held[attempt_id] = self._lanes[crew].limits.acquire_resumed(accepted=True)

    async def left(self) -> str | None:
        """Return that jobs wait for human input, as the reason why the run ends with work left; None if none waits."""
        waiting = (await self._context.ledger.counts(self._context.batch)).waiting
        if not waiting:
            return None
        jobs = "1 job waits" if waiting == 1 else f"{waiting} jobs wait"
        return f"{jobs} for human input; nothing else is left"

    async def busy(self) -> bool:
        """Return whether the run must not end yet, because of jobs that wait."""
        context = self._context
        if not self._polled_all:
            return True
        if context.single_pass or context.stop.leaving():
            return False
        if await context.ledger.answered_now(context.batch):
            return True  # its execution is watched again at the next look
        stays = self._stay and await self.left() is not None
        return stays or self._resuming > 0  # last: a look may have begun during the queries

    async def park(self, task: AttemptTask, waits: AwaitsPerson) -> None:
        """Record that an attempt's execution waits for human input, and free its slot."""
        attempt = task.attempt
        permit = task.take_permit()
        recorded = await self._record(attempt.attempt_id, waits.question, waits.requested_at)
        if not recorded:  # it was answered just now
            self._resume(await self._latest(attempt), permit, None)
            return
        if self._context.settings.human.hold_slot:
            self._held[attempt.attempt_id] = permit
        else:
            permit.release()
        self._context.observe(WaitStarted(attempt, waits.question))
        self._some.set()
        self._changed.set()

    async def watch(self) -> None:
        """Poll the waiting executions that are due, and watch those again that do not wait any more.

        It returns only in a tick.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        context = self._context
        while True:
            if not self._polled_all or context.single_pass or self._some.is_set():
                await self._take_up_answered()
                await self._poll_due()
                self._polled_all = True
                self._changed.set()
            if context.single_pass:
                return
            if not self._some.is_set():
                await self._some.wait()
            await context.clock.sleep(LOOK_SECONDS)
            await self._free_slots_of_cancelled()
            self._some.clear()  # before the query, because a job that begins to wait meanwhile sets it again
            if await context.ledger.waiting_now(context.batch):
                self._some.set()
            else:
                await self._take_up_answered()
                self._changed.set()

    async def _take_up_answered(self) -> None:
        context = self._context
        with self._until_watched():
            for attempt_id in await context.ledger.take_up_answered(context.batch):
                attempt = await context.ledger.open_attempt(context.batch, attempt_id)
                if attempt is not None and attempt.crew in self._lanes:
                    self._watch_again(attempt)

    @contextlib.contextmanager
    def _until_watched(self) -> Iterator[None]:
        """Keep the run from ending between the commit and the task."""
        self._resuming += 1
        try:
            yield
        finally:
            self._resuming -= 1
            self._changed.set()

    async def _free_slots_of_cancelled(self) -> None:
        """Free the slots that `human.hold_slot` keeps for jobs which an operator has cancelled."""
        context = self._context
        for attempt_id in [*self._held]:
            if not await context.ledger.is_in_progress(attempt_id):
                self._held.pop(attempt_id).release()
                self._changed.set()

    async def _poll_due(self) -> None:
        context = self._context
        due_by = to_text(context.clock.now())  # of this pass: none is polled twice in it
        while not context.stop.leaving():
            page = await context.ledger.due_waits(context.batch, due_by)
            if not page:
                return
            await self._take_up_answered()
            for start in range(0, len(page), AT_ONCE):
                async with asyncio.TaskGroup() as group:
                    for wait in page[start : start + AT_ONCE]:
                        group.create_task(self._poll(wait))

    async def _poll(self, wait: Wait) -> None:
        context, attempt = self._context, wait.attempt
        lane = self._lanes.get(attempt.crew)
        if lane is None:
            await self._poll_later(attempt)
            return
        server, requested_at = lane.server_of(attempt), context.clock.now()
        answer = await server.client.status(attempt.kickoff_id or "")
        if context.environment.verbose:
            context.observe(Polled(attempt, answer))
        if not await context.ledger.is_in_progress(attempt.attempt_id):  # an operator has cancelled the job meanwhile
            return
        match answer:
            case Unusable(reason):
                server.give_up(reason)
                await self._poll_later(attempt)
            case Unclear():
                server.status_unclear(answer, 1)
                await self._poll_later(attempt)
            case Execution(state=ExecutionState.WAITING_FOR_HUMAN) if not self._too_long(wait):
                server.status_known()
                await self._record(attempt.attempt_id, answer.question or Question(), requested_at)
            case Execution():
                server.status_known()
                with self._until_watched():
                    await context.ledger.wait_ended(attempt.attempt_id)
                    self._watch_again(await self._latest(attempt), self._timed_out(attempt, answer))

    def _too_long(self, wait: Wait) -> bool:
        """Return whether the execution has waited for too long."""
        timeout = self._context.settings.human.timeout
        waited = (self._context.clock.now() - from_text(wait.since)).total_seconds()
        return timeout is not None and waited >= timeout

    def _timed_out(self, attempt: Attempt, execution: Execution) -> Outcome | None:
        """Return the outcome of an execution that still waits after its time."""
        settings = self._context.settings
        if execution.state is not ExecutionState.WAITING_FOR_HUMAN:
            return None
        return waited_too_long(
            settings.human.timeout or 0.0,
            execution,
            attempts_used=attempt.attempts_used,
            retry=settings.retry,
            rng=self._context.rng,
        )

    async def _record(self, attempt_id: str, question: Question, requested_at: datetime) -> bool:
        return await self._context.ledger.wait_began(
            attempt_id, question, requested_at=requested_at, next_poll=self._next_poll()
        )

    async def _poll_later(self, attempt: Attempt) -> None:
        await self._context.ledger.poll_waiting_later(attempt.attempt_id, self._next_poll())

    def _next_poll(self) -> datetime:
        wait = jittered(self._context.settings.human.poll, self._context.rng)
        return self._context.clock.now() + timedelta(seconds=wait)

    async def _latest(self, attempt: Attempt) -> Attempt:
        """Return the attempt with the time that it has waited."""
        return await self._context.ledger.open_attempt(self._context.batch, attempt.attempt_id) or attempt

    def _watch_again(self, attempt: Attempt, outcome: Outcome | None = None) -> None:
        held = self._held.pop(attempt.attempt_id, None)
        lane = self._lanes[attempt.crew]
        self._context.observe(WaitEnded(attempt))
        self._resume(attempt, held or lane.limits.acquire_resumed(accepted=True), outcome)
        self._changed.set()

"""Follow an execution from its kickoff_id to its end: observe it, record its progress, and interpret its answers."""

import asyncio
import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypedDict

from batchcrew.base.serving import INTERRUPTED
from batchcrew.config.settings import RetrySettings
from batchcrew.engine import retry
from batchcrew.engine.context import RunContext
from batchcrew.engine.crew_lane import CrewLane
from batchcrew.engine.observe.choice import Watchers, age_of
from batchcrew.engine.observe.deadline import LASTING_TIMES, ExecutionDeadline
from batchcrew.engine.observe.watcher import NotDue, Observation, Observed, Reported, Watcher
from batchcrew.engine.webhooks import Mailbox
from batchcrew.model.attempt import Attempt, Outcome, Progress, Watch
from batchcrew.model.crew_answers import Unclear, Unusable
from batchcrew.model.events import Polled, Progressed
from batchcrew.model.execution import Execution, ExecutionState, Question

AT_ONCE_SECONDS = 0.001
"""Wait before a poll that is due already."""


class Decisions(TypedDict):
    attempts_used: int
    retry: RetrySettings
    rng: random.Random


def decisions(attempt: Attempt, context: RunContext) -> Decisions:
    """Return what decides whether the job of an attempt is retried, and when."""
    return {"attempts_used": attempt.attempts_used, "retry": context.settings.retry, "rng": context.rng}


@dataclass(frozen=True, slots=True)
class AwaitsPerson:
    """The execution waits for human input, and is no longer watched as one in progress."""

    question: Question
    requested_at: datetime
    """The time of the status request that showed this."""


class Following:
    """Follows the execution of an attempt.

    Args:
        lane: its crew.
        watchers: chooses how the execution is watched.
    """

    def __init__(self, attempt: Attempt, lane: CrewLane, context: RunContext, watchers: Watchers) -> None:
        self.left = False
        """Whether a tick has left the execution to the next one."""
        self._attempt = attempt
        self._lane = lane
        self._context = context
        self._watchers = watchers
        self._watching_since = 0.0
        self._deadline = ExecutionDeadline(context.settings.timeout, 0.0)
        self._shown = Progress()
        self._kept = False
        self._observing: asyncio.Task[Any] | None = None
        """The task while it waits for an observation."""
        self._timeout_changed = False
        self._latest_poll: float | None = None
        """Seconds of watching after which the latest answer was requested; None: there is none."""

    def apply_timeout(self) -> None:
        """Use a `run.timeout` that was set meanwhile at once, and not at the next poll."""
        if self._observing is not None and self._deadline.timeout != self._context.settings.timeout:
            self._timeout_changed = True
            self._observing.cancel()

    async def _next(self, watcher: Watcher) -> Observed:
        """Return the next observation; one whose time has ended by a timeout that was set meanwhile is polled
        immediately."""
        while True:
            within = self._within()
            self._observing = asyncio.current_task()
            try:
                return await watcher.next(within=within)
            except asyncio.CancelledError:
                changed, self._timeout_changed = self._timeout_changed, False
                if not changed or self._observing is None or self._observing.uncancel() > 0:
                    raise
            finally:
                self._observing = None

    def _within(self) -> float:
        before, self._deadline.timeout = self._deadline.timeout, self._context.settings.timeout
        remaining = self._deadline.remaining(self._watched_at(self._context.clock.monotonic()))
        if before != self._deadline.timeout or self._polled_too_early():
            return max(remaining, AT_ONCE_SECONDS)
        return remaining

    def _polled_too_early(self) -> bool:
        """Return whether the latest poll was sent before the deadline, so that its answer does not decide.

        Event loops round the time that they sleep, and wake up to a millisecond too early.
        """
        return self._latest_poll is not None and not self._deadline.is_over(self._latest_poll)

    async def until_end(self, attempt: Attempt, box: Mailbox | None, *, resumed: bool) -> Outcome | AwaitsPerson | None:
        """Observe the execution until it ends, or waits for human input.

        Args:
            attempt: with its kickoff_id.
            box: receives what webhooks report about it; None: no webhooks.
            resumed: an earlier run kicked it off.

        Returns:
            None: the crew cannot be used, or a tick has looked.
        """
        self._attempt = attempt
        clock, before = self._context.clock, attempt.watch
        self._watching_since = clock.monotonic()
        self._deadline = ExecutionDeadline(
            self._context.settings.timeout,
            age_of(self._attempt, clock),
            absent=0 if before is None else before.absent,
            unclear=0 if before is None else before.unclear,
        )
        self._latest_poll = None
        server = self._lane.server_of(self._attempt)
        watcher = self._watchers.watcher(self._attempt, server.client, resumed=resumed, box=box)
        while True:
            observed = await self._next(watcher)
            if isinstance(observed, NotDue):
                self._leave(observed)
                return None
            if isinstance(observed, Reported):
                self._show(observed.added_to(self._shown))
                continue
            self._latest_poll = self._watched_at(observed.requested_at)
            answer = observed.answer
            if self._context.environment.verbose:
                self._context.observe(Polled(self._attempt, answer))
            match answer:
                case Unusable(reason):
                    server.give_up(reason)
                    return None
                case Unclear():
                    self.keep(self._attempt, answer.body)
                    self._deadline.count_unclear()
                    if not server.status_unclear(answer, self._deadline.unclear):
                        return None
                case Execution():
                    self._deadline.count_clear(known=answer.state is not ExecutionState.NOT_FOUND)
                    server.status_known()
                    self._lane.understood_execution(answer)
                    found = self._awaits_person(answer, observed) or self._outcome_of(answer, observed)
                    if found is not None:
                        return found
            self._show(answer)

    def _awaits_person(self, execution: Execution, observation: Observation) -> AwaitsPerson | None:
        """Return that the execution waits for human input, if its job still needs its answer."""
        if execution.state is not ExecutionState.WAITING_FOR_HUMAN or self._attempt.superseded:
            return None
        ago = timedelta(seconds=self._context.clock.monotonic() - observation.requested_at)
        return AwaitsPerson(execution.question or Question(), self._context.clock.now() - ago)

    def _watched_at(self, moment: float) -> float:
        """Return the seconds of watching at a monotonic moment."""
        return moment - self._watching_since

    def _outcome_of(self, execution: Execution, observation: Observation) -> Outcome | None:
        """Return the outcome of an execution that has ended, is lost or has timed out; None while it runs."""
        if observation.settling:
            return None
        match execution.state:
            case ExecutionState.FAILED if self._lane.served and execution.error == INTERRUPTED:
                return retry.interrupted()
            case ExecutionState.NOT_FOUND if self._lane.served:
                return retry.interrupted()
            case ExecutionState.SUCCEEDED | ExecutionState.FAILED:
                return retry.ended(execution, **decisions(self._attempt, self._context))
            case ExecutionState.NOT_FOUND:
                if not self._deadline.is_lost(self._watched_at(self._context.clock.monotonic())):
                    return None
                if observation.completed is not None:
                    return retry.ended(observation.completed, **decisions(self._attempt, self._context))
                return retry.lost(
                    f"the crew no longer knows kickoff {self._attempt.kickoff_id}",
                    delivery=self._context.settings.delivery,
                    attached=self._attempt.attached,
                    **decisions(self._attempt, self._context),
                )
            case _ if self._deadline.is_over(self._watched_at(observation.requested_at)):
                return retry.timed_out(
                    self._context.settings.timeout, execution, **decisions(self._attempt, self._context)
                )
            case _:
                return None

    def _leave(self, due: NotDue) -> None:
        """Record for the next tick when the execution is due."""
        self.left = True
        if due.polls:
            before = self._attempt.watch
            watch = Watch(
                polls=due.polls + (0 if before is None else before.polls),
                absent=self._deadline.absent,
                unclear=self._deadline.unclear,
                next_at=due.next_at,
                empty_since=due.empty_since,
                running_at=due.running_at or (None if before is None else before.running_at),
            )
            self._context.ledger.watched(self._attempt, watch)

    def _show(self, answer: Execution | Unclear) -> None:
        """Report what has changed since the last poll; an answer that is not a status only once it lasts."""
        deadline = self._deadline
        if isinstance(answer, Unclear):
            lasting = deadline.unclear >= LASTING_TIMES
            seen = replace(self._shown, unclear_answer=answer.reason if lasting else None)
        elif answer.state is ExecutionState.NOT_FOUND:
            seen = replace(self._shown, unclear_answer=answer.word if deadline.absent else None)
        else:
            seen = Progress(
                status_word=answer.word,
                current_task=answer.current_task,
                completed_tasks=answer.completed_tasks,
                total_tasks=answer.total_tasks,
            )
            if seen != self._shown:
                self._context.observe(Progressed(self._attempt, answer))
        if seen != self._shown:
            self._context.ledger.progressed(self._attempt, seen)
        self._shown = seen

    def keep(self, attempt: Attempt, body: str) -> None:
        """Record the first answer that was not understood, so that you can read it."""
        if body and not self._kept:
            self._kept = True
            self._context.ledger.not_understood(attempt, body)

"""Watching with webhooks: a webhook brings the next poll forward; without one, polls are a slow safety net."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from batchcrew.base.clock import Clock, to_text
from batchcrew.engine.observe.polling import OnDue, StatusRequests, ignore_due
from batchcrew.engine.observe.watcher import NotDue, Observation, Observed, Reported
from batchcrew.engine.webhooks import Mailbox
from batchcrew.model.execution import Execution, ExecutionState

if TYPE_CHECKING:
    from batchcrew.crew import CrewClient

AFTER_WEBHOOK_SECONDS = (0.1, 0.3, 1.0, 3.0)
"""Waits between polls after a webhook: the status may lag behind it."""
ENDED = frozenset({ExecutionState.SUCCEEDED, ExecutionState.FAILED})
NO_WEBHOOK = "no webhook"


class AnnouncedWatcher:
    """Polls when a webhook reports the end or a wait, and otherwise when the schedule or the safety net requires it.

    Args:
        net: returns the seconds until the safety net polls, or None where the schedule decides.
        on_end: receives whether a webhook announced the end that a poll has found.
        reported: reads the execution that the body of a webhook reports. Only its tokens count, and only where the
            status has none: some crews name them only there.
        on_due: receives the monotonic moment of each poll before it.
    """

    def __init__(
        self,
        requests: StatusRequests,
        box: Mailbox,
        clock: Clock,
        *,
        net: Callable[[], float | None],
        on_end: Callable[[bool], None],
        reported: Callable[[str], Execution | None],
        on_due: OnDue = ignore_due,
    ) -> None:
        self._requests = requests
        self._box = box
        self._clock = clock
        self._net = net
        self._on_end = on_end
        self._reported = reported
        self._token_usage: Mapping[str, Any] | None = None
        self._on_due = on_due
        self._due_at: float | None = None
        self._polls_after: list[float] = []

    async def next(self, *, within: float) -> Observed:
        """Wait for a webhook or for the next poll (see `Watcher.next`)."""
        box, clock = self._box, self._clock
        deadline = clock.monotonic() + within
        while True:
            if (end := box.take_end()) is not None:
                box.counts.used += 1
                execution = self._reported(end.body) if end.body else None
                self._token_usage = execution.token_usage if execution else None
                self._requests.ran_until(box.announced_at)
                self._polls_after = list(AFTER_WEBHOOK_SECONDS)
                return await self._poll()
            if box.take_pause():
                box.counts.used += 1
                self._polls_after = list(AFTER_WEBHOOK_SECONDS)
                return await self._poll()
            if box.take_progress():
                return Reported(completed_tasks=box.completed_tasks, current_task=box.current_task)
            if self._due_at is None:
                self._due_at = clock.monotonic() + self._due_in(within)
            elif within > 0:
                self._due_at = min(self._due_at, deadline)
            self._on_due(self._due_at)
            wait = self._due_at - clock.monotonic()
            if wait <= 0:
                return await self._poll()
            box.changed.clear()
            await clock.wait(box.changed, wait)

    async def _poll(self) -> Observed:
        self._due_at = None
        observation = await self._requests.send()
        answer = observation.answer
        if isinstance(answer, Execution) and answer.state in ENDED and not observation.settling:
            self._on_end(self._box.announced)
            if answer.token_usage is None and self._token_usage is not None:
                return replace(observation, answer=replace(answer, token_usage=self._token_usage))
        return observation

    def _due_in(self, within: float) -> float:
        """Return the seconds until the next poll without a webhook."""
        wait = self._requests.due_in(within)
        latest = self._requests.latest
        if latest is not None and (latest.settling or not isinstance(latest.answer, Execution)):
            return wait
        if self._polls_after:
            return min(wait, self._polls_after.pop(0))
        net = self._net()
        if net is None:
            return wait
        return min(max(wait, net), within) if within > 0 else wait


class TrustingWatcher:
    """Takes the result from a webhook, and never polls (`webhooks: {trust: true}`).

    Args:
        single_pass: True in a tick, which waits for nothing.
    """

    def __init__(
        self, requests: StatusRequests, box: Mailbox, clock: Clock, client: "CrewClient", *, single_pass: bool
    ) -> None:
        self._requests = requests
        self._box = box
        self._clock = clock
        self._client = client
        self._single_pass = single_pass

    async def next(self, *, within: float) -> Observed:
        """Wait for the result; at the deadline, report that the execution still runs (see `Watcher.next`)."""
        box, until = self._box, self._clock.monotonic() + within
        while True:
            end = box.take_end()
            execution = None if end is None else self._client.reported(end.body)
            if execution is not None and execution.state in ENDED:
                box.counts.used += 1
                return replace(self._requests.record(execution, box.announced_at), settling=False)
            if box.take_progress():
                return Reported(completed_tasks=box.completed_tasks, current_task=box.current_task)
            now = self._clock.monotonic()
            if until - now <= 0:
                return Observation(Execution(state=ExecutionState.RUNNING, word=NO_WEBHOOK), now)
            if self._single_pass:
                next_at = to_text(self._clock.now() + timedelta(seconds=until - now))
                return NotDue(polls=0, next_at=next_at, empty_since=None)
            box.changed.clear()
            await self._clock.wait(box.changed, until - now)

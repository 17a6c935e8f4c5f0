"""Polling: status requests, each after a wait."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from batchcrew.base.clock import Clock
from batchcrew.engine.observe.schedule import Schedule
from batchcrew.engine.observe.settling import Settling
from batchcrew.engine.observe.watcher import Observation, Observed
from batchcrew.model.crew_answers import StatusAnswer, Unclear
from batchcrew.model.execution import Execution, ExecutionState

if TYPE_CHECKING:
    from batchcrew.crew import CrewClient


_RAN = Execution(state=ExecutionState.RUNNING, word="")
_RUNS = frozenset({ExecutionState.WAITING, ExecutionState.RUNNING, ExecutionState.WAITING_FOR_HUMAN})


OnDue: TypeAlias = Callable[[float], None]


def ignore_due(at: float) -> None:
    """Ignore when a poll is due."""


class Budget(Protocol):
    """Limits the status requests of one crew."""

    async def acquire(self, due_at: float) -> None:
        """Wait until a status request may be sent that was due at this monotonic moment."""
        ...


class StatusRequests:
    """Sends the status requests of one execution, and decides when the next one is due.

    Args:
        first_wait: seconds before the first request.
        budget: of the crew's status requests.
    """

    def __init__(
        self,
        client: "CrewClient",
        kickoff_id: str,
        *,
        schedule: Schedule,
        settling: Settling,
        clock: Clock,
        first_wait: float,
        budget: Budget,
    ) -> None:
        self._client = client
        self._kickoff_id = kickoff_id
        self._schedule = schedule
        self.settling = settling
        self._clock = clock
        self._first_wait = first_wait
        self._budget = budget
        self.latest: Observation | None = None
        self.sent = 0
        self.running_at: float | None = None
        """Monotonic moment at which the latest answer was requested that reported the execution as running."""

    def due_in(self, within: float) -> float:
        """Return the seconds until the next request is due. Call it once for each request.

        Args:
            within: seconds until the execution's deadline, when an answer is needed too.
        """
        wait = self._first_wait if self.latest is None else self._wait_after(self.latest)
        return min(wait, within) if within > 0 else wait

    async def send(self) -> Observation:
        """Request the status as soon as the crew's budget allows it."""
        await self._budget.acquire(self._clock.monotonic())
        sent_at = self._clock.monotonic()
        answer = await self._client.status(self._kickoff_id)
        self.sent += 1
        return self.record(answer, sent_at)

    def record(self, answer: StatusAnswer, sent_at: float) -> Observation:
        """Return an answer as an observation; it decides when the next request is due.

        Args:
            answer: to a status request, or one that the crew sent without a request.
            sent_at: monotonic moment at which it was requested, or received.
        """
        self._schedule.record(answer, sent_at)
        if isinstance(answer, Execution) and answer.state in _RUNS:
            self.running_at = sent_at
        settling = isinstance(answer, Execution) and self.settling.is_open(answer, sent_at)
        self.latest = Observation(answer, sent_at, settling, self.settling.completed)
        return self.latest

    def ran_until(self, moment: float) -> None:
        """Record that a webhook, which arrived at this monotonic moment, reports the end: it ran until about then."""
        self._schedule.record(_RAN, moment)

    def _wait_after(self, latest: Observation) -> float:
        if latest.settling:
            return self.settling.next(self._clock.monotonic())
        return self._schedule.next(at_least=latest.answer.retry_after if isinstance(latest.answer, Unclear) else None)


class PollingWatcher:
    """Polls an execution until its task stops: how a run watches.

    Args:
        on_due: receives the monotonic moment of each poll before it.
    """

    def __init__(self, requests: StatusRequests, clock: Clock, on_due: OnDue = ignore_due) -> None:
        self._requests = requests
        self._clock = clock
        self._on_due = on_due

    async def next(self, *, within: float) -> Observed:
        """Wait, then poll (see `Watcher.next`)."""
        wait = self._requests.due_in(within)
        self._on_due(self._clock.monotonic() + wait)
        await self._clock.sleep(wait)
        return await self._requests.send()

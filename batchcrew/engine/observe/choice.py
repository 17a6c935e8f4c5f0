"""The choice of a watcher for an execution. A new way to watch, or a new schedule, is chosen here.

`Watchers` exists once for each run: what watchers of several executions share is an attribute of it.
"""

from typing import TYPE_CHECKING

from batchcrew.base.clock import Clock, from_text
from batchcrew.engine.context import RunContext
from batchcrew.engine.observe.polling import PollingWatcher, StatusRequests
from batchcrew.engine.observe.schedule import PollSchedule, Schedule
from batchcrew.engine.observe.settling import Settling
from batchcrew.engine.observe.single_look import SingleLook
from batchcrew.engine.observe.watcher import Watcher
from batchcrew.model.attempt import Attempt

if TYPE_CHECKING:
    from batchcrew.crew import CrewClient


class Watchers:
    """Chooses the watchers of a run."""

    def __init__(self, context: RunContext) -> None:
        self._context = context

    def watcher(self, attempt: Attempt, client: "CrewClient", *, resumed: bool) -> Watcher:
        """Return the watcher of an attempt's execution.

        Args:
            client: of the server that runs the execution.
            resumed: an earlier run has kicked it off.
        """
        context = self._context
        poll, clock, watch = context.settings.poll, context.clock, attempt.watch
        schedule: Schedule = PollSchedule(poll, context.rng, polls=0 if watch is None else watch.asked)
        empty_since = None if watch is None or watch.empty_since is None else _moment(watch.empty_since, clock)
        requests = StatusRequests(
            client,
            attempt.kickoff_id or "",
            schedule=schedule,
            settling=Settling(poll, context.rng, since=empty_since),
            clock=clock,
            first_wait=_first_wait(attempt, schedule, context, resumed=resumed),
        )
        return SingleLook(requests, clock) if context.single_pass else PollingWatcher(requests, clock)


def age_of(attempt: Attempt, clock: Clock) -> float:
    """Return the seconds since the kickoff; 0 where the clock was set back since."""
    kicked_off = from_text(attempt.kicked_off_at or attempt.intended_at)
    return max(0.0, (clock.now() - kicked_off).total_seconds())


def _first_wait(attempt: Attempt, schedule: Schedule, context: RunContext, *, resumed: bool) -> float:
    if not resumed:
        return schedule.next()
    if not context.single_pass:
        return schedule.spread()
    if attempt.watch is None:
        return max(0.0, context.settings.poll.initial - age_of(attempt, context.clock))
    return max(0.0, (from_text(attempt.watch.next_at) - context.clock.now()).total_seconds())


def _moment(text: str, clock: Clock) -> float:
    """Return the monotonic moment of a moment in the ledger."""
    return clock.monotonic() - (clock.now() - from_text(text)).total_seconds()

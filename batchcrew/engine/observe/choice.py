"""The choice of a watcher for an execution. A new way to watch, or a new schedule, is chosen here.

`Watchers` exists once for each run: what watchers of several executions share is an attribute of it.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from batchcrew.base.clock import Clock, from_text
from batchcrew.engine.context import RunContext
from batchcrew.engine.observe.announced import AnnouncedWatcher, TrustingWatcher
from batchcrew.engine.observe.durations import Durations
from batchcrew.engine.observe.learned import CrewDurations, LearnedSchedule, learns
from batchcrew.engine.observe.polling import Budget, PollingWatcher, StatusRequests
from batchcrew.engine.observe.schedule import PollSchedule, Schedule, polled_by
from batchcrew.engine.observe.settling import Settling
from batchcrew.engine.observe.single_look import SingleLook
from batchcrew.engine.observe.watcher import Watcher
from batchcrew.engine.webhooks import Mailbox
from batchcrew.model.attempt import Attempt
from batchcrew.model.events import PollDue

if TYPE_CHECKING:
    from batchcrew.crew import CrewClient

NET_TIMES = 1.5
"""Where webhooks arrive, an execution is polled without one at this multiple of the 99 % duration,"""
NET_SECONDS = 2.0
"""and this much later; then each time its age has grown by NET_GROWTH."""
NET_GROWTH = 0.5
ENOUGH_EXECUTIONS = 10
"""Number of executions of a crew from which on their 99 % duration is used."""
DOUBT_GRACE_SECONDS = 5.0
"""A kickoff in doubt waits this much longer than its execution may take: the webhook may be sent again."""
USUAL = 0.9
"""Share of the executions whose duration is the usual one."""
UNSAVED = 50
"""Number of executions after which their durations are saved."""


class Watchers:
    """Chooses the watchers of a run.

    Args:
        addresses: of the crews, by name; durations are saved by the address of a crew.
        new_budget: makes the budget of a crew's status requests.
    """

    def __init__(self, context: RunContext, addresses: Mapping[str, str], new_budget: Callable[[], Budget]) -> None:
        self._new_budget = new_budget
        self._context = context
        self._addresses = addresses
        self._crews: dict[str, CrewDurations] = {}
        self._budgets: dict[str, Budget] = {}

    async def restore(self) -> None:
        """Read what earlier runs have learned, and record how this run polls."""
        context = self._context
        context.ledger.polls_by(context.run_id, polled_by(context.settings.poll, context.settings.timeout))
        for address, state in (await self._context.ledger.durations(self._addresses.values())).items():
            self._crews[address] = CrewDurations(context.clock, context.settings.poll, Durations.restored(state))

    async def save(self) -> None:
        """Save what this run has learned."""
        learned = {address: crew.durations.saved() for address, crew in self._crews.items() if crew.added}
        for crew in self._crews.values():
            crew.added = 0  # immediately, because other executions end while this is written
        if learned:
            await self._context.ledger.save_durations(learned)

    @property
    def save_is_due(self) -> bool:
        """Whether a run that is killed now would lose many durations."""
        return sum(crew.added for crew in self._crews.values()) >= UNSAVED

    def doubt_seconds(self, attempt: Attempt) -> float:
        """Return how long, after its intent, an attempt in doubt waits for a webhook."""
        context = self._context
        if context.webhooks is None:
            return 0.0
        if context.webhooks.settings.wait is not None:
            return context.webhooks.settings.wait
        durations = self._crew(attempt).durations
        most = durations.quantile(0.99) if durations.count >= ENOUGH_EXECUTIONS else None
        return context.settings.timeout if most is None else min(most + DOUBT_GRACE_SECONDS, context.settings.timeout)

    def usual_seconds(self, crew: str) -> float | None:
        """Return how long most executions of a crew take; None if too few are known."""
        found = self._crews.get(self._addresses[crew])
        return found.durations.quantile(USUAL) if found and found.durations.count >= ENOUGH_EXECUTIONS else None

    def watcher(self, attempt: Attempt, client: "CrewClient", *, resumed: bool, box: Mailbox | None = None) -> Watcher:
        """Return the watcher of an attempt's execution.

        Args:
            client: of the server that runs the execution.
            resumed: an earlier run has kicked it off.
            box: receives its webhooks; None: there are none.
        """
        context = self._context
        poll, clock, watch = context.settings.poll, context.clock, attempt.watch
        schedule = self._schedule(attempt, resumed=resumed)
        empty_since = None if watch is None or watch.empty_since is None else _moment(watch.empty_since, clock)
        paused = box is not None and context.single_pass and box.take_pause()
        announced = box is not None and context.single_pass and (box.announced or paused)
        first_wait = 0.0 if announced else _first_wait(attempt, schedule, context, resumed=resumed)
        requests = StatusRequests(
            client,
            attempt.kickoff_id or "",
            schedule=schedule,
            settling=Settling(poll, context.rng, since=empty_since),
            clock=clock,
            first_wait=first_wait,
            budget=self._budget(attempt),
        )
        webhooks = context.webhooks

        def on_due(at: float) -> None:
            context.observe(PollDue(attempt.attempt_id, at))

        if webhooks is not None and box is not None:
            if webhooks.settings.trust:
                return TrustingWatcher(requests, box, clock, client, single_pass=context.single_pass)
            if not context.single_pass:
                address = self._address(attempt)
                return AnnouncedWatcher(
                    requests,
                    box,
                    clock,
                    net=lambda: self._net(attempt) if webhooks.proven(address) else None,
                    on_end=lambda announced: webhooks.ended(attempt, address, announced=announced),
                    reported=client.reported,
                    on_due=on_due,
                )
            if box.take_end() is not None or paused:
                webhooks.counts.used += 1
        return SingleLook(requests, clock) if context.single_pass else PollingWatcher(requests, clock, on_due)

    def _net(self, attempt: Attempt) -> float:
        """Return the seconds until an execution is polled without a webhook, where webhooks arrive."""
        age = age_of(attempt, self._context.clock)
        most = self._crew(attempt).durations.quantile(0.99)
        first = self._context.settings.poll.max if most is None else NET_TIMES * most + NET_SECONDS
        return first - age if first > age else max(self._context.settings.poll.max, NET_GROWTH * age)

    def _schedule(self, attempt: Attempt, *, resumed: bool) -> Schedule:
        context, watch = self._context, attempt.watch
        poll, clock = context.settings.poll, context.clock
        if not learns(poll):
            return PollSchedule(poll, context.rng, polls=0 if watch is None else watch.polls)
        kicked_off = clock.monotonic() - age_of(attempt, clock)
        running_at = None if resumed else kicked_off
        if watch is not None and watch.running_at is not None:
            running_at = _moment(watch.running_at, clock)
        schedule = LearnedSchedule(
            self._crew(attempt), poll, clock=clock, rng=context.rng, since=kicked_off, running_at=running_at
        )
        if attempt.waited:
            schedule.learn_nothing()  # its time depended on human input
        return schedule

    def _crew(self, attempt: Attempt) -> CrewDurations:
        address = self._address(attempt)
        if address not in self._crews:
            self._crews[address] = CrewDurations(self._context.clock, self._context.settings.poll)
        return self._crews[address]

    def _budget(self, attempt: Attempt) -> Budget:
        address = self._address(attempt)
        if address not in self._budgets:
            self._budgets[address] = self._new_budget()
        return self._budgets[address]

    def _address(self, attempt: Attempt) -> str:
        return attempt.address or self._addresses[attempt.crew]


def age_of(attempt: Attempt, clock: Clock) -> float:
    """Return the seconds since the kickoff without those of waiting for human input; 0 where the clock was set back."""
    kicked_off = from_text(attempt.kicked_off_at or attempt.intended_at)
    return max(0.0, (clock.now() - kicked_off).total_seconds() - attempt.waited)


def _first_wait(attempt: Attempt, schedule: Schedule, context: RunContext, *, resumed: bool) -> float:
    if not resumed:
        return schedule.next()
    if not context.single_pass:
        return schedule.spread()
    if attempt.watch is None:
        return max(0.0, schedule.first() - age_of(attempt, context.clock))
    return max(0.0, (from_text(attempt.watch.next_at) - context.clock.now()).total_seconds())


def _moment(text: str, clock: Clock) -> float:
    """Return the monotonic moment of a moment in the ledger."""
    return clock.monotonic() - (clock.now() - from_text(text)).total_seconds()

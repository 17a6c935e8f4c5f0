"""The loop that starts jobs.

Invariants:
- At most `run.concurrency` attempts are in progress, and at most a crew's own limit on that crew. Those that an earlier
  run left in progress take slots too, even where the limit is lower now.
- Only attempts in progress have a task: memory grows with concurrency.
- A job is claimed (its intent is durable) only when its kickoff may leave at once: a slot is free, and every limit
  allows it.
- The work of an earlier run comes first: executions are watched again, then kickoffs that may have been sent are
  settled, then new jobs start.
- A tick is the same loop without waits: an execution that is not due keeps its slot and is left to the next tick.
"""

import asyncio
import math

from batchcrew.base.clock import from_text
from batchcrew.base.errors import LedgerError, first_error
from batchcrew.base.quantities import format_duration
from batchcrew.crew import crew_address
from batchcrew.engine.attempt import AttemptTask
from batchcrew.engine.capacity import CapacityReport
from batchcrew.engine.context import Crews, RunContext
from batchcrew.engine.control import RunControl
from batchcrew.engine.crew_lane import CrewLane
from batchcrew.engine.draining import stop_at_max_runtime
from batchcrew.engine.earlier_attempts import EarlierAttempts
from batchcrew.engine.following import AwaitsPerson
from batchcrew.engine.in_progress import InProgress
from batchcrew.engine.lanes import make_lanes, next_start, nothing_is_left, resize_lanes, time_to_wake
from batchcrew.engine.limits.budget import month_budget
from batchcrew.engine.limits.poll_budget import PollBudget
from batchcrew.engine.limits.reachability import UNREACHABLE_SECONDS
from batchcrew.engine.limits.run_limits import RunLimits
from batchcrew.engine.limits.slots import Permit
from batchcrew.engine.missing_inputs import check_inputs
from batchcrew.engine.observe.choice import Watchers
from batchcrew.engine.people import WaitingJobs
from batchcrew.engine.preflight import Preflight
from batchcrew.engine.result import EngineResult
from batchcrew.engine.retry import outdated
from batchcrew.engine.what_is_left import stop_for_what_is_left
from batchcrew.model.attempt import Attempt, AttemptState, Outcome
from batchcrew.model.events import AttemptEnded, KickedOff, Stopping
from batchcrew.model.job import JobState
from batchcrew.model.run import StopReason

TICK_SECONDS = 5.0
"""A tick stops polling and starting after this time; it waits only for the answers of kickoffs on the wire."""


class Scheduler:
    """Runs a batch until nothing is left or something stops it.

    Args:
        limit: most kickoffs of this run; None: any number, 0: only watch executions in progress.
        may_start: False kicks nothing off: it is not decided yet what the crews are sent.
        unreachable: seconds without any answer after which a crew is given up.
        wait: the run ends only when no job waits for human input any more.
    """

    def __init__(
        self,
        context: RunContext,
        crews: Crews,
        *,
        limit: int | None = None,
        may_start: bool = True,
        unreachable: float = UNREACHABLE_SECONDS,
        wait: bool = False,
    ) -> None:
        self._context = context
        self._ledger = context.ledger
        self._stop = context.stop
        self._clock = context.clock
        self._crews = crews
        self._may_start = may_start
        self._limits = RunLimits(context, crews, kickoffs=limit)
        self._preflight = Preflight(context.environment, single_pass=context.single_pass)
        self._earlier = EarlierAttempts(context, crews)
        self._changed = asyncio.Event()
        """Set when more jobs may start, or the run may end."""
        self._lanes = make_lanes(context, crews, self._earlier, self._changed, unreachable=unreachable)
        addresses = {name: crew_address(crew) for name, crew in crews.settings.items()}
        self._watchers = Watchers(context, addresses, lambda: PollBudget(context.settings.poll.rate, self._clock))
        self._in_progress = InProgress(self._changed)
        self._in_doubt: dict[str, list[Attempt]] = {}
        """Kickoffs in doubt of earlier runs that are not settled yet, by crew."""
        self._control = RunControl(context, self._in_progress, self._in_doubt, self._changed, self._settings_changed)
        self._capacity = CapacityReport(context, self._lanes.values(), self._limits, self._control)
        self._people = WaitingJobs(context, self._lanes, stay=wait, changed=self._changed, resume=self._watch_again)
        self._preparing: set[asyncio.Task[None]] = set()
        self._unprepared: set[str] = set()
        """Crews that a pause keeps from starting."""
        self._deadline = math.inf
        self._broken: LedgerError | None = None
        self._result = EngineResult()

    async def run(self) -> EngineResult:
        """Return when every job has ended, or when a stop was requested and the executions in progress are dealt with.

        Raises:
            LedgerError: the ledger cannot be written; it has the executions in progress as far as it was written.
        """
        longest = TICK_SECONDS if self._context.single_pass else math.inf
        longest = min(longest, self._context.settings.max_runtime or math.inf)
        self._deadline = self._clock.monotonic() + longest
        limits = {name: lane.limits for name, lane in self._lanes.items()}
        try:
            async with asyncio.TaskGroup() as group:
                leaving = group.create_task(
                    self._in_progress.leave_when_requested(self._stop, self._clock, self._preparing), name="leave"
                )
                controlling = group.create_task(self._control.watch(), name="control")
                try:
                    await self._limits.restore(limits)
                    await self._watchers.restore()
                    await self._work(group)
                except LedgerError as error:
                    self._break(error)
                await self._drain()
                self._earlier.report_given_up()
                leaving.cancel()
                controlling.cancel()
            if self._broken is None:
                await self._control.finish()
                await self._limits.save(limits)
                await self._watchers.save()
        except BaseExceptionGroup as errors:
            raise first_error(errors) from errors
        if self._broken is not None:
            raise self._broken
        for lane in self._lanes.values():
            if lane.kickoffs:
                self._result.count_kickoffs(lane.name, lane.kickoffs)
        return self._result

    async def _work(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        await self._control.apply()
        announcement = await self._limits.read()
        if announcement:
            self._context.warn(announcement)
        if self._context.single_pass:  # a batch's ticks count as one long run
            counts = await self._ledger.counts(self._context.batch)
            self._result.ended, self._result.failed = counts.ended, counts.failed
            self._stop_after_failures()
        await self._people.begin()
        await self._resume()
        watching = group.create_task(self._watch_waiting(), name="waiting")
        try:
            await self._start_jobs()
        finally:
            watching.cancel()

    def _break(self, error: LedgerError) -> None:
        """Start nothing more, because the ledger cannot be written. Answers to kickoffs that were sent are still
        reported."""
        self._broken = self._broken or error
        self._stop.request(StopReason.LEDGER, "the ledger cannot be written", leave=True)

    # Work of an earlier run

    async def _resume(self) -> None:
        """Watch the executions of earlier runs, and prepare the crews that have something to kick off."""
        earlier = await self._earlier.read()
        self._in_doubt.update(earlier.in_doubt)
        for attempt in earlier.kicked_off:
            lane = self._lanes[attempt.crew]
            permit = lane.limits.acquire_resumed(accepted=True)
            self._context.observe(KickedOff(attempt, taken_up=True))
            self._start(AttemptTask(attempt, permit, lane, self._context, self._watchers))
        pending = await self._ledger.pending_crews(self._context.batch)
        for name, lane in self._lanes.items():
            lane.exhausted = not pending.get(name)
            needed = not lane.exhausted or name in self._in_doubt
            if needed and self._context.paused:
                self._unprepared.add(name)
            elif needed:
                self._start_preparing(lane)
            else:
                lane.skip_preparation()  # nothing to kick off now; a job may become pending again

    def _start_preparing(self, lane: CrewLane, *, again: bool = False) -> None:
        lane.begin_preparation()
        task = self._group.create_task(self._prepare(lane, again=again), name=f"prepare-{lane.name}")
        self._preparing.add(task)
        task.add_done_callback(self._prepared)

    async def _prepare(self, lane: CrewLane, *, again: bool) -> None:
        """Check the crew and its jobs' inputs, then settle the kickoffs that an earlier run may have sent.

        Args:
            again: a job became pending with inputs that were not checked.
        """
        if not lane.checked and not await self._preflight.check(lane):
            return
        try:
            await check_inputs(self._context, lane.name, lane.inputs, again=again)
            in_doubt = self._in_doubt.get(lane.name, [])
            while in_doubt and not again and not self._context.paused:
                attempt = in_doubt[0]
                permit = lane.limits.acquire_resumed(accepted=False)
                known = lane.idempotent and not self._earlier.has_moved(attempt)
                task = AttemptTask(attempt, permit, lane, self._context, self._watchers, maybe_sent=True, resend=known)
                if known or task.may_be_found_again:
                    self._start(task)
                else:
                    await self._record(task, task.doubt("an earlier run ended before the answer arrived"))
                in_doubt.pop(0)
            if in_doubt:
                self._unprepared.add(lane.name)
        except LedgerError as error:
            self._break(error)
        lane.end_preparation()

    async def _prepare_the_rest(self) -> None:
        """Prepare the crews that a pause kept from starting; it has ended."""
        unprepared, self._unprepared = self._unprepared, set()
        for name in sorted(unprepared):
            self._start_preparing(self._lanes[name])

    def _prepared(self, task: asyncio.Task[None]) -> None:
        self._preparing.discard(task)
        self._changed.set()

    async def _settings_changed(self, reason: str) -> None:
        await self._limits.settings_changed()
        resize_lanes(self._lanes, self._crews, self._context.settings, reason)
        self._in_progress.apply_timeout()

    # New work

    async def _start_jobs(self) -> None:
        single_pass = self._context.single_pass
        while not self._stop.requested:
            self._changed.clear()
            if self._clock.monotonic() >= self._deadline:
                self._deadline = self._time_is_over()
                return
            await self._control.apply()
            if self._unprepared and not self._context.paused:
                await self._prepare_the_rest()
            await self._limits.refresh()
            spent = self._limits.spent()
            if spent is not None and not self._in_progress.on_the_wire():
                self._stop.request(*spent, leave=False)
                return
            if self._stop_for_failing_crew() or await self._claim():
                continue
            lanes = self._lanes.values()
            retries = None if single_pass else await next_start(lanes, self._context)
            nothing_runs = not self._in_progress and not self._preparing
            nothing_left = nothing_is_left(lanes, retries) or self._limits.over_cost(lanes)
            at_end = single_pass or self._context.paused or nothing_left
            if nothing_runs and at_end and not await self._people.busy():
                if not self._control.stop_if_paused():
                    await stop_for_what_is_left(self._context, self._crews, lanes, self._limits, self._people)
                return
            wake = time_to_wake(lanes, self._context, self._limits, deadline=self._deadline, retry_in=retries)
            self._capacity.report(retry_in=retries)
            await self._clock.wait(self._changed, wake)

    def _stop_for_failing_crew(self) -> bool:
        """Stop the run when a crew has failed for too long. Returns whether it does."""
        for lane in self._lanes.values():
            failing = lane.limits.failing()
            if failing is not None:
                lane.limits.start_over()
                lane.give_up(f"{failing}; no improvement for {format_duration(self._context.settings.breaker.give_up)}")
                return True
        return False

    def _time_is_over(self) -> float:
        """Stop at `max_runtime`; a tick still waits for its kickoffs' answers. Return the next deadline."""
        if not self._context.single_pass:
            return stop_at_max_runtime(self._context, self._lanes.values(), self._crews.settings, self._watchers)
        self._in_progress.cancel(on_the_wire=False)
        for task in self._preparing:
            task.cancel()
        for lane in self._lanes.values() if self._preparing else ():
            if not lane.ready:
                lane.limits.not_sent(sent_at=self._clock.monotonic() - TICK_SECONDS)
                reason = f"no answer within {format_duration(TICK_SECONDS)}"
                if not self._preflight.gave_up(lane, reason):
                    self._context.warn(f"crew {lane.name}: inputs could not be read ({reason})")
        return math.inf

    async def _claim(self) -> bool:
        """Claim and start the jobs that may start now. Returns whether any did."""
        started = False
        if not self._may_start or self._context.paused:
            return False
        lanes = self._lanes.values()
        # the crew with the fewest in progress comes first, so that no crew waits for another one
        for lane in sorted(lanes, key=lambda lane: lane.in_use):
            number = min(lane.available(), self._limits.available(lane, lanes))
            if number < 1 or lane.exhausted:
                continue
            version = lane.pending_version
            claim = await self._ledger.claim(
                self._context.batch,
                self._context.run_id,
                crew=lane.name,
                limit=int(number),
                retries=lane.limits.retries.available(),
                budget=month_budget(self._crews.settings[lane.name], self._clock.now()),
            )
            if claim.spent:
                lane.spend_budget()
                continue
            lane.exhausted = len(claim.attempts) < number and lane.pending_version == version
            self._limits.spend(lane.name, len(claim.attempts))
            for attempt, permit in zip(claim.attempts, lane.acquire(claim), strict=True):
                self._start(AttemptTask(attempt, permit, lane, self._context, self._watchers))
            started = started or bool(claim.attempts)
        return started

    def _start(self, task: AttemptTask, known: Outcome | None = None) -> None:
        self._in_progress.start(self._group, task, self._complete(task, known))

    async def _complete(self, task: AttemptTask, known: Outcome | None = None) -> None:
        """Run an attempt, unless its outcome is known, and record the outcome."""
        try:
            outcome = known or await task.run()
            if isinstance(outcome, AwaitsPerson):
                await self._people.park(task, outcome)
            elif outcome is not None:
                await self._record(task, outcome)
        except LedgerError as error:
            self._break(error)

    async def _watch_waiting(self) -> None:
        try:
            await self._people.watch()
        except* LedgerError as errors:
            self._break(first_error(errors))

    def _watch_again(self, attempt: Attempt, permit: Permit, outcome: Outcome | None) -> None:
        """Watch an execution that waits no longer, or record that it waited too long."""
        self._start(AttemptTask(attempt, permit, self._lanes[attempt.crew], self._context, self._watchers), outcome)

    async def _record(self, task: AttemptTask, outcome: Outcome) -> None:
        """Make the outcome durable, then free its slot, report it, and decide whether the run stops."""
        attempt, lane = task.attempt, task.lane
        if attempt.outdated and outcome.job_state is not JobState.CANCELLED:
            outcome = outdated(outcome, self._context.settings.on_change)
        streaks = self._limits.count_failure(attempt, outcome)
        try:
            await self._ledger.ended(attempt, outcome, failure_streaks=streaks)
        except LedgerError:
            if attempt.answered_at_once:  # no poll returns it again
                lost = "the result that the crew sent could not be written to the ledger"
                self._context.warn(f"job {attempt.job_id}: {lost}; the next run treats the kickoff as in doubt")
            raise
        task.release()
        if self._watchers.save_is_due:
            await self._watchers.save()
        seconds = None
        if attempt.kicked_off_at is not None:
            seconds = max(0.0, (self._clock.now() - from_text(attempt.kicked_off_at)).total_seconds())
        pending_again = outcome.job_state is JobState.PENDING
        if pending_again or attempt.outdated:
            lane.job_became_pending()  # outdated, because its job may have become pending meanwhile
        if pending_again and attempt.outdated and not self._stop.requested:
            self._start_preparing(lane, again=True)  # its new inputs may miss what the crew requires
        refused = outcome.attempt_state is AttemptState.REJECTED
        self._limits.count(attempt, outcome, refused=refused)
        if refused:
            self._preflight.gave_up(lane, outcome.reason or "")
        lane.attempt_ended(attempt, outcome)
        self._result.count(attempt, outcome, seconds)
        self._context.observe(AttemptEnded(attempt, outcome, seconds))
        self._stop_after_failures(lane.name if streaks else None)
        self._changed.set()

    def _stop_after_failures(self, crew: str | None = None) -> None:
        """Stop if the crew's row of failures, which has just changed, or the number of failed jobs is reached."""
        detail = self._limits.why_stop(crew, failed=self._result.failed, ended=self._result.ended)
        if detail:
            self._stop.request(StopReason.STOP_AFTER_FAILURES, detail, leave=False)

    # Stopping

    async def _drain(self) -> None:
        """Wait for the attempts in progress (their tasks end early when the run leaves)."""
        if self._stop.requested and self._in_progress:
            self._context.observe(Stopping(self._stop.detail, len(self._in_progress)))
        while self._in_progress or self._preparing:
            self._changed.clear()
            try:
                await self._control.apply()
            except LedgerError as error:
                self._break(error)
            self._stop_for_failing_crew()
            remaining = self._deadline - self._clock.monotonic()
            wait = min([remaining, *(lane.limits.gives_up_in() for lane in self._lanes.values())])
            woken = await self._clock.wait(self._changed, None if wait == math.inf else max(0.0, wait))
            if not woken and self._clock.monotonic() >= self._deadline:
                self._deadline = self._time_is_over()

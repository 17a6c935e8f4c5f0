"""The loop that starts jobs.

Invariants:
- At most `run.concurrency` attempts are in flight, and at most a crew's own limit on that crew (those
  that an earlier run left in flight hold slots too, even where the limit was lowered since).
- A task exists for an attempt in flight, for nothing else: memory grows with concurrency.
- A job is claimed (its intent durable) only when its kickoff may leave at once: a slot is free, the crew
  is not paused, the pace allows it.
- Work that an earlier run left comes first: watched attempts are taken up, then those whose kickoff may
  have been sent are settled, then new work starts.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping

from batchcrew.clock import Clock, from_text, to_text
from batchcrew.crew import CrewClient
from batchcrew.engine.allowance import Allowance, CanaryWatch, Limit
from batchcrew.engine.attempt import AttemptRunner, Life, Phase
from batchcrew.engine.limits import Gate, Pace
from batchcrew.engine.result import EngineResult
from batchcrew.engine.retry import jittered
from batchcrew.engine.stopping import GRACE_SECONDS, Stop
from batchcrew.errors import BatchcrewError
from batchcrew.events import AttemptEnded, KickedOff, Observe, Stopping, Warned
from batchcrew.ledger import BatchKey, Ledger, MonthBudget
from batchcrew.models import (
    Attempt,
    AttemptState,
    CrewInputs,
    JobState,
    NotSent,
    Outcome,
    StopReason,
    Unclear,
    Unusable,
)
from batchcrew.settings import CrewSettings, RunSettings, format_duration

UNREACHABLE_SECONDS = 60.0
"""A crew that cannot be reached for so long, without a single success, is given up for this run."""
LEAVING_TICK_SECONDS = 0.05
"""How often a run that leaves looks which kickoffs have their answer."""
PROBES = 3
"""How often a crew's inputs are asked for when the answer makes no sense."""


class Scheduler:
    """Runs a batch until nothing is left or something stops it.

    Args:
        clients: an open client for each crew.
        crews: their settings, by the same names.
        limit: most kickoffs of this run; None is no limit, 0 only watches what is in flight.
        unreachable: seconds without any success after which a crew is given up.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        batch: BatchKey,
        run_id: str,
        clients: Mapping[str, CrewClient],
        crews: Mapping[str, CrewSettings],
        settings: RunSettings,
        stop: Stop,
        clock: Clock,
        chance: random.Random,
        observe: Observe,
        limit: int | None = None,
        unreachable: float = UNREACHABLE_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._batch = batch
        self._run_id = run_id
        self._clients = clients
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._chance = chance
        self._observe = observe
        self._crews = crews
        self._limit = limit
        self._allowance = Allowance([], None)
        self._unreachable = unreachable
        self._pace = Pace(settings.rate, clock)
        self._gates = {
            name: Gate(
                name,
                slots=min(crew.concurrency or settings.concurrency, settings.concurrency),
                rate=crew.rate,
                clock=clock,
                chance=chance,
            )
            for name, crew in crews.items()
        }
        self.result = EngineResult()
        self._runners = {name: self._runner(name) for name in crews}
        self._lives: dict[asyncio.Task[None], Life] = {}
        self._preparing: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._deadline = math.inf

    async def run(self) -> EngineResult:
        """Returns when every job has ended, or when a stop was asked for and what is in flight is dealt with.

        Raises:
            LedgerError: the ledger cannot be written; what was in flight is as it says.
        """
        if self._settings.max_runtime is not None:
            self._deadline = self._clock.monotonic() + self._settings.max_runtime
        try:
            async with asyncio.TaskGroup() as group:
                leaving = group.create_task(self._leave_when_told(), name="leave")
                self._allowance = await self._allow()
                await self._take_up(group)
                await self._start_jobs(group)
                await self._drain()
                leaving.cancel()
        except* BatchcrewError as errors:
            raise _first(errors) from errors
        return self.result

    async def _allow(self) -> Allowance:
        """What this run may spend, by its options, the job file and what the batch has spent before."""
        limits = []
        most = self._settings.max_kickoffs
        if self._limit is not None:
            words = f"the limit of {self._limit} kickoffs for this run is reached" if self._limit else "only watching"
            limits.append(Limit(self._limit, StopReason.LIMIT, words))
        if most is not None and most.run is not None:
            limits.append(Limit(most.run, StopReason.LIMIT, f"max_kickoffs of a run ({most.run}) is reached"))
        if most is not None and most.batch is not None:
            left = most.batch - await self._ledger.kickoffs(self._batch)
            limits.append(Limit(left, StopReason.BUDGET, f"max_kickoffs of the batch ({most.batch}) is spent"))
        canary = self._settings.canary
        if canary is None or await self._ledger.canary_passed(self._batch):
            return Allowance(limits, None)
        return Allowance(limits, CanaryWatch.of(canary, await self._ledger.counts(self._batch)))

    # Work of an earlier run

    async def _take_up(self, group: asyncio.TaskGroup) -> None:
        in_doubt: dict[str, list[Attempt]] = {}
        for state, attempt in await self._ledger.open_attempts(self._batch):
            if attempt.crew not in self._gates:
                message = f"job {attempt.job_id}: its execution is left alone, the job file has no crew {attempt.crew}"
                self._observe(Warned(message))
            elif state is AttemptState.KICKED_OFF:
                self._gates[attempt.crew].take_up()
                self._observe(KickedOff(attempt, taken_up=True))
                self._spawn(group, attempt, lambda runner, life: runner.watch(life, taken_up=True))
            else:
                in_doubt.setdefault(attempt.crew, []).append(attempt)
        pending = await self._ledger.pending_crews(self._batch)
        for name, gate in self._gates.items():
            gate.exhausted = not pending.get(name)
            if not gate.exhausted or name in in_doubt:
                task = group.create_task(self._prepare(group, gate, in_doubt.get(name, [])), name=f"prepare-{name}")
                self._preparing.add(task)
                task.add_done_callback(self._prepared)
            else:
                gate.ready = True  # nothing to kick off now; a retry may come back to it

    async def _prepare(self, group: asyncio.TaskGroup, gate: Gate, in_doubt: list[Attempt]) -> None:
        """Ask the crew for its inputs (is it there, does it know us, may a kickoff be repeated?), then settle
        what was intended and perhaps sent."""
        if not await self._probe(gate):
            return
        for attempt in in_doubt:
            gate.in_use += 1
            if gate.idempotent:
                self._spawn(group, attempt, lambda runner, life: runner.kick_off(life, again=True))
            else:
                life = Life(attempt, Phase.WATCHING)
                outcome = self._runners[gate.name].doubt(attempt, "an earlier run ended before its answer came")
                await self._end(life, gate, outcome)
        gate.ready = True

    def _prepared(self, task: asyncio.Task[None]) -> None:
        self._preparing.discard(task)
        self._wake.set()

    async def _probe(self, gate: Gate) -> bool:
        """True when the crew answers and takes our token."""
        unclear = 0
        while not self._stop.requested:
            asked_at = self._clock.monotonic()
            answer = await self._clients[gate.name].inputs()
            match answer:
                case CrewInputs():
                    gate.idempotent = answer.idempotent_kickoff
                    gate.reached()
                    return True
                case Unusable(reason):
                    detail = f"crew {gate.name}: {reason}"
                    self._stop.request(StopReason.CREW_UNUSABLE, detail, leave=True)
                    return False
                case NotSent(reason):
                    gate.not_sent(sent_at=asked_at)
                    if self._gave_up(gate, reason):
                        return False
                    if gate.should_warn():
                        give_up = format_duration(self._unreachable)
                        self._observe(
                            Warned(f"crew {gate.name} cannot be reached ({reason}); tried again for {give_up}")
                        )
                    await self._clock.sleep(gate.pause_seconds())
                case Unclear():
                    unclear += 1
                    if unclear >= PROBES:
                        return True  # it may still take kickoffs: some deployments have no /inputs
                    await self._clock.sleep(jittered(0.2 * unclear, self._chance))
        return False

    def _gave_up(self, gate: Gate, reason: str) -> bool:
        if gate.silent_since is None or self._clock.monotonic() - gate.silent_since < self._unreachable:
            return False
        detail = f"crew {gate.name} could not be reached for {format_duration(self._unreachable)}: {reason}"
        self._stop.request(StopReason.CREW_UNUSABLE, detail, leave=True)
        return True

    # New work

    async def _start_jobs(self, group: asyncio.TaskGroup) -> None:
        while not self._stop.requested:
            self._wake.clear()
            if self._clock.monotonic() >= self._deadline:
                runtime = format_duration(self._settings.max_runtime or 0)
                self._stop.request(StopReason.MAX_RUNTIME, f"max_runtime of {runtime} is over", leave=True)
                return
            if self._allowance.canary_just_passed():
                await self._ledger.pass_canary(self._batch)
            spent = self._allowance.spent()
            if spent is not None and not self._kicking_off():
                self._stop.request(*spent, leave=False)
                return
            if await self._fill(group):
                continue
            retries = await self._next_start()
            nothing_runs = not self._lives and not self._preparing
            if nothing_runs and retries is None and all(gate.exhausted for gate in self._gates.values()):
                self._say_what_is_spent()
                return
            await self._clock.wait(self._wake, self._time_to_wake(retries))

    def _kicking_off(self) -> bool:
        """A kickoff on the wire may yet be refused, and then another may leave in its place."""
        return any(life.phase is Phase.KICKING_OFF for life in self._lives.values())

    async def _fill(self, group: asyncio.TaskGroup) -> bool:
        """Claim and start what may start now. True when anything did."""
        started = False
        # the crew with the fewest in flight goes first, so that none starves another
        for gate in sorted(self._gates.values(), key=lambda gate: gate.in_use):
            free = self._settings.concurrency - sum(each.in_use for each in self._gates.values())
            number = min(gate.room(), free, self._pace.allowed(), self._allowance.left())
            if number < 1 or gate.exhausted:
                continue
            came_back = gate.came_back
            claim = await self._ledger.claim(
                self._batch, self._run_id, crew=gate.name, limit=int(number), budget=self._month(gate.name)
            )
            if claim.spent:
                gate.spent = gate.exhausted = True
                continue
            attempts = claim.attempts
            gate.exhausted = len(attempts) < number and gate.came_back == came_back
            gate.take(len(attempts))
            self._pace.spend(len(attempts))
            self._allowance.spend(len(attempts))
            for attempt in attempts:
                self._spawn(group, attempt, lambda runner, life: runner.kick_off(life))
            started = started or bool(attempts)
        return started

    def _month(self, crew: str) -> MonthBudget | None:
        settings = self._crews[crew]
        if settings.max_kickoffs_per_month is None:
            return None
        since = self._clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return MonthBudget(settings.url, to_text(since), settings.max_kickoffs_per_month)

    def _say_what_is_spent(self) -> None:
        for gate in self._gates.values():
            if gate.spent:
                most = self._crews[gate.name].max_kickoffs_per_month
                words = f"crew {gate.name}: max_kickoffs_per_month ({most}) is spent"
                self._stop.request(StopReason.BUDGET, words, leave=False)

    async def _next_start(self) -> float | None:
        """Seconds until the next waiting retry of a crew that has nothing else to start."""
        waits: list[float] = []
        for name, gate in self._gates.items():
            if gate.exhausted and gate.ready and not gate.spent:
                due = await self._ledger.next_start(self._batch, name)
                if due is not None:
                    wait = (from_text(due) - self._clock.now()).total_seconds() if due else 0.0
                    waits.append(max(0.0, wait))
                    gate.exhausted = wait > 0
        return min(waits) if waits else None

    def _time_to_wake(self, retry_in: float | None) -> float | None:
        waits = [self._deadline - self._clock.monotonic()]
        if retry_in is not None:
            waits.append(retry_in + 0.001)
        free = self._settings.concurrency - sum(gate.in_use for gate in self._gates.values())
        for gate in self._gates.values() if free > 0 else ():
            opens_in = gate.opens_in()
            if opens_in is not None and not gate.exhausted:
                waits.append(max(opens_in, self._pace.wait_seconds(), 0.001))
        soonest = min(waits)
        return None if soonest == math.inf else max(0.0, soonest)

    # One attempt

    def _runner(self, name: str) -> AttemptRunner:
        return AttemptRunner(
            client=self._clients[name],
            gate=self._gates[name],
            ledger=self._ledger,
            settings=self._settings,
            stop=self._stop,
            clock=self._clock,
            chance=self._chance,
            observe=self._observe,
            count_kickoff=self._count_kickoff,
        )

    def _count_kickoff(self, crew: str) -> None:
        self.result.kickoffs += 1
        self.result.by_crew[crew] += 1
        self._wake.set()

    def _spawn(
        self,
        group: asyncio.TaskGroup,
        attempt: Attempt,
        live: Callable[[AttemptRunner, Life], Awaitable[Outcome | None]],
    ) -> None:
        phase = Phase.KICKING_OFF if attempt.kickoff_id is None else Phase.WATCHING
        life = Life(attempt, phase)
        task = group.create_task(self._live(life, live))
        self._lives[task] = life
        task.add_done_callback(self._forget)  # a task that is cancelled before it began runs no finally

    def _forget(self, task: asyncio.Task[None]) -> None:
        life = self._lives.pop(task)
        if not life.ended:  # it is left for the next run
            self._gates[life.attempt.crew].give_back(accepted=life.accepted)
        self._wake.set()

    async def _live(self, life: Life, live: Callable[[AttemptRunner, Life], Awaitable[Outcome | None]]) -> None:
        gate = self._gates[life.attempt.crew]
        outcome = await live(self._runners[gate.name], life)
        if outcome is not None:
            await self._end(life, gate, outcome)

    async def _end(self, life: Life, gate: Gate, outcome: Outcome) -> None:
        """Make the outcome durable, then free its slot and say it."""
        await self._ledger.ended(life.attempt, outcome)
        life.ended = True
        gate.give_back(accepted=life.accepted)
        seconds = None
        if life.attempt.kicked_off_at is not None:
            kicked_off = from_text(life.attempt.kicked_off_at)
            seconds = max(0.0, (self._clock.now() - kicked_off).total_seconds())
        if outcome.job_state is JobState.PENDING:
            gate.job_came_back()
        refused = outcome.attempt_state is AttemptState.REJECTED
        self._allowance.count(outcome, refused=refused)
        if refused:
            self._gave_up(gate, outcome.reason or "")
        self.result.count(life.attempt, outcome, seconds)
        self._observe(AttemptEnded(life.attempt, outcome, seconds))
        limit = self._settings.stop_after_failures
        if limit is not None and limit.reached(failed=self.result.failed, ended=self.result.ended):
            detail = f"{self.result.failed} of {self.result.ended} jobs failed (stop_after_failures: {limit})"
            self._stop.request(StopReason.STOP_AFTER_FAILURES, detail, leave=False)
        self._wake.set()

    # Stopping

    async def _drain(self) -> None:
        """Wait for what is in flight (its tasks end early when the run leaves)."""
        if self._stop.requested and self._lives:
            self._observe(Stopping(self._stop.detail, len(self._lives)))
        while self._lives or self._preparing:
            self._wake.clear()
            remaining = self._deadline - self._clock.monotonic()
            if not await self._clock.wait(self._wake, None if remaining == math.inf else max(0.0, remaining)):
                runtime = format_duration(self._settings.max_runtime or 0)
                self._stop.request(StopReason.MAX_RUNTIME, f"max_runtime of {runtime} is over", leave=True)
                self._deadline = math.inf

    async def _leave_when_told(self) -> None:
        """Carry a stop out: wake the loop; when the run is to leave, cut watching off at once and what is on
        the wire after its grace."""
        while not self._stop.leave:
            await self._stop.changed.wait()
            self._stop.changed.clear()
            for task in self._preparing:
                task.cancel()
            self._wake.set()
        until = self._clock.monotonic() + GRACE_SECONDS
        while self._lives:
            over = self._clock.monotonic() >= until
            for task, life in list(self._lives.items()):
                if over or life.phase is Phase.WATCHING:
                    task.cancel()
            await self._clock.sleep(LEAVING_TICK_SECONDS)


def _first(errors: BaseExceptionGroup[BatchcrewError]) -> BatchcrewError:
    for error in errors.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("a group has an error")

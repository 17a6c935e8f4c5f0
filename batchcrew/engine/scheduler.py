"""The loop that starts jobs.

Invariants:
- At most `run.concurrency` attempts are in flight, and at most a crew's own limit on that crew (those
  that an earlier run left in flight hold slots too, even where the limit was lowered since).
- A task exists for an attempt in flight, for nothing else: memory grows with concurrency.
- A job is claimed (its intent durable) only when its kickoff may leave at once: a slot is free, the crew
  is not paused, the pace allows it.
- Work that an earlier run left comes first: watched attempts are taken up, then those whose kickoff may
  have been sent are settled, then new work starts.
- A tick is the same loop that waits for nothing: what is not due keeps its slot and is left to the next tick.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from batchcrew.base.clock import Clock, from_text
from batchcrew.base.errors import BatchcrewError, LedgerError
from batchcrew.base.quantities import format_duration
from batchcrew.config.crews import CrewSettings
from batchcrew.config.settings import RunSettings
from batchcrew.crew import CrewClient, crew_address
from batchcrew.engine.attempt import AttemptRunner, AttemptTask, FormerAddress, Phase
from batchcrew.engine.in_progress import InProgress, Live
from batchcrew.engine.limits.budget import KickoffBudget, month_budget
from batchcrew.engine.limits.failure_streak import FailureStreaks, failed_jobs
from batchcrew.engine.limits.gate import Gate
from batchcrew.engine.limits.rate_limiter import RateLimiter
from batchcrew.engine.limits.state import restore_throttles, save_throttles
from batchcrew.engine.missing_inputs import check_inputs
from batchcrew.engine.observe.polling import Silence
from batchcrew.engine.preflight import UNREACHABLE_SECONDS, Preflight
from batchcrew.engine.result import EngineResult
from batchcrew.engine.retry import outdated
from batchcrew.engine.stopping import Stop
from batchcrew.ledger import BatchKey, Ledger
from batchcrew.model.attempt import Attempt, AttemptState, Outcome
from batchcrew.model.events import AttemptEnded, KickedOff, Observe, Stopping, Warned
from batchcrew.model.job import JobState
from batchcrew.model.run import StopReason

TICK_SECONDS = 5.0
"""A tick stops asking and starting after so long; only kickoffs on the wire are still waited for."""


class Scheduler:
    """Runs a batch until nothing is left or something stops it.

    Args:
        clients: an open client for each crew.
        crews: their settings, by the same names.
        former: open clients for former addresses of crews at which executions are in progress, by crew and address.
        renamed: by former name and address, the name that a crew has in the job file.
        limit: most kickoffs of this run; None is no limit, 0 only watches what is in flight.
        once: a tick: do what is due now and return.
        may_start: False kicks nothing off: it is not decided what the crews are sent.
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
        rng: random.Random,
        observe: Observe,
        limit: int | None = None,
        once: bool = False,
        may_start: bool = True,
        unreachable: float = UNREACHABLE_SECONDS,
        former: Mapping[tuple[str, str], CrewClient] | None = None,
        renamed: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        self._ledger = ledger
        self._batch = batch
        self._run_id = run_id
        self._clients = clients
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._rng = rng
        self._observe = observe
        self._crews = crews
        give_up = settings.breaker.give_up
        self._former = {
            (name, url): FormerAddress(client, url, Silence(clock, give_up=give_up))
            for (name, url), client in (former or {}).items()
        }
        self._renamed = renamed or {}
        self._limit = limit
        self._once = once
        self._may_start = may_start
        self._kickoff_budget = KickoffBudget([], None)
        self._streaks = FailureStreaks(settings.stop_after_failures, run_id=run_id, clock=clock, once=once)
        self._rate_limiter = RateLimiter(settings.rate, clock, burst=once)
        self._gates = {name: self._gate(name, crew) for name, crew in crews.items()}
        self._preflight = Preflight(
            clients,
            stop=stop,
            clock=clock,
            rng=rng,
            observe=observe,
            unreachable=unreachable,
            give_up=settings.breaker.give_up,
            once=once,
        )
        self.result = EngineResult()
        self._wake = asyncio.Event()
        self._runners = {name: self._runner(name) for name in crews}
        self._in_progress = InProgress(self._gates, live=self._live, wake=self._wake)
        self._preparing: set[asyncio.Task[None]] = set()
        self._unprepared: Counter[str] = Counter()
        """By crew, how many of these it waits for before its next kickoff."""
        self._deadline = math.inf
        self._broken: LedgerError | None = None

    def _gate(self, name: str, crew: CrewSettings) -> Gate:
        return Gate(
            name,
            slots=min(crew.concurrency or self._settings.concurrency, self._settings.concurrency),
            rate=crew.rate,
            breaker=self._settings.breaker,
            clock=self._clock,
            rng=self._rng,
            burst=self._once,
        )

    async def run(self) -> EngineResult:
        """Returns when every job has ended, or when a stop was asked for and what is in flight is dealt with.

        Raises:
            LedgerError: the ledger cannot be written; what was in flight is as it says.
        """
        longest = TICK_SECONDS if self._once else math.inf
        longest = min(longest, self._settings.max_runtime or math.inf)
        self._deadline = self._clock.monotonic() + longest
        try:
            async with asyncio.TaskGroup() as group:
                leaving = group.create_task(
                    self._in_progress.leave_when_told(self._stop, self._clock, self._preparing), name="leave"
                )
                try:
                    await self._work(group)
                except LedgerError as error:
                    self._break(error)
                await self._drain()
                self._report_given_up()
                leaving.cancel()
            if self._broken is None:
                await save_throttles(self._ledger, self._batch, self._rate_limiter, self._gates)
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors
        if self._broken is not None:
            raise self._broken
        return self.result

    async def _work(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        await restore_throttles(self._ledger, self._batch, self._rate_limiter, self._gates, everything=self._once)
        self._kickoff_budget = await KickoffBudget.read(self._ledger, self._batch, self._settings, self._limit)
        announcement = await self._streaks.read(self._ledger, self._batch)
        if announcement:
            self._observe(Warned(announcement))
        if self._once:  # a batch's ticks are one long run
            counts = await self._ledger.counts(self._batch)
            self.result.ended, self.result.failed = counts.ended, counts.failed
            self._stop_after_failures()
        await self._take_up(group)
        await self._start_jobs(group)

    def _break(self, error: LedgerError) -> None:
        """The ledger cannot be written: start nothing; kickoffs on the wire still get their answers, to be told."""
        self._broken = self._broken or error
        self._stop.request(StopReason.LEDGER, "the ledger cannot be written", leave=True)

    # Work of an earlier run

    async def _take_up(self, group: asyncio.TaskGroup) -> None:
        in_doubt: dict[str, list[Attempt]] = {}
        nobodys: Counter[str] = Counter()
        reported: set[str] = set()
        for state, attempt in await self._ledger.open_attempts(self._batch):
            if attempt.crew not in self._gates:
                attempt = self._under_its_new_name(attempt)
            if attempt.crew not in self._gates:
                nobodys[attempt.crew] += 1
            elif state is AttemptState.KICKED_OFF:
                self._gates[attempt.crew].take_up()
                self._report_former(attempt, reported)
                self._observe(KickedOff(attempt, taken_up=True))
                self._in_progress.spawn(group, attempt, lambda runner, life: runner.watch(life, taken_up=True))
            else:
                in_doubt.setdefault(attempt.crew, []).append(attempt)
        for name, number in nobodys.items():
            left = "1 execution" if number == 1 else f"{number} executions"
            words = f"crew {name} not found in the job file: {left} not watched; add it again, and the next run resumes"
            self._observe(Warned(words))
        pending = await self._ledger.pending_crews(self._batch)
        for name, gate in self._gates.items():
            gate.exhausted = not pending.get(name)
            if not gate.exhausted or name in in_doubt:
                self._start_preparing(gate, in_doubt.get(name, []))
            else:
                gate.ready = True  # nothing to kick off now; a retry may come back to it

    def _under_its_new_name(self, attempt: Attempt) -> Attempt:
        """An execution whose crew has another name in the job file by now."""
        name = self._renamed.get((attempt.crew, attempt.address or ""))
        return attempt if name is None else replace(attempt, crew=name)

    def _report_former(self, attempt: Attempt, reported: set[str]) -> None:
        """Say once where executions are watched that were started elsewhere."""
        former = self._former.get((attempt.crew, attempt.address or ""))
        if former is not None:
            words = (
                f"crew {attempt.crew}: executions started at {former.url} are still watched there;"
                f" the job file now names {crew_address(self._crews[attempt.crew])}"
            )
            if words not in reported:
                reported.add(words)
                self._observe(Warned(words, lasting=True))

    def _has_moved(self, attempt: Attempt) -> bool:
        return attempt.address not in {None, crew_address(self._crews[attempt.crew])}

    def _report_given_up(self) -> None:
        """Executions at a former address that was given up are left: that is the reason why work is left."""
        for (name, url), former in self._former.items():
            if former.given_up is not None:
                self._stop.request(StopReason.CREW_UNUSABLE, f"crew {name} at {url}: {former.given_up}", leave=False)

    def _start_preparing(self, gate: Gate, in_doubt: list[Attempt], *, again: bool = False) -> None:
        group, gate.ready = self._group, False
        self._unprepared[gate.name] += 1
        preparing = self._prepare(group, gate, in_doubt, again=again)
        task = group.create_task(preparing, name=f"prepare-{gate.name}")
        self._preparing.add(task)
        task.add_done_callback(self._prepared)

    async def _prepare(self, group: asyncio.TaskGroup, gate: Gate, in_doubt: list[Attempt], *, again: bool) -> None:
        """Ask the crew for its inputs, then settle what was intended and perhaps sent.

        Args:
            again: a job came back with inputs that were not checked.
        """
        if gate.name not in self._preflight.answers and not await self._preflight.check(gate):
            return
        answer = self._preflight.answers[gate.name]
        try:
            await check_inputs(self._ledger, self._batch, gate.name, answer, self._stop, again=again)
            for attempt in in_doubt:
                gate.in_use += 1
                if gate.idempotent and not self._has_moved(attempt):  # another server does not know the key
                    self._in_progress.spawn(group, attempt, lambda runner, life: runner.kick_off(life, again=True))
                else:
                    life = AttemptTask(attempt, Phase.WATCHING)
                    outcome = self._runners[gate.name].doubt(attempt, "an earlier run ended before the answer arrived")
                    await self._end(life, gate, outcome)
        except LedgerError as error:
            self._break(error)
        self._unprepared[gate.name] -= 1
        gate.ready = not self._unprepared[gate.name]

    def _prepared(self, task: asyncio.Task[None]) -> None:
        self._preparing.discard(task)
        self._wake.set()

    # New work

    async def _start_jobs(self, group: asyncio.TaskGroup) -> None:
        while not self._stop.requested:
            self._wake.clear()
            if self._clock.monotonic() >= self._deadline:
                self._time_is_over()
                return
            if self._kickoff_budget.canary_just_passed():
                await self._ledger.pass_canary(self._batch)
            spent = self._kickoff_budget.spent()
            if spent is not None and not self._in_progress.on_the_wire():
                self._stop.request(*spent, leave=False)
                return
            if self._a_crew_is_ill() or await self._fill(group):
                continue
            retries = None if self._once else await self._next_start()
            nothing_runs = not self._in_progress and not self._preparing
            if nothing_runs and (self._once or self._nothing_comes(retries)):
                self._say_what_is_spent()
                return
            await self._clock.wait(self._wake, self._time_to_wake(retries))

    def _nothing_comes(self, retries: float | None) -> bool:
        return retries is None and all(gate.exhausted for gate in self._gates.values())

    def _a_crew_is_ill(self) -> bool:
        """End the run when a crew's breaker has been open for too long."""
        for gate in self._gates.values():
            breaker = gate.ill()
            if breaker is not None:
                gate.start_over()
                patience = format_duration(self._settings.breaker.give_up)
                self._stop.request(
                    StopReason.CREW_UNUSABLE, f"crew {gate.name}: {breaker}; no improvement for {patience}", leave=True
                )
                return True
        return False

    def _time_is_over(self) -> None:
        """`max_runtime` leaves everything for the next run; a tick still waits for its kickoffs' answers."""
        if self._once:
            self._in_progress.cut_off(on_the_wire=False)
            for task in self._preparing:
                task.cancel()
            for gate in self._gates.values() if self._preparing else ():
                if not gate.ready:
                    gate.not_sent(sent_at=self._clock.monotonic() - TICK_SECONDS)
                    said = f"no answer within {format_duration(TICK_SECONDS)}"
                    if not self._preflight.gave_up(gate, said):
                        self._observe(Warned(f"crew {gate.name}: inputs could not be read ({said})"))
            return
        runtime = format_duration(self._settings.max_runtime or 0)
        self._stop.request(StopReason.MAX_RUNTIME, f"max_runtime of {runtime} reached", leave=True)

    async def _fill(self, group: asyncio.TaskGroup) -> bool:
        """Claim and start what may start now. True when anything did."""
        started = False
        if not self._may_start:
            return False
        # the crew with the fewest in flight goes first, so that none starves another
        for gate in sorted(self._gates.values(), key=lambda gate: gate.in_use):
            free = self._settings.concurrency - sum(each.in_use for each in self._gates.values())
            number = min(gate.room(), free, self._rate_limiter.allowed(), self._kickoff_budget.left(), self._room(gate))
            if number < 1 or gate.exhausted:
                continue
            came_back = gate.came_back
            claim = await self._ledger.claim(
                self._batch,
                self._run_id,
                crew=gate.name,
                limit=int(number),
                budget=month_budget(self._crews[gate.name], self._clock.now()),
            )
            if claim.spent:
                gate.spent = gate.exhausted = True
                continue
            attempts = claim.attempts
            gate.exhausted = len(attempts) < number and gate.came_back == came_back
            gate.take(len(attempts))
            self._rate_limiter.spend(len(attempts))
            self._kickoff_budget.spend(len(attempts))
            for attempt in attempts:
                self._in_progress.spawn(group, attempt, lambda runner, life: runner.kick_off(life))
            started = started or bool(attempts)
        return started

    def _room(self, gate: Gate) -> float:
        return self._streaks.room(gate, self._gates.values())

    def _say_what_is_spent(self) -> None:
        waiting = self._streaks.why_no_probe(self._gates.values())
        if waiting:
            self._stop.request(StopReason.STOP_AFTER_FAILURES, waiting, leave=False)
        for gate in self._gates.values():
            if gate.spent:
                most = self._crews[gate.name].max_kickoffs_per_month
                words = f"crew {gate.name}: max_kickoffs_per_month ({most}) is used up"
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
        waits = [self._deadline - self._clock.monotonic(), *(gate.gives_up_in() for gate in self._gates.values())]
        if retry_in is not None:
            waits.append(retry_in + 0.001)
        free = self._settings.concurrency - sum(gate.in_use for gate in self._gates.values())
        for gate in self._gates.values() if free > 0 else ():
            opens_in = gate.opens_in()
            # where an execution must end first, that wakes the loop
            if opens_in is not None and not gate.exhausted and min(self._kickoff_budget.left(), self._room(gate)) >= 1:
                waits.append(max(opens_in, self._rate_limiter.wait_seconds(), 0.001))
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
            rng=self._rng,
            observe=self._observe,
            count_kickoff=self._count_kickoff,
            wake=self._wake,
            once=self._once,
            former={url: former for (crew, url), former in self._former.items() if crew == name},
        )

    def _count_kickoff(self, crew: str) -> None:
        self.result.kickoffs += 1
        self.result.by_crew[crew] += 1
        self._wake.set()

    async def _live(self, life: AttemptTask, live: Live) -> None:
        gate = self._gates[life.attempt.crew]
        try:
            outcome = await live(self._runners[gate.name], life)
            if outcome is not None:
                await self._end(life, gate, outcome)
        except LedgerError as error:
            self._break(error)

    async def _end(self, life: AttemptTask, gate: Gate, outcome: Outcome) -> None:
        """Make the outcome durable, then free its slot and say it."""
        if life.attempt.outdated:
            outcome = outdated(outcome, self._settings.on_change)
        streaks = self._streaks.count(life.attempt, outcome)
        await self._ledger.ended(life.attempt, outcome, failure_streaks=streaks)
        life.ended = True
        gate.give_back(accepted=life.accepted)
        seconds = None
        if life.attempt.kicked_off_at is not None:
            kicked_off = from_text(life.attempt.kicked_off_at)
            seconds = max(0.0, (self._clock.now() - kicked_off).total_seconds())
        if outcome.job_state is JobState.PENDING or life.attempt.outdated:
            gate.job_came_back()  # outdated: its job may have been put back meanwhile
        if outcome.job_state is JobState.PENDING and life.attempt.outdated and not self._stop.requested:
            self._start_preparing(gate, [], again=True)  # its new inputs may miss what the crew requires
        refused = outcome.attempt_state is AttemptState.REJECTED
        self._kickoff_budget.count(outcome, refused=refused)
        if refused:
            self._preflight.gave_up(gate, outcome.reason or "")
        self._runners[gate.name].learn(life.attempt, outcome)
        self.result.count(life.attempt, outcome, seconds)
        self._observe(AttemptEnded(life.attempt, outcome, seconds))
        self._stop_after_failures(gate.name if streaks else None)
        self._wake.set()

    def _stop_after_failures(self, crew: str | None = None) -> None:
        """Stop if the crew's row of failures, which has just changed, or the number of failed jobs is reached."""
        detail = self._streaks.why_stop(crew) or failed_jobs(self._settings.stop_after_failures, self.result)
        if detail:
            self._stop.request(StopReason.STOP_AFTER_FAILURES, detail, leave=False)

    # Stopping

    async def _drain(self) -> None:
        """Wait for what is in flight (its tasks end early when the run leaves)."""
        if self._stop.requested and self._in_progress:
            self._observe(Stopping(self._stop.detail, len(self._in_progress)))
        while self._in_progress or self._preparing:
            self._wake.clear()
            self._a_crew_is_ill()
            remaining = self._deadline - self._clock.monotonic()
            wait = min([remaining, *(gate.gives_up_in() for gate in self._gates.values())])
            woken = await self._clock.wait(self._wake, None if wait == math.inf else max(0.0, wait))
            if not woken and self._clock.monotonic() >= self._deadline:
                self._time_is_over()
                self._deadline = math.inf


def _first(errors: BaseExceptionGroup[BatchcrewError]) -> BatchcrewError:
    for error in errors.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("a group has an error")

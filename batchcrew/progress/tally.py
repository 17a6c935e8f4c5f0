"""The progress of a run, updated by its events, as the plain lines and the live display show it.

Recording an event costs O(1), and memory is bounded by the executions in progress, so hundreds of events a second
do not slow down the event loop.
"""

from dataclasses import dataclass, field

from batchcrew.base.clock import Clock, from_text
from batchcrew.base.quantities import format_range
from batchcrew.model.attempt import Attempt, AttemptState
from batchcrew.model.capacity import Capacity
from batchcrew.model.events import (
    Announced,
    AttemptEnded,
    CapacityChanged,
    ConcurrencyChanged,
    Controlled,
    Event,
    Expected,
    KickedOff,
    KickoffSent,
    LedgerChosen,
    PollDue,
    Polled,
    Progressed,
    RetriesHeldBack,
    RunStarted,
    Stopping,
    Understood,
    WaitEnded,
    WaitStarted,
    Warned,
)
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.model.job import JobState
from batchcrew.progress.failed import FailedGroups
from batchcrew.progress.pace import Durations, Pace, seconds_left

ENDED_STATES = (JobState.SUCCEEDED, JobState.FAILED, JobState.HELD, JobState.CANCELLED, JobState.STALE)
_ENOUGH_ENDED = 3
_ENOUGH_SECONDS = 60.0
"""The rate is shown once this many jobs of the run have ended, or after this time if one has."""
_LEAST_PER_HOUR = 0.1
_LONGEST_LEFT = 30 * 86_400.0
"""Longest estimate of the time left, in seconds, that is shown."""


@dataclass(slots=True)
class Watched:
    """One execution in flight; brought up to date in place."""

    attempt: Attempt
    since: float
    """Monotonic seconds at which it was kicked off, perhaps by an earlier run."""
    current_task: str | None = None
    completed_tasks: int | None = None
    total_tasks: int | None = None
    waits_for_person: bool = False
    poll_at: float | None = None
    """Monotonic seconds at which it is polled next; None: it is not known."""

    def update(self, execution: Execution) -> None:
        """Record a status answer."""
        self.current_task = execution.current_task
        self.completed_tasks = execution.completed_tasks
        self.total_tasks = execution.total_tasks
        self.waits_for_person = execution.state is ExecutionState.WAITING_FOR_HUMAN


@dataclass(slots=True)
class Tally:
    """The state of the run, as `observe` has recorded it."""

    clock: Clock
    run: RunStarted | None = None
    ended: dict[JobState, int] = field(default_factory=lambda: dict.fromkeys(ENDED_STATES, 0))
    """Jobs by the state they ended in, earlier runs included."""
    in_flight: dict[str, Watched] = field(default_factory=dict)
    """By attempt_id, the oldest first."""
    waiting: int = 0
    """Jobs whose executions wait for human input."""
    failures: FailedGroups = field(default_factory=FailedGroups)
    """Of this run."""
    capacity: Capacity | None = None
    stopping: str | None = None
    moved_at: float = field(init=False)
    """Monotonic moment at which the latest job ended, or else the run began."""
    pace: Pace = field(init=False)
    durations: Durations = field(default_factory=Durations)

    def __post_init__(self) -> None:
        self.pace = Pace(self.clock.monotonic())
        self.moved_at = self.pace.started

    def observe(self, event: Event) -> None:
        match event:
            case RunStarted() | CapacityChanged() | Stopping():
                self._run(event)
            case PollDue(attempt_id, at):
                if attempt_id in self.in_flight:
                    self.in_flight[attempt_id].poll_at = at
            case KickedOff(attempt, taken_up):
                self._watch(attempt, taken_up=taken_up)
            case WaitStarted(attempt):
                self.in_flight.pop(attempt.attempt_id, None)
                self.waiting += 1
            case WaitEnded(attempt):
                self.waiting = max(0, self.waiting - 1)
                self._watch(attempt, taken_up=True)
            case Progressed(attempt, execution):
                watched = self.in_flight.get(attempt.attempt_id)
                if watched is not None:
                    watched.update(execution)
            case AttemptEnded():
                self._end(event)
            case KickoffSent(attempt):  # a crew that answers with the result is busy from now on
                self.in_flight.setdefault(attempt.attempt_id, Watched(attempt, self.clock.monotonic()))
            case (
                Warned()
                | LedgerChosen()
                | Polled()
                | Understood()
                | ConcurrencyChanged()
                | RetriesHeldBack()
                | Controlled()
                | Expected()
                | Announced()
            ):
                pass

    def _run(self, event: RunStarted | CapacityChanged | Stopping) -> None:
        match event:
            case RunStarted():
                counts = event.counts
                numbers = (counts.succeeded, counts.failed, counts.held, counts.cancelled, counts.stale)
                self.run, self.ended = event, dict(zip(ENDED_STATES, numbers, strict=True))
                self.waiting = counts.waiting
                self.pace = Pace(self.clock.monotonic())
                self.moved_at = self.pace.started
            case CapacityChanged(capacity):
                self.capacity = capacity
            case Stopping(detail):
                self.stopping = detail

    def _watch(self, attempt: Attempt, *, taken_up: bool) -> None:
        age = self._age(attempt) if taken_up else 0.0
        self.in_flight[attempt.attempt_id] = Watched(attempt, self.clock.monotonic() - age)

    def _age(self, attempt: Attempt) -> float:
        if attempt.kicked_off_at is None:
            return 0.0
        return max(0.0, (self.clock.now() - from_text(attempt.kicked_off_at)).total_seconds())

    def _end(self, event: AttemptEnded) -> None:
        outcome = event.outcome
        self.in_flight.pop(event.attempt.attempt_id, None)
        self.moved_at = self.clock.monotonic()
        if event.seconds is not None:
            self.durations.add(event.seconds)
        if outcome.job_state not in self.ended:
            if outcome.attempt_state is not AttemptState.REJECTED:  # a refused kickoff is not a failure
                self._fail(event)
            return
        self.ended[outcome.job_state] += 1
        self.pace.count_one(self.clock.monotonic())
        if outcome.job_state in {JobState.FAILED, JobState.HELD}:
            self._fail(event)

    def _fail(self, event: AttemptEnded) -> None:
        outcome = event.outcome
        reason = outcome.reason or outcome.attempt_state.value
        self.failures.add(event.attempt.job_id, reason, outcome.job_state)

    @property
    def total(self) -> int:
        """Jobs of the batch."""
        return self.run.counts.total if self.run else 0

    @property
    def ended_jobs(self) -> int:
        """Jobs of the batch that ended, whenever."""
        return sum(self.ended.values())

    @property
    def left(self) -> int:
        """Jobs that have not ended, those in flight included."""
        return max(0, self.total - self.ended_jobs)

    @property
    def pending(self) -> int:
        """Jobs that wait."""
        return max(0, self.left - len(self.in_flight) - self.waiting)

    def per_minute(self, now: float) -> float:
        """Return how many jobs of this run ended per minute recently."""
        return self.pace.per_second(now) * 60

    def pace_words(self, now: float, *, dash: str = "–") -> list[str]:
        """Return the recent rate and the estimated time left: `12.0 jobs/min`, `12–18 min left`.

        Neither is returned before enough jobs of this run have ended, or if it is meaningless (`0.0 jobs/min`).
        """
        if not self.left or (self.pace.ended < _ENOUGH_ENDED and now - self.pace.started < _ENOUGH_SECONDS):
            return []
        words, per_minute, left = [], self.per_minute(now), self.time_left(now)
        if per_minute >= 1:
            words.append(f"{per_minute:.1f} jobs/min")
        elif per_minute * 60 >= _LEAST_PER_HOUR:
            words.append(f"{per_minute * 60:.1f} jobs/h")
        if left is not None and left[1] <= _LONGEST_LEFT:
            words.append(f"{format_range(*left, dash=dash)} left")
        return words

    def time_left(self, now: float) -> tuple[float, float] | None:
        """Estimate the least and the most seconds until the last job ends, from this run; None if no rate is known.

        Jobs that wait for human input are not counted, because their end depends on you.
        """
        slots = self.run.concurrency if self.run else 1
        ages = [now - watched.since for watched in tuple(self.in_flight.values())]
        left = max(0, self.left - self.waiting)
        return seconds_left(self.pace, self.durations, ages, left=left, slots=slots, now=now)

"""The progress of a run, updated by its events, as the plain lines and the live display show it.

Recording an event costs O(1), and memory is bounded by the executions in progress, so hundreds of events a second
do not slow down the event loop.
"""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field

from batchcrew.base.clock import Clock, from_text
from batchcrew.base.quantities import format_duration
from batchcrew.model.attempt import Attempt, AttemptState
from batchcrew.model.events import (
    Announced,
    AttemptEnded,
    ConcurrencyChanged,
    Controlled,
    Event,
    KickedOff,
    KickoffSent,
    LedgerChosen,
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

ENDED_STATES = (JobState.SUCCEEDED, JobState.FAILED, JobState.HELD, JobState.CANCELLED, JobState.STALE)
LATEST_FAILURES = 20
"""Failures that are remembered to be shown."""
_ENOUGH_ENDED = 3
_ENOUGH_SECONDS = 60.0
"""A rate is said once this many jobs of the run have ended, or after this time if one has."""
_LEAST_PER_HOUR = 0.1
_LONGEST_LEFT = 30 * 86_400.0
"""Seconds beyond which an estimate of the time left says nothing."""


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

    def update(self, execution: Execution) -> None:
        """Record a status answer."""
        self.current_task = execution.current_task
        self.completed_tasks = execution.completed_tasks
        self.total_tasks = execution.total_tasks
        self.waits_for_person = execution.state is ExecutionState.WAITING_FOR_HUMAN


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that did not succeed."""

    job_id: str
    reason: str
    job_state: JobState
    """`pending`: the job is tried again."""


class Pace:
    """Jobs that ended in this run over time, and their recent rate.

    "Recent" is the second half of the run so far, and at least a minute: it follows a crew that slows down and
    does not jump when long executions end together. Samples are thinned out as they grow: at most 240 are kept.
    """

    _MOST_SAMPLES = 240
    _SHORTEST_WINDOW = 60.0

    def __init__(self, started: float) -> None:
        self.started = started
        self.ended = 0
        self._times = [started]
        self._counts = [0]
        self._interval = 1.0

    def count_one(self, now: float) -> None:
        """Count a job that ended at monotonic `now`."""
        if now - self._times[-1] >= self._interval:
            self._times.append(now)
            self._counts.append(self.ended)
            if len(self._times) > self._MOST_SAMPLES:
                self._times, self._counts = self._times[::2], self._counts[::2]
                self._interval *= 2
        self.ended += 1

    def per_second(self, now: float) -> float:
        """Return how many jobs ended per second recently."""
        window = max(self._SHORTEST_WINDOW, (now - self.started) / 2)
        sample = max(0, bisect_right(self._times, now - window) - 1)
        seconds = now - self._times[sample]
        return (self.ended - self._counts[sample]) / seconds if seconds > 0 else 0.0


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
    failures: deque[Failure] = field(default_factory=lambda: deque(maxlen=LATEST_FAILURES))
    stopping: str | None = None
    pace: Pace = field(init=False)
    _seconds: float = field(init=False, default=0.0)
    _attempts: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.pace = Pace(self.clock.monotonic())

    def observe(self, event: Event) -> None:
        match event:
            case RunStarted():
                counts = event.counts
                numbers = (counts.succeeded, counts.failed, counts.held, counts.cancelled, counts.stale)
                self.run, self.ended = event, dict(zip(ENDED_STATES, numbers, strict=True))
                self.waiting = counts.waiting
                self.pace = Pace(self.clock.monotonic())
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
            case Stopping(detail):
                self.stopping = detail
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
                | Announced()
            ):
                pass

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
        if event.seconds is not None:
            self._seconds += event.seconds
            self._attempts += 1
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
        self.failures.append(Failure(event.attempt.job_id, reason, outcome.job_state))

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

    def pace_words(self, now: float) -> list[str]:
        """Return the recent rate and the estimated time left: `12.0 jobs/min`, `about 3m 20s left`.

        Neither is returned before enough jobs of this run have ended, or where it would say nothing (`0.0 jobs/min`).
        """
        if not self.left or (self.pace.ended < _ENOUGH_ENDED and now - self.pace.started < _ENOUGH_SECONDS):
            return []
        words, per_minute, left = [], self.per_minute(now), self.seconds_left(now)
        if per_minute >= 1:
            words.append(f"{per_minute:.1f} jobs/min")
        elif per_minute * 60 >= _LEAST_PER_HOUR:
            words.append(f"{per_minute * 60:.1f} jobs/h")
        if left is not None and left <= _LONGEST_LEFT:
            words.append(f"about {format_duration(left)} left")
        return words

    def seconds_left(self, now: float) -> float | None:
        """Estimate the seconds until the last job ends from this run's pace; None if there is no pace yet.

        Until a whole round of slots has ended, the jobs that ended are the quick ones and came late: then the
        guess is the number of executions in progress divided by the mean time of an execution so far.
        """
        if self.left == 0 or self.pace.ended == 0:
            return None
        per_second = self.pace.per_second(now)
        if self.run and self.pace.ended < self.run.concurrency and self._attempts and self._seconds > 0:
            per_second = max(per_second, len(self.in_flight) * self._attempts / self._seconds)
        return self.left / per_second if per_second > 0 else None

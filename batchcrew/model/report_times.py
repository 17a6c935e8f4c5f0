"""Times of a report: how long the batch took and why, its timeline, and how long its executions took."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePart:
    """One part of a batch's duration, in the order of `TIME_PARTS`."""

    name: str
    """A key of `TIME_PARTS`."""
    slot_seconds: float
    """Seconds that slots spent on it, summed over the slots."""
    seconds: float
    """The same in seconds of the batch: `slot_seconds` divided by the mean number of slots."""


ANSWERS = "answers"
"""The only part of an ideal duration."""
TIME_PARTS = {
    ANSWERS: "executions that succeeded",
    "unsuccessful": "executions that did not succeed, retried or not",
    "late_detection": "executions that had ended, until batchcrew noticed it",
    "kickoffs": "kickoffs being sent, until the crew accepted or refused them",
    "throttled": "free slots while a crew refused kickoffs (429, 503)",
    "paused": "free slots while the batch was paused",
    "gaps": "free slots while no run was working",
    "idle": "free slots for other reasons: the start, the end, rate limits, retry delays",
}
"""The meaning of each part of the duration, by its name. The parts add up to the duration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """The duration of a batch, compared with the ideal for the same slots, and the parts that make the difference.

    A slot is what one execution in progress occupies; the batch had `slots` of them, on average from `started_at` to
    `ended_at`. Each second of each slot belongs to exactly one of `parts`, so `slot_seconds` add up to
    `elapsed_seconds * slots`, and `seconds` add up to `elapsed_seconds`. The ideal is the part `answers` alone: the
    successful executions at their actual durations, one after another, in slots that are always in use.

    An execution that waits for human input occupies no slot. What ends between two runs counts as late from its end
    (as the crew reports it) up to the end of the gap as `gaps`, not as `late_detection`.
    """

    started_at: str | None = None
    """Start of the first run; None: there was no run."""
    ended_at: str | None = None
    """The latest end of an attempt or a run; while the batch runs, now."""
    elapsed_seconds: float = 0.0
    ideal_seconds: float = 0.0
    slots: float = 0.0
    """The mean number of slots."""
    slots_known: bool = True
    """False: a run before version 8 of the schema did not record its slots; the most executions in progress count."""
    working_seconds: float = 0.0
    """The part of `elapsed_seconds` during which a run was working, or ticks were called one after another."""
    parts: tuple[TimePart, ...] = ()
    """Every part, also those of 0 seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineBin:
    """One interval of the timeline."""

    kickoffs: int = 0
    """Kickoffs that a crew accepted."""
    succeeded: int = 0
    """Attempts that ended with an answer that counts."""
    failed: int = 0
    """Attempts that were accepted and ended in another way."""
    refused: int = 0
    """Kickoffs that a crew refused."""
    in_progress: float = 0.0
    """The mean number of executions in progress."""
    slots: float = 0.0
    """The mean number of slots allowed; 0 where no run was working."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened at a moment of the timeline, or during a part of it."""

    kind: str
    """`run_started`, `run_ended`, `throttled`, `paused`, `slots`, or a command: `set`, `reset`, `cancel`, `stop`."""
    at: str
    until: str | None = None
    """The end of what has a duration: `throttled`, `paused`."""
    text: str = ""
    """The event, as a short phrase: `run 2 stopped: budget`, `set concurrency = 5 by ann@host`."""
    crew: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All runs of a batch on one axis, in intervals of equal length."""

    started_at: str = ""
    bin_seconds: float = 0.0
    bins: tuple[TimelineBin, ...] = ()
    marks: tuple[Mark, ...] = ()
    """In the order of time."""
    more_marks: int = 0
    """Marks that are not listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationBin:
    """One interval of a distribution: `start <= seconds < end`."""

    start: float
    end: float
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Durations of the executions of a crew, or of one of its tasks.

    Only executions that succeeded count; of tasks, only the latest 200,000 executions. Their time is that which the
    crew reports, else the time from the kickoff to the observed end. Percentiles are times that occurred, by nearest
    rank, at most 1 % above the exact value.
    """

    crew: str
    """The crew; empty for a task of several crews."""
    task: str | None = None
    """None: the whole executions."""
    number: int = 0
    total_seconds: float = 0.0
    least: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    most: float = 0.0
    bins: tuple[DurationBin, ...] = ()
    """From `least` to `most`, in intervals of which each is longer than the one before by the same factor."""

    @property
    def mean(self) -> float:
        return self.total_seconds / self.number if self.number else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Numbers per minute of `Duration.working_seconds`; None: it is too short to say."""

    kickoffs_per_minute: float | None = None
    answers_per_minute: float | None = None
    best_answers_per_minute: float | None = None
    """In the best interval of the timeline."""

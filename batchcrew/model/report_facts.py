"""The ledger's facts about a batch for its report: counts and sums, from which the report's figures are computed.

Moments of a batch are seconds from the start of its `Axis`, so that they can be summed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from batchcrew.model.control import ControlLine
from batchcrew.model.failures import FailureGroups, GroupDetail
from batchcrew.model.money import Spending
from batchcrew.model.run import Counts
from batchcrew.model.views import BatchTotals, RunLine

Interval = tuple[float, float]
"""Start and end in seconds of the axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The time of a batch, from the start of its first run to the end of its last one, in intervals of equal length."""

    start: datetime
    seconds: float
    """From the start to the end."""
    bin_seconds: float
    """The length of an interval of the timeline."""
    steps_per_bin: int
    """Moments are counted in steps that are finer than the intervals of the timeline."""

    @property
    def step(self) -> float:
        return self.bin_seconds / self.steps_per_bin

    @property
    def bins(self) -> int:
        return max(1, -int(-self.seconds // self.bin_seconds))

    @property
    def steps(self) -> int:
        return self.bins * self.steps_per_bin


class Moments:
    """Moments of attempts, by the step of the axis that they are in.

    Args:
        steps: of the axis.
    """

    def __init__(self, steps: int) -> None:
        self.numbers = [0] * steps
        self.seconds = [0.0] * steps
        """The sum of the moments in each step."""


class AttemptMoments:
    """The moments of attempts of one kind: each slot is in use from `started` to `seen`, apart from waits."""

    def __init__(self, steps: int) -> None:
        self.started = Moments(steps)
        """Their intents."""
        self.kicked_off = Moments(steps)
        """When the crew had accepted or refused the kickoff."""
        self.ended = Moments(steps)
        """The end of the execution, as far as the crew reports it; else as `seen`."""
        self.seen = Moments(steps)
        """When batchcrew recorded the end."""
        self.wait_began = Moments(steps)
        """When an execution began to wait for human input, which frees its slot."""
        self.wait_ended = Moments(steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationCount:
    """Executions of a crew or a task that took nearly the same time."""

    crew: str
    task: str | None
    number: int
    seconds: float
    """The sum of their times."""
    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCount:
    """Attempts by crew, state and the price of their kickoff."""

    crew: str
    state: str
    price: str | None
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotChange:
    """The number of slots that a run, or one of its crews, has from a moment on."""

    at: float
    slots: int
    crew: str | None = None
    """The crew with `concurrency: auto`; None: the complete run."""
    adaptive: bool = False
    """Whether `slots` is the maximum of `concurrency: auto`, for a run."""
    run: int = 0
    """The number of the run, from 0."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpan:
    """When a run was working."""

    kind: str
    start: float
    end: float
    stopped: str | None = None
    ended: bool = True
    """False: it is working, or it was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFacts:
    """Everything that a report needs, as of one moment."""

    now: datetime
    running: bool
    counts: Counts
    without_output: int
    totals: BatchTotals
    axis: Axis | None = None
    """None: no run has begun."""
    spans: tuple[RunSpan, ...] = ()
    """Runs and ticks in the order of time."""
    slots: tuple[SlotChange, ...] = ()
    moments: Mapping[str, AttemptMoments] = field(default_factory=dict)
    """By the kind of attempt: `succeeded`, `unsuccessful`, `open`, `unanswered` (the kickoff), `throttled` (refused for
    now) or `refused`."""
    attempts: tuple[AttemptCount, ...] = ()
    tokens: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Number of attempts that reported tokens, and their tokens, by the state of ended attempts."""
    durations: tuple[DurationCount, ...] = ()
    spending: Spending = field(default_factory=Spending)
    crews: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Jobs by state, by crew."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """By crew, as in its latest run."""
    prices: Mapping[str, str] = field(default_factory=dict)
    """The latest price of a kickoff, by crew."""
    controls: tuple[ControlLine, ...] = ()
    """Commands in the order of time."""
    groups: FailureGroups = field(default_factory=FailureGroups)
    details: tuple[GroupDetail, ...] = ()
    """Of `groups.groups`, in their order."""
    runs: tuple[RunLine, ...] = ()
    """The latest, the newest first."""
    number_of_runs: int = 0

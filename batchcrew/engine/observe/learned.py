"""Poll an execution when earlier executions suggest that it may have ended."""

import math
import random
from enum import Enum, auto

from batchcrew.base.clock import Clock
from batchcrew.config.settings import PollSettings
from batchcrew.engine.observe.durations import Durations
from batchcrew.engine.observe.hazard import Hazard
from batchcrew.engine.observe.schedule import wait_after
from batchcrew.engine.retry import jittered
from batchcrew.model.crew_answers import StatusAnswer
from batchcrew.model.execution import Execution, ExecutionState

FIRST_GROWTH = 0.25
"""While no execution of a crew is known, one is polled again after this share of its age."""
LEAST_SHARE = 0.05
"""Without `poll.min`, polls are this share of the median duration apart at least, or `poll.initial` if that is less."""
MOST_LOSS = 0.08
"""Polls are no more than those of `strategy: backoff`, unless more than this share of the slots' time would be lost."""
MOST_LOSS_SHORT = 0.06
SHORT_SECONDS = 5.0
"""The same for crews whose median duration is shorter than this: the time of a request is lost in addition."""
_SHARE_OF_BACKOFF = 0.88
"""The rest allows for the uncertainty of the durations."""
_CHEAPEST = 3.0
_DEAREST = 200.0
"""Bounds of the price of a poll, relative to that of `Hazard`."""
_COMPARISONS = 8
_KICKOFF_SECONDS = 1.0
"""A crew measures an execution from before its answer to the kickoff arrives."""
_RENEWED_SECONDS = 0.2
_FEW = 20
"""Executions from which on the hazard is renewed less often."""
_RENEWED_SHARE = 0.05


class Why(Enum):
    """The reason for a wait."""

    FIRST = auto()
    """`poll.initial`: no execution of the crew has ended yet."""
    AGE = auto()
    """The execution's age, for the same reason."""
    HAZARD = auto()
    """When the crew's executions end."""
    SHORTEST = auto()
    """No wait is shorter."""
    LONGEST = auto()
    """No wait is longer (`poll.max`)."""
    BEYOND = auto()
    """The execution's age: hardly any execution of the crew takes as long."""


def learns(poll: PollSettings) -> bool:
    """Return whether polls depend on earlier executions; not where all waits are equal."""
    return poll.strategy == "learned" and (poll.min is not None or poll.initial < poll.max)


def wait_at(age: float, hazard: Hazard | None, poll: PollSettings) -> tuple[float, Why]:
    """Return the seconds, without jitter, before the next poll of an execution that is `age` seconds old, and why."""
    if hazard is None:
        first, why = (poll.initial, Why.FIRST)
        if age >= poll.initial:
            first, why = max(poll.initial / 2, age * FIRST_GROWTH), Why.AGE
        least = poll.min or 0.0
    else:
        least = shortest_wait(hazard, poll)
        due = hazard.next_poll(age)
        first, why = (age * FIRST_GROWTH, Why.BEYOND) if due is None else (due - age, Why.HAZARD)
    if first > poll.max:
        first, why = poll.max, Why.LONGEST
    return (first, why) if first >= least else (least, Why.SHORTEST)


def shortest_wait(hazard: Hazard, poll: PollSettings) -> float:
    """Return the shortest wait for a crew whose executions are known."""
    return poll.min or min(poll.initial, hazard.median * LEAST_SHARE)


def hazard_of(durations: Durations, poll: PollSettings) -> Hazard:
    """Return the hazard of a crew's executions, with the price of a poll that fits these settings.

    It is the lowest price, within bounds, with which polls are expected to be no more than those of `strategy:
    backoff`; but no price that leads to a loss above the most that is allowed.

    Args:
        durations: of at least one execution.
    """
    hazard = Hazard(durations)
    backoff = poll.model_copy(update={"strategy": "backoff"})
    most = _SHARE_OF_BACKOFF * hazard.expected(lambda age, polls: wait_after(polls, backoff)).polls

    most_loss = MOST_LOSS_SHORT if hazard.median < SHORT_SECONDS else MOST_LOSS

    def is_enough(price: float) -> bool:
        hazard.price = price
        expected = hazard.expected(lambda age, polls: wait_at(age, hazard, poll)[0])
        return expected.polls <= most or expected.loss >= most_loss

    low, high = hazard.price / _CHEAPEST, hazard.price * _DEAREST
    if is_enough(low):
        return hazard
    for _ in range(_COMPARISONS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    hazard.price = low
    return hazard


class CrewDurations:
    """A run's knowledge about the durations of one crew's executions.

    Args:
        poll: how the run polls.
        durations: of earlier runs.
    """

    def __init__(self, clock: Clock, poll: PollSettings, durations: Durations | None = None) -> None:
        self._poll = poll
        self.durations = durations or Durations()
        self.added = 0
        """Executions that were added in this run and are not saved yet."""
        self._clock = clock
        self._hazard: Hazard | None = None
        self._renewed_at = -math.inf
        self._behind = 0

    def add(self, latest: float, earliest: float) -> None:
        """Add an execution that ended between two moments, in seconds after its kickoff."""
        self.durations.add(latest, earliest=earliest)
        self.added += 1
        self._behind += 1

    @property
    def hazard(self) -> Hazard | None:
        """The hazard of the executions; None before the first one has ended."""
        if self.durations.count and (self._hazard is None or self._is_behind()):
            self._hazard = hazard_of(self.durations, self._poll)
            self._renewed_at, self._behind = self._clock.monotonic(), 0
        return self._hazard

    def _is_behind(self) -> bool:
        """Return whether the hazard must be computed again, which takes some milliseconds (30 at most)."""
        wait = _RENEWED_SECONDS * min(max(self.durations.count / _FEW, 1.0), 5.0)
        if not self._behind or self._clock.monotonic() - self._renewed_at < wait:
            return False
        return self._behind >= min(self.durations.count, 200) * _RENEWED_SHARE


class LearnedSchedule:
    """Chooses each poll of one execution by the hazard that it ends.

    Args:
        since: monotonic moment of the kickoff.
        running_at: monotonic moment at which it was last known to be running; None: it is unknown.
    """

    def __init__(
        self,
        crew: CrewDurations,
        poll: PollSettings,
        *,
        clock: Clock,
        rng: random.Random,
        since: float,
        running_at: float | None,
    ) -> None:
        self._crew = crew
        self._poll = poll
        self._clock = clock
        self._rng = rng
        self._since = since
        self._running_age = None if running_at is None else self._age(running_at)
        self._learns = True

    def first(self) -> float:
        """Return the age at which an execution is first polled (see `Schedule`)."""
        return wait_at(0.0, self._crew.hazard, self._poll)[0]

    def spread(self) -> float:
        """Return a moment within one wait: many executions may be resumed at once."""
        return self._rng.uniform(0, self.next())

    def next(self, *, at_least: float | None = None) -> float:
        """Return the seconds before the next poll (see `Schedule`)."""
        wait, _ = wait_at(self._age(self._clock.monotonic()), self._crew.hazard, self._poll)
        return max(jittered(wait, self._rng), at_least or 0.0)

    def learn_nothing(self) -> None:
        """Do not count the execution among those that the schedule learns from."""
        self._learns = False

    def record(self, answer: StatusAnswer, sent_at: float) -> None:
        """Learn from the answer to a poll that was sent at this monotonic moment."""
        if not isinstance(answer, Execution) or not self._learns:
            return
        age = self._age(sent_at)
        match answer.state:
            case ExecutionState.SUCCEEDED | ExecutionState.FAILED:
                self._learns = False
                self._ended(age, answer.execution_time)
            case ExecutionState.WAITING_FOR_HUMAN:
                self._learns = False  # the duration depends on the operator
            case ExecutionState.NOT_FOUND:
                pass
            case _:
                self._running_age = age

    def _ended(self, age: float, reported: float | None) -> None:
        """Learn from an execution that has ended; not if it may have ended long before, while no run was watching."""
        earliest = self._running_age
        if reported is not None and (earliest or 0.0) <= reported <= age + _KICKOFF_SECONDS:
            ended = min(reported, age)
            self._crew.add(ended, ended)
        elif earliest is not None:
            self._crew.add(age, earliest)

    def _age(self, moment: float) -> float:
        return max(0.0, moment - self._since)

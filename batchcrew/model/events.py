"""The events of a run: the engine reports them, `progress/` shows them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from batchcrew.model.attempt import Attempt, Outcome
from batchcrew.model.capacity import Capacity
from batchcrew.model.crew_answers import StatusAnswer
from batchcrew.model.execution import Execution, Question
from batchcrew.model.run import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The engine starts; `counts` are those of the ledger at this moment."""

    batch: str
    run_id: str
    jobfile: str
    ledger: str
    crews: tuple[str, ...]
    """`name (url)` of each crew, without token."""
    concurrency: int
    """The most executions in progress."""
    counts: Counts
    program: str = "batchcrew"
    """The program name that batchcrew was called with, with which printed commands start."""
    adaptive: bool = False
    """Whether `concurrency` is the maximum of `concurrency: auto`."""


@dataclass(frozen=True, slots=True)
class KickoffSent:
    """The kickoff leaves now."""

    attempt: Attempt
    again: str | None = None
    """The previous answer, which is why it is sent once more with the same key; None the first time."""


@dataclass(frozen=True, slots=True)
class KickedOff:
    """A crew accepted the attempt; or the run resumed watching an execution of an earlier run (`taken_up`)."""

    attempt: Attempt
    taken_up: bool = False


@dataclass(frozen=True, slots=True)
class ConcurrencyChanged:
    """`concurrency: auto` has changed the number of slots of a crew."""

    crew: str
    before: int
    after: int
    reason: str


@dataclass(frozen=True, slots=True)
class RetriesHeldBack:
    """Retries of a crew are due and wait, because its new jobs start first. Reported once a minute."""

    crew: str


@dataclass(frozen=True, slots=True)
class CapacityChanged:
    """The number of slots, or the reason why no more jobs start, has changed."""

    capacity: Capacity


@dataclass(frozen=True, slots=True)
class PollDue:
    """An execution is polled next at this moment, or earlier if a webhook comes."""

    attempt_id: str
    at: float
    """Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Polled:
    """A status request was answered, or got no answer."""

    attempt: Attempt
    answer: StatusAnswer


@dataclass(frozen=True, slots=True)
class Announced:
    """A webhook reported that the execution has ended."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Understood:
    """A crew's answer had something in a place where no earlier answer of this run had it."""

    crew: str
    what: str
    """`kickoff id`, `status` or `output`."""
    place: str
    """`data.kickoff_id`."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """A poll showed that an execution still runs."""

    attempt: Attempt
    execution: Execution


@dataclass(frozen=True, slots=True)
class WaitStarted:
    """The execution waits for human input, and so does its job; its slot is free."""

    attempt: Attempt
    question: Question


@dataclass(frozen=True, slots=True)
class WaitEnded:
    """The execution does not wait for human input any more."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """The attempt and its outcome are durable."""

    attempt: Attempt
    outcome: Outcome
    seconds: float | None
    """From kickoff to end; None if it was never kicked off."""


@dataclass(frozen=True, slots=True)
class RecordKickoff:
    """Record a kickoff_id that could be written neither to the ledger nor to the spill file."""

    job_id: str
    kickoff_id: str


@dataclass(frozen=True, slots=True)
class WatchFormerAddress:
    """Watch the executions at a crew's former address with another token."""

    crew: str
    url: str


Action: TypeAlias = RecordKickoff | WatchFormerAddress
"""The next step after a warning; the engine does not know the command for it."""


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning for the operator, in one line."""

    message: str
    repeated: bool = False
    """True: the batch's last run reported it too."""
    lasting: bool = False
    """True: it persists from run to run until something changes, and is reported once."""
    action: Action | None = None
    next_step: str = ""
    """The action with its command, quoted for a shell; it must not be shortened."""

    @property
    def text(self) -> str:
        """Return the message with the next step."""
        return f"{self.message}; {self.next_step}" if self.next_step else self.message


@dataclass(frozen=True, slots=True)
class Controlled:
    """A command of an operator has reached the run: `paused by alice@host: no new jobs will start`."""

    message: str


@dataclass(frozen=True, slots=True)
class Expected:
    """The canary has passed; `message` has the expected cost, failures and duration of the rest."""

    message: str


@dataclass(frozen=True, slots=True)
class LedgerChosen:
    """The ledger is not in the current folder."""

    ledger: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """No new job starts any more; `detail` is the reason."""

    detail: str
    in_flight: int


Event: TypeAlias = (
    RunStarted
    | KickoffSent
    | KickedOff
    | Polled
    | Announced
    | Understood
    | ConcurrencyChanged
    | RetriesHeldBack
    | CapacityChanged
    | PollDue
    | Progressed
    | WaitStarted
    | WaitEnded
    | AttemptEnded
    | Warned
    | Controlled
    | Expected
    | LedgerChosen
    | Stopping
)
Observe: TypeAlias = Callable[[Event], None]

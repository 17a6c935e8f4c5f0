"""What happens during a run, as values: the engine says it, `progress/` shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from batchcrew.model.attempt import Attempt, Outcome
from batchcrew.model.execution import Execution
from batchcrew.model.run import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The engine begins; `counts` is the batch as the ledger has it now."""

    batch: str
    run_id: str
    jobfile: str
    ledger: str
    crews: tuple[str, ...]
    """`name (url)` of each crew, without token."""
    concurrency: int
    counts: Counts
    program: str = "batchcrew"
    """How this batchcrew was called: commands that are shown start with it."""


@dataclass(frozen=True, slots=True)
class KickedOff:
    """A crew accepted the attempt (or an execution of an earlier run was taken up: `taken_up`)."""

    attempt: Attempt
    taken_up: bool = False


@dataclass(frozen=True, slots=True)
class Progressed:
    """A status answer of an execution that still runs."""

    attempt: Attempt
    execution: Execution


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """The attempt and its outcome are durable."""

    attempt: Attempt
    outcome: Outcome
    seconds: float | None
    """From kickoff to end; None when it was never kicked off."""


@dataclass(frozen=True, slots=True)
class RecordKickoff:
    """Record a kickoff_id that neither the ledger nor the spill file could take."""

    job_id: str
    kickoff_id: str


@dataclass(frozen=True, slots=True)
class WatchFormerAddress:
    """Watch the executions at a crew's former address with another token."""

    crew: str
    url: str


Action: TypeAlias = RecordKickoff | WatchFormerAddress
"""What you can do about a warning; the engine does not know the command."""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something a person may want to know, in one line."""

    message: str
    repeated: bool = False
    """The batch's last run said it too: a person knows already."""
    lasting: bool = False
    """True in run after run until something changes: reported once."""
    action: Action | None = None
    next_step: str = ""
    """The action with its command, quoted for a shell: never to be cut."""

    @property
    def text(self) -> str:
        """All of it."""
        return f"{self.message}; {self.next_step}" if self.next_step else self.message


@dataclass(frozen=True, slots=True)
class LedgerChosen:
    """The ledger is not in the current folder."""

    ledger: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """Nothing new starts any more, and why."""

    detail: str
    in_flight: int


Event: TypeAlias = RunStarted | KickedOff | Progressed | AttemptEnded | Warned | LedgerChosen | Stopping
Observe: TypeAlias = Callable[[Event], None]

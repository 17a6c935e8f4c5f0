"""The meanings of a crew's answers, one class for each."""

from dataclasses import dataclass, field
from typing import TypeAlias

from batchcrew.model.execution import Execution


@dataclass(frozen=True, slots=True)
class Accepted:
    """The execution has started; `kickoff_id` identifies it."""

    kickoff_id: str
    place: str = field(default="", compare=False)
    """The place of the id in the answer: `data.kickoff_id`."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer to the kickoff is the result of the execution, which has ended and is never polled."""

    execution: Execution
    kickoff_id: str | None = None
    """The id that the answer has as well; most have none."""


@dataclass(frozen=True, slots=True)
class Busy:
    """The kickoff was refused for now (408, 425, 429, 503): it uses up no attempt, and slows kickoffs down."""

    reason: str
    retry_after: float | None = None
    """Seconds from the server's `Retry-After`, limited by the client."""
    too_many: bool = False
    """True for 429: the server limits executions or requests. The other codes have other reasons."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request never left: the connection was refused, or DNS or the TLS handshake failed."""

    reason: str
    local: bool = False
    """True: this machine is out of file descriptors, so the failure is not the crew's."""


@dataclass(frozen=True, slots=True)
class BadInputs:
    """The server refuses these inputs permanently (400, 422 and similar): the job fails."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """The crew cannot be used (401, 403, 404, 405): nothing more is started."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The answer has a success code, but is an error or a login page: it uses up an attempt, and costs nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class Doubtful:
    """The request was sent, and its answer is lost or not understood: the crew may be running."""

    reason: str
    body: str = field(default="", compare=False)
    """The answer that was not understood, as it came, up to a limit."""


KickoffAnswer: TypeAlias = Accepted | Finished | Busy | NotSent | BadInputs | Unusable | NotStarted | Doubtful


@dataclass(frozen=True, slots=True)
class Unclear:
    """A poll was answered with something other than a status: poll again later."""

    reason: str
    retry_after: float | None = None
    local: bool = False
    """True: this machine is out of file descriptors, so the failure is not the crew's."""
    passing: bool = False
    """True: the server or its gateway is overloaded, starting or failing, which may soon change."""
    body: str = field(default="", compare=False)
    """The answer with a success code that was not understood, as it came, up to a limit."""


StatusAnswer: TypeAlias = Execution | Unusable | Unclear


@dataclass(frozen=True, slots=True)
class Resumed:
    """The crew has taken the human input: the execution continues, or repeats its task."""

    word: str = ""
    """The status word of the answer: `resumed`, `retrying`, `completed`."""


@dataclass(frozen=True, slots=True)
class NotResumed:
    """The crew refuses the human input: the execution does not wait for it, is unknown, or the input is wrong."""

    reason: str


ResumeAnswer: TypeAlias = Resumed | NotResumed | Busy | NotSent | Unusable | Doubtful


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewInput:
    """One input of a crew."""

    name: str
    type: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewInputs:
    """The answer to `GET /inputs`."""

    inputs: tuple[CrewInput, ...]
    idempotent_kickoff: bool = False
    """True: the server sent `Idempotency-Key: supported`, so the same attempt may be sent again."""

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.inputs if entry.required)

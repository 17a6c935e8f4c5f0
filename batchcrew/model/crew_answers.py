"""What a crew's answers mean: one class for each line of the tables in docs/reliability.md."""

from dataclasses import dataclass
from typing import TypeAlias

from batchcrew.model.execution import Execution


@dataclass(frozen=True, slots=True)
class Accepted:
    """The crew runs under `kickoff_id`."""

    kickoff_id: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Refused for now (408, 425, 429, 503): uses up no attempt, slows this crew's kickoffs down."""

    reason: str
    retry_after: float | None = None
    """Seconds the server asked for; bounded by the client."""
    too_many: bool = False
    """429: the server counts what runs, or how often it is asked; the others say nothing about that."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request never left: refused connection, DNS, TLS handshake."""

    reason: str
    local: bool = False
    """This machine is out of file descriptors: it says nothing about the crew."""


@dataclass(frozen=True, slots=True)
class BadInputs:
    """The server refuses these inputs for good (400, 422 and the like): the job fails."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """The crew cannot be worked with (401, 403, 404, 405): nothing more is started."""

    reason: str


@dataclass(frozen=True, slots=True)
class Doubtful:
    """The request was sent and the answer is lost or makes no sense: the crew may be running."""

    reason: str


KickoffAnswer: TypeAlias = Accepted | Busy | NotSent | BadInputs | Unusable | Doubtful


@dataclass(frozen=True, slots=True)
class Unclear:
    """An answer to a status call that is no status: ask again later."""

    reason: str
    retry_after: float | None = None
    local: bool = False
    """This machine is out of file descriptors: it says nothing about the crew."""
    passing: bool = False
    """The server, or what is in front of it, is overloaded, starting or broken: it may soon answer otherwise."""


StatusAnswer: TypeAlias = Execution | Unusable | Unclear


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewInput:
    """One input that a crew asks for."""

    name: str
    type: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewInputs:
    """The answer to `GET /inputs`."""

    inputs: tuple[CrewInput, ...]
    idempotent_kickoff: bool = False
    """The server said `Idempotency-Key: supported`: the same attempt may be sent again."""

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.inputs if entry.required)

"""The results of `doctor` for a crew: one line for each check, and the facts from one execution."""

from dataclasses import dataclass, field
from enum import StrEnum

from batchcrew.model.crew_answers import CrewInputs


class Level(StrEnum):
    """How much a diagnosis matters."""

    OK = "ok"
    WARNING = "warning"
    """Runs work, but something is slower or less safe than it could be, or could not be verified."""
    PROBLEM = "problem"
    """Runs cannot work."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of one check."""

    check: str
    """Name of the check, one or two words: `token`."""
    level: Level
    text: str
    """One sentence without its full stop, cleaned: it may repeat the crew's words."""
    fix: str = ""
    """The fix; empty if none is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewExamination:
    """The results of the checks of one crew without an execution."""

    name: str
    url: str
    """Address of the crew, without its token."""
    diagnoses: tuple[Diagnosis, ...]
    inputs: CrewInputs | None = None
    """None: the crew was not reached, or lists none."""

    @property
    def has_problem(self) -> bool:
        """Return whether runs with this crew cannot work."""
        return any(each.level is Level.PROBLEM for each in self.diagnoses)


@dataclass(frozen=True, slots=True, kw_only=True)
class KickoffExamination:
    """The facts from one execution."""

    crew: str
    attempt_id: str
    """Sent as `Idempotency-Key` and in `meta`, by which the crew's operator can find the execution."""
    kickoff_id: str | None = None
    """None: the crew gave none."""
    status_path: str | None = None
    """The path on which the crew answers status requests: `/status/{id}`."""
    status_words: tuple[str, ...] = ()
    """The words that it used, in order."""
    ended: bool = False
    diagnoses: tuple[Diagnosis, ...] = field(default=())

    @property
    def has_problem(self) -> bool:
        """Return whether runs with this crew cannot work."""
        return any(each.level is Level.PROBLEM for each in self.diagnoses)

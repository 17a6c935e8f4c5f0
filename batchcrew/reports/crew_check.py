"""The results of `check` for one crew."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchcrew.model.crew_answers import CrewInputs
from batchcrew.reports.served_crew import ServedCrewCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewCheck:
    """One crew of a job file, and its inputs compared with those of its jobs."""

    name: str
    url: str
    """Without token."""
    jobs: int
    """Jobs of the file for this crew."""
    inputs: CrewInputs | None = None
    """The inputs that the crew expects; None if they were not requested (`--offline`) or it gave no answer."""
    problem: str | None = None
    """The reason why it gave no answer."""
    missing_inputs: Mapping[str, int] = field(default_factory=dict)
    """Required input -> number of jobs without it."""
    missing_jobs: tuple[str, ...] = ()
    """job_ids with a missing input (the first few)."""
    sent: tuple[str, ...] = ()
    """Columns that it is sent, if the job file does not name them."""
    not_sent: tuple[str, ...] = ()
    """Columns that it is not sent."""
    served: ServedCrewCheck | None = None
    """For a crew that is served for the run."""


@dataclass(frozen=True, slots=True)
class SampleJob:
    """A job as its crew would receive it."""

    job_id: str
    crew: str
    inputs: Mapping[str, Any]
    meta: Mapping[str, Any]

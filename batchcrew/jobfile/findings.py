"""Collect the findings of the parts of a job file's reader."""

from dataclasses import dataclass, field

from batchcrew.jobfile.problems import Problems
from batchcrew.model.job import Location


@dataclass(slots=True, kw_only=True)
class Findings:
    """The problems and warnings of a job file."""

    problems: Problems
    broken: set[Location] = field(default_factory=set)
    """Places of values that already have a problem: no second one is added for them."""
    warnings: list[str] = field(default_factory=list)
    holds_secret: bool = False
    """Whether the job file itself holds a token or another credential."""

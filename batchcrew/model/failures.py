"""Failure groups: failed and held jobs whose reasons have the same fixed parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """The failed and held jobs of a batch that have one fingerprint."""

    fingerprint: str | None
    """None: these jobs have no reason."""
    jobs: int
    held: int = 0
    """The number of these jobs that are on hold."""
    example_job: str
    reason: str | None = None
    """The reason of the example."""
    first_at: str = ""
    """When the first of these jobs failed, UTC text."""
    last_at: str = ""
    least_attempts: int = 0
    """The fewest attempts of one of these jobs, including refused kickoffs."""
    most_attempts: int = 0
    retried: int = 0
    """Jobs with more than one attempt."""

    @property
    def failed(self) -> int:
        return self.jobs - self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroups:
    """The largest failure groups of a batch."""

    groups: tuple[FailureGroup, ...] = ()
    """The largest first."""
    number: int = 0
    """Of all groups."""
    jobs: int = 0
    """Failed and held jobs in all groups."""

    @property
    def more_groups(self) -> int:
        return self.number - len(self.groups)

    @property
    def more_jobs(self) -> int:
        return self.jobs - sum(group.jobs for group in self.groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDetail:
    """The attempts of a failure group: their states, kickoffs and cost."""

    kinds: Mapping[str, int] = field(default_factory=dict)
    """Jobs by the state of their latest attempt, or `answer_rejected`; `not_kicked_off` is without one."""
    kickoffs: int = 0
    """Kickoffs of these jobs that were not refused."""
    cost: str | None = None
    """Their cost, `12.50 USD`, or a range; None if no price is known."""

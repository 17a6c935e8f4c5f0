"""A webhook of a crew, as far as it was understood, and the counts of a run's webhooks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """The report of a webhook about the attempt whose token it carries."""

    attempt_id: str
    kickoff_id: str | None = None
    names: str | None = None
    """The attempt that its `meta` names; None if it has no such `meta`."""
    ended: bool = False
    """It reports that the execution has ended."""
    paused: bool = False
    """It reports that the execution waits for human input."""
    task: str | None = None
    """Name of a task that has ended."""
    current_task: str | None = None
    """Name of a task that has begun."""
    body: str = ""
    """The unchanged body of a webhook about an execution's end. Its result counts only if webhooks are trusted."""

    @property
    def contradicts_itself(self) -> bool:
        """Whether its `meta` names another attempt than its token."""
        return self.names is not None and self.names != self.attempt_id


@dataclass(slots=True)
class WebhookCounts:
    """The number of webhooks of a run, by the way in which they were treated."""

    received: int = 0
    """Number of webhooks with a valid token."""
    used: int = 0
    """Number of webhooks that brought a poll forward, or whose result counted."""
    progress: int = 0
    """Number of webhooks that showed progress."""
    repeated: int = 0
    late: int = 0
    """Number of webhooks for attempts that had ended, or that this run does not have."""
    mismatched: int = 0
    """Number of webhooks that name another attempt or execution than their token."""
    malformed: int = 0
    oversized: int = 0
    forged: int = 0
    """Number of webhooks without a valid token, authentication or signature."""
    dropped: int = 0
    """Number of webhooks that came faster than they could be read."""
    found_again: int = 0
    """Kickoffs in doubt that a webhook has found again."""

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> "WebhookCounts":
        """Return the counts that `as_dict` returned."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: int(number) for name, number in counts.items() if name in known})


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookUrls:
    """The parts of the URLs of webhooks, for one batch."""

    base: str
    """URL at which crews reach batchcrew, without a slash at its end."""
    secret: bytes = field(repr=False)
    """The batch's secret; the tokens are derived from it."""
    tasks: bool = False
    steps: bool = False
    events: tuple[str, ...] = ()
    human: Mapping[str, Any] | None = field(default=None, repr=False)
    """The fields of `humanInputWebhook` besides its URL: the authentication; None: it is not requested."""

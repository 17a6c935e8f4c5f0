"""The commands of operators to a batch: a pause, other settings, cancelled jobs, the end of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The operator who gave a command, the time, and the reason."""

    by: str
    """`user@host`."""
    at: str
    """UTC text, by the clock of that machine; only for display."""
    reason: str | None = None

    def __str__(self) -> str:
        return f"by {self.by} ({self.reason})" if self.reason else f"by {self.by}"

    @property
    def cancelled(self) -> str:
        """The reason of a job that was cancelled before it was kicked off."""
        return f"cancelled {self}"

    @property
    def let_go(self) -> str:
        """The reason of a job that was cancelled while its execution was in progress."""
        return f"{self.cancelled}; the execution may still be running (and billed)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetValue:
    """A setting that replaces the job file's until it is reset."""

    value: Any
    """The value as a job file writes it: `10/m`."""
    given: Given


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The commands in force for a batch: its pause and the values of `set`."""

    version: int = 0
    """The number of the latest command; another number means that something may have changed."""
    pause: Given | None = None
    """None: jobs may start."""
    settings: Mapping[str, SetValue] = field(default_factory=dict)
    """By the key of `run:`."""
    stop: Given | None = None
    """The operator who ended this run; None: its end was not requested."""
    letting_go: int = 0
    """Executions in progress that are cancelled and still watched."""

    @property
    def overrides(self) -> Mapping[str, Any]:
        """The values that replace settings of the job file, by their key."""
        return {name: each.value for name, each in self.settings.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlLine:
    """One command that was given to a batch, for `runs`."""

    command: str
    """pause, unpause, set, reset, cancel or stop."""
    given: Given
    value: Any = None
    """For set, the settings by name; for reset, their names; for cancel, `{"pending": 3, "in_progress": 1}`."""

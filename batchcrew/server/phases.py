"""Values that change while the server runs, such as the capacity of the demo crew."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from batchcrew.base.errors import UsageError
from batchcrew.server.execution_times import UNITS

T = TypeVar("T")
_WHEN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """A value from a moment on.

    Args:
        executions: executions that the server has started before.
        seconds: time since the start of the server.
    """

    value: T
    executions: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Phases(Generic[T]):
    """A value that changes: the last of `changes` whose moment has come is valid. The first one is valid at once."""

    changes: tuple[Change[T], ...]

    @classmethod
    def of(cls, value: "T | Phases[T]") -> "Phases[T]":
        """Return a value that never changes; phases are returned as they are."""
        return value if isinstance(value, Phases) else Phases((Change(value),))

    @classmethod
    def parse(cls, text: str, read: Callable[[str], T]) -> Self:
        """Read `40,20@60s`: 40, and 20 from 60 seconds after the start on; `20@500`: after 500 executions.

        Args:
            read: reads one value.

        Raises:
            UsageError: a moment is invalid, or the first value has one.
        """
        first, *others = text.split(",")
        if "@" in first:
            raise UsageError(
                f"invalid first value: {first.strip()!r} (expected one without @, valid from the start on)"
            )
        return cls((Change(read(first.strip())), *(_change(part, read) for part in others)))

    @property
    def values(self) -> tuple[T, ...]:
        """Every value."""
        return tuple(change.value for change in self.changes)

    def at(self, *, executions: int, seconds: float) -> T:
        """Return the value that is valid after this many executions and this much time."""
        return next(
            change.value
            for change in reversed(self.changes)
            if executions >= change.executions and seconds >= change.seconds
        )


def _change(part: str, read: Callable[[str], T]) -> Change[T]:
    value, _, moment = part.partition("@")
    match = _WHEN.fullmatch(moment.strip())
    if match is None or (match[2] is None and "." in match[1]):
        expected = "VALUE@TIME such as 20@60s, or VALUE@EXECUTIONS such as 20@500"
        raise UsageError(f"invalid change: {part.strip()!r} (expected {expected})")
    if match[2] is None:
        return Change(read(value.strip()), executions=int(match[1]))
    return Change(read(value.strip()), seconds=float(match[1]) * UNITS[match[2]])

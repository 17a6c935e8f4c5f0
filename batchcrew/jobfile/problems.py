"""Collect the mistakes of a job file and its rows files, and show foreign text in messages."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from batchcrew.base.errors import MAX_PROBLEMS, JobFileError, Problem
from batchcrew.base.similar import most_similar
from batchcrew.model.job import Location

MOST_ALIKE = 3
"""Lines with the same mistake that are reported one by one, and that one problem names if there are more."""
_MOST_COUNTED = 1000
"""Lines with the same mistake after which reading ends."""


@dataclass(slots=True)
class _Alike:
    """The same mistake in lines of one file."""

    first: list[Problem] = field(default_factory=list)
    more: int = 0
    """Number of problems after the first ones."""

    @property
    def shown(self) -> list[Problem]:
        """The problems, or one that counts them."""
        if not self.more:
            return self.first
        number = len(self.first) + self.more
        times = f"at least {number} times" if self.more >= _MOST_COUNTED else f"{number} times"
        lines = ", ".join(str(problem.line) for problem in self.first)
        first = self.first[0]
        return [replace(first, message=f"{first.message} ({times}: lines {lines} …)")]


class Problems:
    """Collects up to `MAX_PROBLEMS` problems and records whether there were more.

    `full` becomes true with the first problem beyond that number, so that a file with exactly `MAX_PROBLEMS` mistakes
    is read completely and is not reported to have more.

    The same mistake in more than `MOST_ALIKE` lines of a file is one problem, which counts them.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], _Alike] = {}
        self._number = 0
        self._full = False

    def add(self, problem: Problem, *, kind: str | None = None) -> None:
        """Add the problem, or record that there are more than the maximum.

        Args:
            kind: the message without what differs from line to line; None: the message.
        """
        key = (problem.file, problem.message if kind is None else kind)
        alike = self._kinds.get(key)
        if alike is not None and len(alike.first) == MOST_ALIKE:
            alike.more += 1
            self._full = self._full or alike.more == _MOST_COUNTED
        elif self._number == MAX_PROBLEMS:
            self._full = True
        else:
            self._kinds.setdefault(key, _Alike()).first.append(problem)
            self._number += 1

    def at(self, where: Location, message: str, *, kind: str | None = None) -> None:
        """Add a problem at a place; `kind` is that of `add`."""
        place = Problem(file=where.file, line=where.line, column=where.column, message=message, sheet=where.sheet)
        self.add(place, kind=kind)

    @property
    def full(self) -> bool:
        """Whether more problems were found than are shown, so that reading can end."""
        return self._full

    def raise_if_any(self) -> None:
        """Raise all collected problems as one error.

        Raises:
            JobFileError: there are problems; those of one file are in the file's order.
        """
        if self._kinds:
            raise JobFileError(sorted_by_place(self), more=self._full)

    def __len__(self) -> int:
        return sum(len(alike.shown) for alike in self._kinds.values())

    def __iter__(self) -> Iterator[Problem]:
        for alike in self._kinds.values():
            yield from alike.shown


def sorted_by_place(problems: Iterable[Problem]) -> list[Problem]:
    """Sort by line; files keep the order in which they were first found."""
    found = list(problems)
    order = {file: number for number, file in reversed(list(enumerate(problem.file for problem in found)))}
    return sorted(found, key=lambda problem: (order[problem.file], problem.line, problem.column))


def shown(value: object, limit: int = 60) -> str:
    """Return a value as a message shows it: quoted, control characters escaped, cut at `limit` characters."""
    if isinstance(value, str) and len(value) > limit:
        value = value[:limit] + "…"
    text = repr(value)
    return text if len(text) <= 2 * limit else text[: 2 * limit] + "…"


def named(name: str) -> str:
    """Return a key or column as a message shows it: `name`, or quoted if it contains characters that do not print."""
    return f"`{name}`" if name.isprintable() and "`" not in name and 0 < len(name) <= 60 else shown(name)


def listed(names: Iterable[str], limit: int = 8) -> str:
    """Return `a`, `b`, `c` …, for a message."""
    every = list(names)
    text = ", ".join(named(name) for name in every[:limit])
    return text + f" and {len(every) - limit} more" if len(every) > limit else text


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the known word that is most similar, or nothing if none is."""
    match = most_similar(word, known)
    return "" if match is None else f" (did you mean {shown(match)}?)"

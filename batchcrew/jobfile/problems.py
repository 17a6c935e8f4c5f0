"""Collect the mistakes of a job file and its rows files, and show foreign text in messages."""

from collections.abc import Iterable, Iterator

from batchcrew.base.errors import MAX_PROBLEMS, JobFileError, Problem
from batchcrew.base.similar import most_similar
from batchcrew.model.job import Location


class Problems:
    """Collects up to `MAX_PROBLEMS` problems and records whether there were more.

    `full` becomes true with the first problem beyond that number, so that a file with exactly `MAX_PROBLEMS` mistakes
    is read completely and is not reported to have more.
    """

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._full = False

    def add(self, problem: Problem) -> None:
        """Add the problem, or record that there are more than the maximum."""
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)
        else:
            self._full = True

    def at(self, where: Location, message: str) -> None:
        """Add a problem at a place."""
        self.add(Problem(file=where.file, line=where.line, column=where.column, message=message))

    @property
    def full(self) -> bool:
        """Whether more problems were found than are shown, so that reading can end."""
        return self._full

    def raise_if_any(self) -> None:
        """Raise all collected problems as one error.

        Raises:
            JobFileError: there are problems; those of one file are in the file's order.
        """
        if self._problems:
            raise JobFileError(sorted_by_place(self._problems), more=self._full)

    def __len__(self) -> int:
        return len(self._problems)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._problems)


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

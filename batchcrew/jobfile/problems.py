"""Collecting the mistakes of a job file and its rows files, and putting foreign text into messages."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from batchcrew.base.errors import MAX_PROBLEMS, JobFileError, Problem
from batchcrew.model.job import Location


class Problems:
    """Collects up to `MAX_PROBLEMS` problems and remembers whether there were more.

    `full` turns true with the first problem that no longer fits, so that a file with exactly
    `MAX_PROBLEMS` mistakes is read to its end and is not said to have more.
    """

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._full = False

    def add(self, problem: Problem) -> None:
        """Keep the problem, or note that there are more than fit."""
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)
        else:
            self._full = True

    def at(self, where: Location, message: str) -> None:
        """Add what was found at a place."""
        self.add(Problem(file=where.file, line=where.line, column=where.column, message=message))

    @property
    def full(self) -> bool:
        """True when reading on is of no use: more problems were found than are shown."""
        return self._full

    def raise_if_any(self) -> None:
        """
        Raises:
            JobFileError: when there is a problem; it carries all that were kept, those of one file in its order.
        """
        if self._problems:
            raise JobFileError(sorted_by_place(self._problems), more=self._full)

    def __len__(self) -> int:
        return len(self._problems)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._problems)


def sorted_by_place(problems: Iterable[Problem]) -> list[Problem]:
    """In the order of the lines; files stay in the order in which they were met."""
    found = list(problems)
    order = {file: number for number, file in reversed(list(enumerate(problem.file for problem in found)))}
    return sorted(found, key=lambda problem: (order[problem.file], problem.line, problem.column))


def shown(value: object, limit: int = 60) -> str:
    """A value of a file as a message shows it: quoted, control characters escaped, cut at `limit` characters."""
    if isinstance(value, str) and len(value) > limit:
        value = value[:limit] + "…"
    text = repr(value)
    return text if len(text) <= 2 * limit else text[: 2 * limit] + "…"


def named(name: str) -> str:
    """A key, column or job id as a message shows it: `name`, unless it holds something that would not print."""
    return f"`{name}`" if name.isprintable() and "`" not in name and 0 < len(name) <= 60 else shown(name)


def listed(names: Iterable[str], limit: int = 8) -> str:
    """`a`, `b`, `c` …, for a message."""
    every = list(names)
    text = ", ".join(named(name) for name in every[:limit])
    return text + f" and {len(every) - limit} more" if len(every) > limit else text


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean `x`?`, or nothing when no known word is near."""
    by_fold = {name.casefold(): name for name in known}
    match = get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return f"; did you mean {named(by_fold[match[0]])}?" if match else ""

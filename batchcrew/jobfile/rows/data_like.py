"""Find out whether the first line looks like a row instead of the names of columns."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from batchcrew.jobfile.ids import ID_COLUMNS
from batchcrew.jobfile.problems import named, shown

Record = tuple[int, list[str]]
"""The first line of a record, and its cells."""

_LONGEST = 200
"""Maximum number of characters of a cell whose kind is determined."""
_JUDGED = 100
"""Maximum number of cells of a column that are compared with its header."""
_DISTINCT = 3
_ALIKE_COLUMNS = 2
_ALIKE_CELLS, _MOST = 3, 0.75
"""Minimum number and share of the cells that a row must have in common with the header to repeat it."""
_COUNTED, _GROWING = 3, 6
"""Minimum number of consecutive or increasing numbers from which on they may be column names."""
_YEARS = 1000, 2100

_NUMBER = r"[-+]?\d{1,3}(?:[ .,'\u00a0\u202f]\d{3})+(?:[.,]\d+)?|[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?"
_DAY = r"(?:\d{4}[-/.]\d{1,2}(?:[-/.]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))"
# In this order: a year is a number too, and a date could be a telephone number.
_KINDS = {
    "a year": re.compile(r"(?:1[89]|20)\d\d"),
    "a number": re.compile(rf"(?:[$€£¥]\s?)?(?:{_NUMBER})(?:\s?[%$€£¥])?"),
    "a quantity": re.compile(rf"(?:{_NUMBER})\s[A-Za-z]{{1,12}}"),
    "a date": re.compile(rf"{_DAY}(?:[T ]\d{{1,2}}:\d\d\S{{0,20}})?"),
    "an e-mail address": re.compile(r"[^@\s,;<>]+@[^@\s,;<>.]+(?:\.[^@\s,;<>.]+)+"),
    "a URL": re.compile(r"(?:https?|ftp)://\S+|www\.\S+\.\S+", re.IGNORECASE),
    "a UUID": re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE),
    "a telephone number": re.compile(r"\+?(?=(?:\D*\d){7})[\d\s()/.-]+"),
    "true or false": re.compile(r"true|false|yes|no", re.IGNORECASE),
}
_COUNTABLE = {"a number", "a year"}
_PHONE_DIGITS = 7
_NUMBERED = re.compile(r"([A-Za-z][A-Za-z_ -]{0,30})\d{1,18}")


def data_in_header(header: list[str], rows: Sequence[Record]) -> str | None:
    """Return which cell of `header` looks like the cells below it; None if all look like names.

    A number, a date, an address … counts when at least half of its column's cells are of the same kind: columns may
    be named `2023` or `https://schema.org/name`. Equal values count when two columns have them among others.
    """
    names = [cell.strip() for cell in header]
    rows = [(line, cells) for line, cells in rows if not _same(cells, names)]
    if any(name.casefold() in ID_COLUMNS for name in names):
        return None
    counted = _counted(names)
    for number, name in enumerate(names):
        kind = kind_of(name)
        if counted and kind in _COUNTABLE:
            continue
        prefix = _NUMBERED.fullmatch(name)
        if kind is None and prefix is None:
            continue
        below = _column(rows, number)
        if kind is not None and _half(_alike(kind, cell) for cell in below):
            return f"{shown(name)} is {kind}, like the values below it"
        start = prefix[1] if prefix is not None else ""
        if prefix is not None and _half(_follows(cell, start) for cell in below):
            return f"{shown(name)} is numbered like the values below it"
    again = [name for number, name in enumerate(names) if name and _among(name, rows, number)]
    if len(again) >= _ALIKE_COLUMNS:
        return f"{shown(again[0])} and {shown(again[1])} are also values of their columns"
    return None


def repeated_header(header: list[str], rows: Sequence[Record]) -> int | None:
    """Return the line of the first row that is the same as the header."""
    names = [cell.strip() for cell in header]
    return next((line for line, cells in rows if _same(cells, names)), None)


def kind_of(cell: str) -> str | None:
    """Return the kind of value that a cell holds, as in `a date`; None for names and other text."""
    text = cell.strip()
    if not 0 < len(text) <= _LONGEST:
        return None
    return next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(text)), None)


def _same(cells: list[str], names: list[str]) -> bool:
    """Return whether the row repeats the header, except for a few columns, as in joined files."""
    if len(cells) != len(names):
        return False
    alike = [cell.strip() == name for cell, name in zip(cells, names, strict=True)]
    # the first cell must match as well: columns such as `vip` and `urgent` may contain their own names
    return all(alike) or (alike[0] and sum(alike) >= max(_ALIKE_CELLS, _MOST * len(names)))


def _counted(names: list[str]) -> bool:
    """Return whether the header is a series of names by number: 0 1 2 …, 1 1 2 2 …, or growing years or limits."""
    numbers = [int(name) for name in names if re.fullmatch(r"[0-9]{1,6}", name)]
    if not numbers or len(numbers) != sum(kind_of(name) in _COUNTABLE for name in names):
        return False
    steps = {after - before for before, after in pairwise(numbers)}
    if steps <= {1}:
        return names == ["0"] or len(numbers) >= (2 if numbers[0] in {0, 1} else _COUNTED)
    years = min(numbers) >= _YEARS[0] and max(numbers) <= _YEARS[1]
    return len(numbers) >= (_COUNTED if years else _GROWING) and (min(steps) > 0 or steps == {0, 1})


def _column(rows: Sequence[Record], number: int) -> list[str]:
    """Return the first cells of a column that are not empty."""
    found: list[str] = []
    for _, cells in rows:
        if number < len(cells) and cells[number].strip():
            found.append(cells[number])
            if len(found) == _JUDGED:
                break
    return found


def _half(alike: Iterator[bool]) -> bool:
    judged = list(alike)
    return bool(judged) and 2 * sum(judged) >= len(judged)


def _alike(kind: str, cell: str) -> bool:
    other = kind_of(cell)
    if kind == "a number":
        return other in {"a number", "a year", "a telephone number"}
    if kind == "a telephone number" and other == "a number":
        return sum(character.isdigit() for character in cell) >= _PHONE_DIGITS
    return other == kind


def _follows(cell: str, prefix: str) -> bool:
    match = _NUMBERED.fullmatch(cell.strip())
    return match is not None and match[1] == prefix


def _among(name: str, rows: Sequence[Record], number: int) -> bool:
    """Return whether the name is one of several values of its column. (A column `vip` may contain only `vip`.)"""
    values = {cells[number].strip() for _, cells in rows if number < len(cells)} - {""}
    return name in values and len(values) >= _DISTINCT


def data_question(reason: str) -> str:
    """Return the question about a result of `data_in_header`."""
    return (
        f"the first line may be a row, which is not sent, and not column names: {reason};"
        " if so, add a first line that names the columns"
    )


def repeated_question(header: list[str], first: int) -> str:
    """Return the question about a row that is the same as the header."""
    name = next((cell.strip() for cell in header if cell.strip()), "")
    return (
        f"this row repeats the header of line {first} (column {named(name)} and others) and is sent as a job;"
        " delete it if it is a header, or add a first line that names the columns if the file has no header"
    )

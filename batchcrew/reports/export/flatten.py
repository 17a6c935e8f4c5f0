"""Answers that are JSON objects, as columns: `{"lead": {"score": 7}}` gives `output.lead.score`.

The JSON may be in a Markdown fence. A list is one column of JSON. Values that are nested deeper than the limit are
JSON, too.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from batchcrew.base.answer_json import NOT_JSON, json_in
from batchcrew.base.export_columns import FLAT_PREFIX
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.table import Column, Origin
from batchcrew.reports.export.types import Types

MOST_COLUMNS = 500
MOST_LEVELS = 10
MOST_NAME = 200
"""Characters of a column's name; a longer one is not a column."""
Path: TypeAlias = tuple[str, ...]


def leaves(answer: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Yield the path and value of each leaf of an object, in its order. An empty object is a leaf."""
    stack = [_entries((), answer)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        path, value = entry
        if isinstance(value, Mapping) and value and len(path) < MOST_LEVELS:
            stack.append(_entries(path, value))
        else:
            yield path, value


def _entries(path: Path, value: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    return iter([((*path, str(key)), inner) for key, inner in value.items()])


class FlatAnswers:
    """The columns that the answers of all jobs have together. `see` every row first; `columns` are then complete."""

    def __init__(self) -> None:
        self._types: dict[Path, Types] = {}
        self.left_out = False
        """Whether there are more columns than MOST_COLUMNS, or longer names: they are only in `output`."""
        self._latest: ResultRow | None = None
        self._values: dict[Path, Any] = {}

    def see(self, row: ResultRow) -> None:
        """Add the columns of a row's answer."""
        for path, value in self._leaves(row):
            types = self._types.get(path)
            if types is None:
                if len(self._types) >= MOST_COLUMNS or sum(map(len, path)) > MOST_NAME:
                    self.left_out = True
                    continue
                types = self._types[path] = Types()
            types.see(value)

    def columns(self) -> tuple[Column, ...]:
        """Return the columns in the order in which they appeared. Two of them may have the same name."""
        return tuple(self._column(path, types) for path, types in self._types.items())

    def _column(self, path: Path, types: Types) -> Column:
        name = FLAT_PREFIX + ".".join(path)
        return Column(
            name=name,
            header=name,
            type=types.type,
            origin=Origin.CREW,
            value=lambda row: self._value(row, path),
            base=name,
        )

    def _value(self, row: ResultRow, path: Path) -> Any:
        if row is not self._latest:  # the columns of one row are read one after the other
            self._latest, self._values = row, dict(self._leaves(row))
        return self._values.get(path)

    def _leaves(self, row: ResultRow) -> Iterator[tuple[Path, Any]]:
        answer = json_in(row.result_json, row.output)
        if answer is not NOT_JSON and isinstance(answer, Mapping):
            yield from leaves(answer)

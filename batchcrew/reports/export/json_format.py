"""Exports as JSON lines, and as one JSON list.

Both keep the types of the file's values. A result that the crew gave as JSON is in `result_json`, and
`possible_duplicate` is true for a job that was kicked off again after an attempt in doubt. These keys, and those of a
stale job, are omitted if they do not apply.
"""

from collections.abc import Sequence
from typing import Any

from batchcrew.base.export_columns import WHERE_NEEDED, free_name
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.csv_format import json_text
from batchcrew.reports.export.export_format import ExportFormat
from batchcrew.reports.export.output import Target
from batchcrew.reports.export.table import Column, Origin, Table


class _LinesWriter:
    def __init__(self, table: Table) -> None:
        self._table = table
        self._own = frozenset(column.name for column in table.own)
        self._ours = [(column.name, column.value, column.base in WHERE_NEEDED) for column in table.ours]

    def begin(self, target: Target) -> None:
        pass

    def add(self, target: Target, rows: Sequence[ResultRow]) -> None:
        target.write("".join(self._text(row) + "\n" for row in rows))

    def end(self, target: Target) -> None:
        pass

    def _text(self, row: ResultRow) -> str:
        return json_text(self._selected(row) if self._table.selected else self._all(row))

    def _all(self, row: ResultRow) -> dict[str, Any]:
        ours = self._ours
        if not self._own.issuperset(row.row):  # a row with extra keys must not lose one to ours
            taken = {*self._own, *row.row}
            ours = []
            for column in self._table.ours:
                name = free_name(column.base, taken)
                taken.add(name)
                ours.append((name, column.value, column.base in WHERE_NEEDED))
        values: dict[str, Any] = dict(row.row)
        for name, value, where_needed in ours:
            found = value(row)
            if found is not None or not where_needed:
                values[name] = found
        return values

    def _selected(self, row: ResultRow) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for column in self._table.columns:
            found = column.value(row)
            if found is None and _may_be_omitted(column, row):
                continue
            values[column.name] = found
        return values


def _may_be_omitted(column: Column, row: ResultRow) -> bool:
    return column.base in WHERE_NEEDED or (column.origin is Origin.FILE and column.name not in row.row)


class _ListWriter(_LinesWriter):
    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._started = False

    def begin(self, target: Target) -> None:
        target.write("[")

    def add(self, target: Target, rows: Sequence[ResultRow]) -> None:
        target.write(("," if self._started else "") + ",".join("\n" + self._text(row) for row in rows))
        self._started = True

    def end(self, target: Target) -> None:
        target.write("\n]\n" if self._started else "]\n")


JSONL = ExportFormat(name="jsonl", suffixes=(".jsonl", ".ndjson"), writer=_LinesWriter)
JSON = ExportFormat(name="json", suffixes=(".json",), writer=_ListWriter)

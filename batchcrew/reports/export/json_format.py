"""Exports as JSON lines, and as one JSON list.

Both keep the types of the file's values. A result that the crew gave as JSON is in `result_json`, and
`possible_duplicate` is true for a job that was kicked off again after an attempt in doubt. These keys, and those of a
stale job, are omitted where there is nothing to say.
"""

from collections.abc import Sequence
from typing import Any

from batchcrew.base.export_columns import EXPORT_COLUMNS
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.csv_format import json_text
from batchcrew.reports.export.export_format import STALE_COLUMNS, ExportFormat, Table, export_names, result_values
from batchcrew.reports.export.output import Target


class _LinesWriter:
    def __init__(self, table: Table) -> None:
        self._own = frozenset(table.columns)
        self._names = table.names

    def begin(self, target: Target) -> None:
        pass

    def add(self, target: Target, rows: Sequence[ResultRow]) -> None:
        target.write("".join(self._text(row) + "\n" for row in rows))

    def end(self, target: Target) -> None:
        pass

    def _text(self, row: ResultRow) -> str:
        names = self._names
        if not self._own.issuperset(row.row):  # a row with extra keys must not lose one to ours
            names = export_names([*self._own, *row.row])
        values: dict[str, Any] = dict(row.row)
        for column, value in zip(EXPORT_COLUMNS, result_values(row), strict=True):
            values[names[column]] = value
        if row.result_json is not None:
            values[names["result_json"]] = row.result_json
        if row.possible_duplicate:
            values[names["possible_duplicate"]] = True
        for column, value in zip(STALE_COLUMNS, (row.stale_output, row.stale_inputs), strict=True):
            if value is not None:
                values[names[column]] = value
        return json_text(values)


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


JSONL = ExportFormat(name="jsonl", writer=_LinesWriter)
JSON = ExportFormat(name="json", writer=_ListWriter)

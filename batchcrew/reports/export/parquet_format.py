"""Exports as Parquet: each column has a type, and row groups are written as the rows come. Requires pyarrow."""

import io
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from typing import Any

from batchcrew.base.errors import UsageError
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.csv_format import json_text
from batchcrew.reports.export.export_format import ExportFormat
from batchcrew.reports.export.output import Target
from batchcrew.reports.export.table import Column, ColumnType, Table

_GROUP_ROWS = 20_000
_GROUP_CHARACTERS = 2**24
"""A row group is written at this many rows, or characters of text."""


def _pyarrow() -> tuple[Any, Any]:
    """Return the modules of pyarrow.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError("the format parquet requires pyarrow: pip install 'batchcrew[parquet]'") from error


class _Sink(io.RawIOBase):
    """Passes what pyarrow writes to the target, which is only appended to."""

    def __init__(self) -> None:
        super().__init__()
        self.target: Target | None = None
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: Any, /) -> int:
        piece = bytes(data)
        if self.target is not None:
            self.target.write(piece)
        self._written += len(piece)
        return len(piece)


class _Writer:
    def __init__(self, table: Table) -> None:
        self._arrow, parquet = _pyarrow()
        self._table = table
        self._columns = table.fixed
        names = _unique(self._columns)
        self._schema = self._arrow.schema(
            [(name, self._type(column.type)) for name, column in zip(names, self._columns, strict=True)]
        )
        self._sink = _Sink()
        self._parquet = parquet
        self._file: Any = None
        self._values: list[list[Any]] = [[] for _ in self._columns]
        self._characters = 0

    def begin(self, target: Target) -> None:
        self._sink.target = target
        self._file = self._parquet.ParquetWriter(self._sink, self._schema, compression="zstd")

    def add(self, target: Target, rows: Sequence[ResultRow]) -> None:
        self._sink.target = target
        cells = zip(*map(self._table.cells, rows), strict=True)  # one row after the other, as `--flatten` needs it
        for column, values, found in zip(self._columns, self._values, cells, strict=True):
            type_ = column.type
            new = [_cell(value, type_) for value in found]
            values += new
            if type_ in _TEXTS:
                self._characters += sum(map(len, filter(None, new)))
        if len(self._values[0]) >= _GROUP_ROWS or self._characters >= _GROUP_CHARACTERS:
            self._flush()

    def end(self, target: Target) -> None:
        self._sink.target = target
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._values[0]:
            arrays = [
                self._arrow.array(values, type=type_)
                for values, type_ in zip(self._values, self._schema.types, strict=True)
            ]
            self._file.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._values = [[] for _ in self._columns]
        self._characters = 0

    def _type(self, type_: ColumnType) -> Any:
        arrow = self._arrow
        match type_:
            case ColumnType.TEXT | ColumnType.JSON:
                return arrow.large_string()
            case ColumnType.INTEGER:
                return arrow.int64()
            case ColumnType.NUMBER:
                return arrow.float64()
            case ColumnType.BOOLEAN:
                return arrow.bool_()
            case ColumnType.TIME:
                return arrow.timestamp("us", tz="UTC")


_TEXTS = frozenset({ColumnType.TEXT, ColumnType.JSON})


def _cell(value: Any, type_: ColumnType) -> Any:
    """Return the value as pyarrow takes it for a column of that type; None if it is not of the type."""
    if value is None:
        return None
    match type_:
        case ColumnType.TEXT:
            text = value if isinstance(value, str) else json_text(value)
            return text.encode(errors="replace").decode() if not text.isascii() else text
        case ColumnType.JSON:
            return json_text(value)
        case ColumnType.TIME:
            return datetime.fromisoformat(value)
        case ColumnType.NUMBER:
            return float(value) if isinstance(value, int | float) else value  # refuses values that are not numbers
        case _:
            return value


def _unique(columns: Sequence[Column]) -> list[str]:
    """Return the headers where they can be names of columns: not empty, and unique; else the columns' names."""
    headers = [column.header for column in columns]
    return [column.header if column.header and headers.count(column.header) == 1 else column.name for column in columns]


PARQUET = ExportFormat(
    name="parquet", suffixes=(".parquet", ".pq"), writer=_Writer, binary=True, typed=True, extra="parquet"
)

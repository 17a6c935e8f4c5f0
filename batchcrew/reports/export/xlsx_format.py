"""Exports as an Excel workbook: the results, a sheet with the summary, and one with the failure groups.

The file's own cells keep their types: text of a CSV file is text, and the numbers and dates of a workbook are numbers
and dates. Everything that a crew wrote is text, except for JSON numbers, true, false, and dates of `--flatten`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import Any

from batchcrew.base.export_columns import FLAT_PREFIX
from batchcrew.base.xlsx.new_cells import EMPTY, Cell, Style, fitting, number_cell, text_cell, typed_cell
from batchcrew.base.xlsx.number_formats import BOOLEAN, DATE, DATETIME, TEXT
from batchcrew.base.xlsx.sheet import MAX_ROWS
from batchcrew.base.xlsx.writing import SheetColumn, WorkbookWriter, xlsxwriter
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.csv_format import json_text
from batchcrew.reports.export.export_format import ExportFormat
from batchcrew.reports.export.output import Target
from batchcrew.reports.export.table import Column, ColumnType, ExtraSheet, Origin, Table

CUT = " … (cut: the text has {length} characters; an export as jsonl has all of them)"
_SAMPLE_ROWS = 100
_NARROWEST, _WIDEST, _OF_TEXTS = 8, 40, 60
"""Widths of columns, in characters; the last one is of columns with long texts."""
_LINE, _MOST_LINES = 15.0, 6
"""Height of a line in points, and lines of a row that are shown at once."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?")
_CellMaker = Callable[[ResultRow], Cell]


class _Writer:
    def __init__(self, table: Table) -> None:
        xlsxwriter()  # before anything is written
        self._table = table
        self._columns = table.fixed
        self._makers: list[_CellMaker] = [_maker(column) for column in table.fixed]
        self._own = [number for number, column in enumerate(table.fixed) if column.origin is Origin.FILE]
        self._long = [number for number, column in enumerate(table.fixed) if _is_long(column)]
        self._widths: list[int] = []
        self._book: WorkbookWriter | None = None
        self._begun = False

    def begin(self, target: Target) -> None:
        self._book = WorkbookWriter(target)

    def add(self, target: Target, rows: Sequence[ResultRow]) -> None:
        del target
        book = self._open(rows)
        for row in rows:
            if book.full:
                self._begin_sheet(book)
            cells = [maker(row) for maker in self._makers]
            if row.quoting is not None and row.quoting.strip("01"):
                self._retype(row, row.quoting, cells)
            book.row(cells, height=self._height(row))

    def end(self, target: Target) -> None:
        del target
        book = self._open(())
        for sheet in self._table.sheets:
            book.begin_sheet(sheet.name, _extra_columns(sheet))
            for values in sheet.rows[: MAX_ROWS - 1]:
                book.row(
                    [_value_cell(value, Style.WRAPPED) for value in values],
                    height=_height_of((value, _OF_TEXTS) for value in values),
                )
        book.close()

    def _open(self, rows: Sequence[ResultRow]) -> WorkbookWriter:
        """Return the workbook, with a sheet: the first rows determine the widths of its columns."""
        assert self._book is not None  # noqa: S101 - `begin` comes first
        if not self._begun:
            self._begun = True
            self._widths = [_width(column, rows[:_SAMPLE_ROWS]) for column in self._columns]
            self._begin_sheet(self._book)
        return self._book

    def _begin_sheet(self, book: WorkbookWriter) -> None:
        columns = [
            SheetColumn(fitting(column.header, CUT), width)
            for column, width in zip(self._columns, self._widths, strict=True)
        ]
        book.begin_sheet(self._table.sheet_name, columns)

    def _retype(self, row: ResultRow, kinds: str, cells: list[Cell]) -> None:
        """Give the file's own cells the types that they had in a workbook."""
        by_name = dict(zip(row.row, kinds, strict=False))
        for number in self._own:
            column = self._columns[number]
            kind = by_name.get(column.name, TEXT)
            if kind != TEXT and isinstance(value := column.value(row), str):
                cells[number] = typed_cell(value, kind)  # type: ignore[arg-type]  # the ledger has what xlsx.py stored

    def _height(self, row: ResultRow) -> float | None:
        columns = self._columns
        return _height_of((columns[number].value(row), self._widths[number]) for number in self._long)


def _maker(column: Column) -> _CellMaker:
    """Return the function that makes the cell of a column from a row."""
    value = column.value
    if column.type is ColumnType.TIME:
        return lambda row: _time_cell(value(row))
    if column.origin is Origin.FILE:
        return lambda row: _value_cell(value(row))
    style = Style.WRAPPED if _is_long(column) else Style.TEXT
    if column.origin is Origin.CREW and column.base.startswith(FLAT_PREFIX):
        return lambda row: _answer_cell(value(row))
    return lambda row: _value_cell(value(row), style)


def _is_long(column: Column) -> bool:
    return column.origin is Origin.CREW and column.type in {ColumnType.TEXT, ColumnType.JSON}


def _value_cell(value: Any, style: Style = Style.TEXT) -> Cell:
    """Return a cell with a value of JSON; lists and objects are their JSON."""
    if value is None or value == "":
        return EMPTY
    if isinstance(value, str):
        if style is Style.WRAPPED:  # a cell's lines end with \n; a workbook has _x000D_ for \r, which pandas shows
            value = value.replace("\r\n", "\n")
        return text_cell(fitting(value, CUT), style)
    if isinstance(value, bool):
        return typed_cell("true" if value else "false", BOOLEAN)
    if isinstance(value, int | float):
        return number_cell(json_text(value))
    return text_cell(fitting(json_text(value), CUT), style)


def _answer_cell(value: Any) -> Cell:
    """Return a cell with a value of a JSON answer; a text that is a date becomes one."""
    if isinstance(value, str) and value[:1].isdecimal():
        if _DAY.fullmatch(value):
            return typed_cell(value, DATE)
        if _MOMENT.fullmatch(value):
            return typed_cell(value, DATETIME)
    return _value_cell(value, Style.WRAPPED)


def _time_cell(value: Any) -> Cell:
    """Return a cell with a time in UTC, which is written without its time zone: a cell cannot have one."""
    return _value_cell(value) if not isinstance(value, str) else typed_cell(value.removesuffix("Z"), DATETIME)


def _width(column: Column, rows: Sequence[ResultRow]) -> int:
    if column.type is ColumnType.TIME:
        return 20
    longest = len(column.header) + 3  # with the button of the filter
    for row in rows:
        value = column.value(row)
        if value is not None:
            text = value if isinstance(value, str) else json_text(value)
            longest = max(longest, len(text[:1000].partition("\n")[0]) + 1)
    return max(_NARROWEST, min(longest, _OF_TEXTS if _is_long(column) else _WIDEST))


def _height_of(texts: Iterable[tuple[Any, int]]) -> float | None:
    """Return the height of a row with these texts, each with the width of its column; None: one line."""
    lines = 1
    for text, width in texts:
        if isinstance(text, str) and (len(text) >= width or "\n" in text):
            parts = text[: width * _MOST_LINES].split("\n", _MOST_LINES)
            lines = max(lines, sum(max(1, ceil(len(part) / width)) for part in parts))
    return None if lines == 1 else _LINE * min(lines, _MOST_LINES)


def _extra_columns(sheet: ExtraSheet) -> list[SheetColumn]:
    found = []
    for number, header in enumerate(sheet.header):
        texts = [str(row[number]) for row in sheet.rows[:_SAMPLE_ROWS] if row[number] is not None]
        longest = max([len(header) + 3, *(len(text) + 1 for text in texts)])
        found.append(SheetColumn(header, max(_NARROWEST, min(longest, _OF_TEXTS))))
    return found


XLSX = ExportFormat(name="xlsx", suffixes=(".xlsx",), writer=_Writer, binary=True, has_sheets=True, extra="excel")

"""The inbox as a sheet to fill in: CSV, or an Excel workbook with a list of decisions to choose from."""

from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from batchcrew.base.xlsx.new_cells import Cell, Style, fitting, text_cell, typed_cell
from batchcrew.base.xlsx.writing import SheetColumn, WorkbookWriter
from batchcrew.model.waits import WaitLine
from batchcrew.reports.export.csv_format import csv_cell, csv_line
from batchcrew.reports.export.output import Target
from batchcrew.reports.inbox import COLUMNS, sheet_cells

SheetFormat: TypeAlias = Literal["csv", "xlsx"]
SHEET_FORMATS: tuple[SheetFormat, ...] = ("csv", "xlsx")
DECISIONS = ("approve", "reject")
_CUT = " … (cut: the text has {length} characters; `batchcrew inbox --json` has all of them)"
_WIDTHS = {
    "job_id": 20,
    "wait_id": 12,
    "since": 20,
    "task_id": 20,
    "task": 40,
    "output": 80,
    "note": 30,
    "feedback": 50,
}
_LINE, _MOST_LINES = 15.0, 12


class InboxSheet(Protocol):
    """A sheet that is written to a target."""

    def begin(self) -> None:
        """Write the header."""
        ...

    def add(self, line: WaitLine) -> None:
        """Write a waiting job."""
        ...

    def end(self) -> None:
        """Write the end."""
        ...


def inbox_sheet(format_: SheetFormat, target: Target) -> InboxSheet:
    """Return a sheet of a format."""
    return _CsvSheet(target) if format_ == "csv" else _XlsxSheet(target)


def sheet_format_of(path: Path) -> SheetFormat | None:
    """Return the format that a file's suffix names; None if it names none."""
    suffix = path.suffix.lower()
    return next((one for one in SHEET_FORMATS if suffix == f".{one}"), None)


class _CsvSheet:
    def __init__(self, target: Target) -> None:
        self._target = target

    def begin(self) -> None:
        self._target.write(csv_line(list(COLUMNS)))

    def add(self, line: WaitLine) -> None:
        self._target.write(csv_line([csv_cell(value) for value in sheet_cells(line)]))

    def end(self) -> None:
        pass


class _XlsxSheet:
    def __init__(self, target: Target) -> None:
        self._book = WorkbookWriter(target)

    def begin(self) -> None:
        self._book.begin_sheet(
            "Inbox",
            [SheetColumn(name, _WIDTHS.get(name, 12), DECISIONS if name == "decision" else ()) for name in COLUMNS],
        )

    def add(self, line: WaitLine) -> None:
        lines = min(_MOST_LINES, (line.output or "").count("\n", 0, 5000) + len(line.output or "") // 80 + 1)
        cells = [_cell(name, value or "") for name, value in zip(COLUMNS, sheet_cells(line), strict=True)]
        self._book.row(cells, height=_LINE * max(2, lines))

    def end(self) -> None:
        self._book.close()


def _cell(name: str, text: str) -> Cell:
    if name in {"decision", "feedback"}:
        return text_cell("", Style.INPUT)
    if name == "since":
        return typed_cell(text.removesuffix("Z"), "D")
    return text_cell(fitting(text, _CUT), Style.WRAPPED if name in {"task", "output", "note"} else Style.TEXT)

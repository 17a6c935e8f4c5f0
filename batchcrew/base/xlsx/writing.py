"""Write a workbook with XlsxWriter, the extra `excel`.

`new_cells.py` makes the cells, without their place. XlsxWriter writes rows to a temporary file at once
(`constant_memory`) and packs the sheets when the workbook is closed, so memory does not grow with their number.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from batchcrew.base.errors import OutputError, UsageError
from batchcrew.base.xlsx.new_cells import Cell, Style, cut, text_cell
from batchcrew.base.xlsx.sheet import MAX_COLUMNS, MAX_ROWS

_MOST_NAME = 31
"""Maximum length of a sheet's name, in UTF-16 code units."""
_MOST_BYTES = 1_900_000_000
"""Size of an unpacked sheet after which the next one begins: beyond 2 GiB, Excel does not open it."""
_LOOK = 2**20
"""Number of characters after which the size of a sheet is looked up."""
_OPTIONS: Mapping[str, bool] = {
    "constant_memory": True,
    "nan_inf_to_errors": True,
    "remove_timezone": True,
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
    "use_zip64": True,  # only used by workbooks beyond 2 GiB
}
_CREATED = datetime(1980, 1, 1, tzinfo=UTC)
"""The time that a workbook names as its creation, as its zip file does: the same export gives the same file."""


_FORMATS: Mapping[Style, Mapping[str, Any]] = {
    Style.GENERAL: {},
    Style.TEXT: {"num_format": "@"},
    Style.WRAPPED: {"num_format": "@", "text_wrap": True},
    Style.HEADER: {"num_format": "@", "bold": True, "bg_color": "#E7ECF3"},
    Style.DATE: {"num_format": "yyyy\\-mm\\-dd"},
    Style.DATETIME: {"num_format": "yyyy\\-mm\\-dd\\ hh:mm:ss"},
    Style.TIME: {"num_format": "hh:mm:ss"},
    Style.DURATION: {"num_format": "[h]:mm:ss"},
    Style.INPUT: {"num_format": "@", "text_wrap": True, "bg_color": "#FFF8DC"},
}


@dataclass(frozen=True, slots=True)
class SheetColumn:
    """A column of a sheet."""

    header: str
    width: float
    """Width in characters."""
    choices: tuple[str, ...] = ()
    """Values that the cells below the header offer as a list; others are refused."""


class BookTarget(Protocol):
    """The target of a workbook."""

    def write(self, data: bytes) -> None:
        """Receive the next bytes of the file."""
        ...

    def temporary_folder(self, closing: Callable[[], None]) -> Path:
        """Return a private folder that is removed, after a call of `closing`, whatever happens."""
        ...


class WorkbookWriter:
    """Writes sheets one after the other."""

    def __init__(self, target: BookTarget) -> None:
        """Begin a workbook.

        Raises:
            UsageError: XlsxWriter is not installed.
        """
        library = xlsxwriter()
        self._lock = threading.Lock()
        self._discarded = False
        self._sink = _Sink(target.write)
        self._folder = target.temporary_folder(self.discard)
        self._book = library.Workbook(self._sink, {**_OPTIONS, "tmpdir": str(self._folder)})
        self._book.set_properties({"created": _CREATED})
        self._errors: tuple[type[Exception], ...] = (OSError, library.exceptions.XlsxWriterException)
        self._formats = {style: self._book.add_format({"valign": "top", **given}) for style, given in _FORMATS.items()}
        self._names: list[str] = []
        self._sheet: Any = None
        self._columns: Sequence[SheetColumn] = ()
        self._rows = 0
        self._characters = 0
        """Number of characters since the size of the sheet was looked up."""
        self._size = 0
        """Number of bytes of the sheet."""

    @property
    def full(self) -> bool:
        """Whether no further row fits into the sheet."""
        return self._sheet is not None and (self._rows >= MAX_ROWS or self._size >= _MOST_BYTES)

    def begin_sheet(self, name: str, columns: Sequence[SheetColumn]) -> None:
        """Begin a sheet, after the end of the one before, and write its header.

        Args:
            name: it is changed where a workbook cannot have it: too long, or the name of an earlier sheet.
            columns: at most MAX_COLUMNS.

        Raises:
            ValueError: there are too many columns.
            OutputError: the temporary files cannot be written.
        """
        if len(columns) > MAX_COLUMNS:
            raise ValueError(f"{len(columns):,} columns (a sheet has at most {MAX_COLUMNS:,})")
        self._end_sheet()
        self._names.append(_free_name(name, self._names))
        with self._lock, self._translated():
            if self._discarded:
                return
            self._sheet = sheet = self._book.add_worksheet(self._names[-1])
            self._columns, self._rows, self._characters, self._size = columns, 0, 0, 0
            sheet.freeze_panes(1, 0)
            for number, column in enumerate(columns):
                sheet.set_column(number, number, column.width)
        self.row([text_cell(column.header, Style.HEADER) for column in columns])

    def row(self, cells: Sequence[Cell], *, height: float | None = None) -> None:
        """Write a row.

        Args:
            cells: made by `text_cell` and the like.
            height: in points; None: one line.

        Raises:
            OutputError: the temporary files cannot be written.
        """
        with self._lock, self._translated():
            if self._discarded:
                return
            sheet, formats, number = self._sheet, self._formats, self._rows
            if height is not None:
                sheet.set_row(number, height)
            for column, cell in enumerate(cells):
                if cell is None:
                    continue
                value, style = cell
                if isinstance(value, str):
                    self._characters += len(value)
                    _write_text(sheet, number, column, value, formats[style])
                elif isinstance(value, bool):
                    sheet.write_boolean(number, column, value, formats[style])
                elif isinstance(value, float):
                    sheet.write_number(number, column, value, formats[style])
                else:
                    sheet.write_datetime(number, column, value, formats[style])
            # XlsxWriter would keep the height of each row; the row before is written by now
            sheet.row_info.pop(number - 1, None)
            sheet.row_sizes.pop(number - 1, None)
            self._rows = number + 1
            self._characters += 60 * len(cells)  # tags
            if self._characters >= _LOOK:
                self._characters = 0
                self._size = os.fstat(sheet.row_data_fh.fileno()).st_size

    def close(self) -> None:
        """End the workbook, and write it to the target.

        Raises:
            OutputError: the temporary files, or the target, cannot be written.
            OSError: the target cannot be written.
        """
        self._end_sheet()
        with self._lock:
            if self._discarded:
                return
            try:
                with self._translated():
                    self._book.close()
            except OutputError as error:
                raise self._sink.error or error from None
            finally:
                self._sink.end()

    def discard(self) -> None:
        """Write nothing from now on, and close the temporary files; another thread may be writing."""
        self._sink.stop()
        with self._lock:
            self._discarded = True
            self._sink.end()
            for sheet in self._book.worksheets():
                with contextlib.suppress(OSError):  # of a full disk
                    sheet.row_data_fh.close()

    def _end_sheet(self) -> None:
        sheet, self._sheet = self._sheet, None
        if sheet is None or not self._columns:
            return
        sheet.autofilter(0, 0, self._rows - 1, len(self._columns) - 1)
        for number, column in enumerate(self._columns):
            if column.choices:
                rule = {
                    "validate": "list",
                    "source": list(column.choices),
                    "error_title": column.header,
                    "error_message": "Choose one of: " + ", ".join(column.choices),
                }
                sheet.data_validation(1, number, max(1, self._rows - 1), number, rule)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            cause = error.args[0] if error.args and isinstance(error.args[0], OSError) else error
            reason = getattr(cause, "strerror", None) or cause
            raise OutputError(f"the workbook cannot be written: {reason} ({self._folder.parent})") from error


def xlsxwriter() -> Any:
    """Return the module of XlsxWriter.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import_module("xlsxwriter.exceptions")
        return import_module("xlsxwriter")
    except ImportError as error:
        raise UsageError("Excel workbooks require XlsxWriter: pip install 'batchcrew[excel]'") from error


def _write_text(sheet: Any, row: int, column: int, text: str, format_: Any) -> None:
    if not text:
        sheet.write_blank(row, column, None, format_)
    elif text.startswith("<r>") and text.endswith("</r>"):
        # XlsxWriter would take this for a rich text that it has made itself, and write it as XML, whatever is in it
        sheet.write_rich_string(row, column, "<", "r", text[2:], format_)
    else:
        sheet.write_string(row, column, text, format_)


class _Sink:
    """The file that XlsxWriter writes to: it is only appended to. After an error, it drops what is written."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._ended = False
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        if not self._ended:
            try:
                self._write(bytes(data))
            except BaseException as error:
                self.error, self._ended = error, True
                raise
        return len(data)

    def stop(self) -> None:
        """Make the next write fail, which ends the thread that packs a workbook."""
        self._write = _refuse

    def end(self) -> None:
        """Drop what follows: a zip file that is not closed writes its end when it is collected."""
        self._ended = True

    def flush(self) -> None:
        pass


def _refuse(_: bytes) -> None:
    raise OutputError("the workbook is not finished")


def _free_name(name: str, taken: Sequence[str]) -> str:
    """Return a valid sheet name that differs from these; programs compare names in any case."""
    plain = "".join(character for character in name if character.isprintable() and character not in "[]:*?/\\")
    plain = cut(plain.strip("' "), _MOST_NAME).strip("' ") or "Sheet"
    known = {other.casefold() for other in taken}
    for number in count(1):
        end = "" if number == 1 else f" {number}"
        found = cut(plain, _MOST_NAME - len(end)) + end
        if found.casefold() not in known:
            return found
    raise AssertionError("numbers do not end")

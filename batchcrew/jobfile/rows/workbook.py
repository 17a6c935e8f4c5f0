"""Read the rows of a sheet of an Excel workbook as a stream. All values become text, as a CSV file would have them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from batchcrew.base.export_columns import MARK, SUMMARY_SHEETS
from batchcrew.base.xlsx.cells import EMPTY
from batchcrew.base.xlsx.number_formats import NUMBER, TEXT
from batchcrew.base.xlsx.package import WorkbookError
from batchcrew.base.xlsx.places import cell_place, column_letters
from batchcrew.base.xlsx.sheet import SheetStream
from batchcrew.base.xlsx.workbook import OpenSheet, SheetInfo, SheetRow, Workbook
from batchcrew.jobfile.problems import Problems, listed, named, nearest, shown
from batchcrew.jobfile.rows.data_like import Record
from batchcrew.jobfile.rows.row_format import Row, RowsSource
from batchcrew.jobfile.rows.sheet_style import unique_names
from batchcrew.model.job import Location

_MOST_TITLE_ROWS = 10
"""Rows of titles above a header that are recognized."""
_MOST_RENAMED = 8
_PRECISE_DIGITS = 15
"""Digits of a number that spreadsheet programs keep."""


@dataclass(frozen=True, slots=True)
class _Header:
    row: int
    names: tuple[str, ...]
    columns: tuple[int, ...]
    """The column of each name, from 1."""


def read(source: RowsSource, problems: Problems) -> Iterator[Row]:
    """Yield the number of each row below the header, and its columns as text. Rows without a value are skipped."""
    try:
        with Workbook(source.path) as book:
            sheet = _choose(book, source, problems)
            if sheet is None:
                return
            source.found.sheet = sheet.name
            with book.open_sheet(sheet) as opened:
                reader = _Reader(source, sheet, problems)
                yield from reader.rows(opened)
                if reader.header is None:
                    _add_empty(book, sheet, source, problems)
                ours = reader.header is not None and MARK in reader.header.names
                notes = _other_sheets(book, sheet, source, ignored=SUMMARY_SHEETS if ours else frozenset())
                source.found.notes = (*notes, *reader.notes(opened.stream))
    except WorkbookError as error:
        problems.at(Location(source.name), str(error))


def records(source: RowsSource, most: int) -> list[Record]:
    """Return the header and the first rows, without their mistakes, which are reported when the file is read."""
    problems = Problems()
    found: list[Record] = []
    try:
        with Workbook(source.path) as book:
            sheet = _choose(book, source, problems)
            if sheet is None:
                return []
            source.found.sheet = sheet.name
            with book.open_sheet(sheet) as opened:
                reader = _Reader(source, sheet, problems)
                found = [(number, list(row.values())) for number, row in islice(reader.rows(opened), most - 1)]
                if reader.header is not None:
                    found.insert(0, (reader.header.row, list(reader.header.names)))
    except (WorkbookError, OSError):  # reported when the file is read
        return []
    return found


def _choose(book: Workbook, source: RowsSource, problems: Problems) -> SheetInfo | None:
    """Return the sheet to read; None after a problem."""
    if source.sheet is None:
        return next((sheet for sheet in book.sheets if not sheet.hidden), book.sheets[0])
    wanted = source.sheet.strip().casefold()
    for sheet in book.sheets:
        if sheet.name.casefold() == wanted:
            return sheet
    names = [sheet.name for sheet in book.sheets]
    hint = nearest(source.sheet, names) or f" (the workbook has {listed(names)})"
    problems.at(Location(source.name), f"sheet not found: {shown(source.sheet)}{hint}")
    return None


def _add_empty(book: Workbook, sheet: SheetInfo, source: RowsSource, problems: Problems) -> None:
    """Add the problem of a sheet without a header, unless it was reported."""
    if len(problems):
        return
    others = _with_cells(book, sheet)
    hint = f"; {_name_one(others)}" if others else "; its first row must name the columns"
    problems.at(Location(source.name), f"the sheet {shown(sheet.name)} is empty{hint}")


def _with_cells(book: Workbook, sheet: SheetInfo) -> list[SheetInfo]:
    """Return the other sheets that have a cell with content."""
    return [other for other in book.sheets if other.part != sheet.part and book.has_cells(other)]


def _name_one(sheets: list[SheetInfo]) -> str:
    name = shown(sheets[0].name)
    return f"to read another one, write `sheet: {name}` or --sheet {name}"


def _other_sheets(book: Workbook, sheet: SheetInfo, source: RowsSource, *, ignored: frozenset[str]) -> Iterator[str]:
    """Yield a sentence about the sheets that are not read, unless the sheet was chosen."""
    others = [] if source.sheet is not None else _with_cells(book, sheet)
    others = [other for other in others if other.name not in ignored]
    if not others:
        return
    hidden = [other.name for other in others if other.hidden]
    named = f"only the sheet {shown(sheet.name)} is read, and not {listed(other.name for other in others)}"
    note = f" ({listed(hidden)} {'is' if len(hidden) == 1 else 'are'} hidden)" if hidden else ""
    yield f"{source.name}: {named}{note}; {_name_one(others)}"


class _Reader:
    """Reads the rows of one sheet."""

    def __init__(self, source: RowsSource, sheet: SheetInfo, problems: Problems) -> None:
        self._source = source
        self._sheet = sheet.name
        self._problems = problems
        self.header: _Header | None = None
        self._long: tuple[int, int, str] | None = None
        """Row, column and text of the first number with more digits than spreadsheet programs keep."""
        self._renamed: list[str] = []

    def rows(self, opened: OpenSheet) -> Iterator[Row]:
        """Yield the rows below the header; a row with a mistake is added to the problems."""
        problems, found = self._problems, self._source.found
        rows = opened.rows()
        header = self.header = self._find_header(rows)
        if header is None:
            return
        names, columns, known = header.names, header.columns, frozenset(header.columns)
        empty = True
        for row in rows:
            values = row.values
            if row.mistakes or not values.keys() <= known:
                if not any(text.strip() for text, _ in values.values()) and not row.mistakes:
                    continue
                if self._add_wrong(row, header):
                    return
                empty = False
                continue
            cells = [values.get(column, EMPTY) for column in columns]
            if not any(text.strip() for text, _ in cells):
                continue
            empty = False
            kinds = "".join([kind for _, kind in cells])
            if kinds.strip(TEXT):
                found.quoting = kinds
                if self._long is None and NUMBER in kinds:
                    self._note_long(row)
            else:
                found.quoting = None
            yield row.number, dict(zip(names, [text for text, _ in cells], strict=True))
        if empty and not len(problems):
            problems.at(self._place(header.row), "the sheet has a header but no rows")

    def notes(self, stream: SheetStream) -> Iterator[str]:
        """Yield sentences about hidden and merged cells, once the sheet was read."""
        header = self.header.row if self.header is not None else 0
        yield from self._renamed[:_MOST_RENAMED]
        if stream.hidden_rows:
            number = stream.hidden_row_count
            rows = "1 hidden row is" if number == 1 else f"{number:,} hidden rows are"
            yield self._note(stream.hidden_rows[0], 0, f"{rows} read like the others; this is the first")
        columns = self.header.columns if self.header is not None else ()
        hidden = [column for column in columns if any(first <= column <= last for first, last in stream.hidden_columns)]
        if hidden:
            names = "column " if len(hidden) == 1 else "columns "
            names += ", ".join(column_letters(column) for column in hidden[:8])
            yield self._note(header, hidden[0], f"hidden {names} {'is' if len(hidden) == 1 else 'are'} read")
        if stream.merged:
            number = stream.merged_count
            ranges = ", ".join(stream.merged[:3]) + (" …" if number > 3 else "")
            first = f"{self._source.name}: the sheet {shown(self._sheet)} has merged cells ({ranges})"
            yield f"{first}: only the first cell of each has a value, and the others are empty"
        if self._long is not None:
            row, column, text = self._long
            yield self._note(
                row,
                column,
                f"the number {text} has more than {_PRECISE_DIGITS} digits, and Excel has replaced those after the"
                f" {_PRECISE_DIGITS}th by zeros; if it is an id or a card number, enter it as text",
            )

    def _note(self, row: int, column: int, message: str) -> str:
        return f"{self._source.name}:{cell_place(self._sheet, row, column)}: {message}"

    def _note_long(self, row: SheetRow) -> None:
        for column, (text, kind) in row.values.items():
            if kind == NUMBER and len(text) > _PRECISE_DIGITS and text.lstrip("-").isdecimal():
                self._long = row.number, column, text
                return

    def _place(self, row: int, column: int = 0) -> Location:
        return Location(self._source.name, row, column, self._sheet)

    def _find_header(self, rows: Iterator[SheetRow]) -> _Header | None:
        """Return the first row that is not blank; None after a problem, or if there is none."""
        for row in rows:
            for column, reason in row.mistakes.items():
                self._problems.at(self._place(row.number, column), f"in the header, {reason}")
            if row.mistakes:
                return None
            texts = {column: text for column, (text, _) in row.values.items() if text.strip()}
            if texts:
                return self._header(row.number, texts)
        return None

    def _header(self, row: int, texts: dict[int, str]) -> _Header:
        """Return the header that these cells are; columns between them that have no name get one."""
        columns = tuple(range(min(texts), max(texts) + 1))
        given = [texts.get(column, "") for column in columns]
        names = unique_names(given)
        self._source.found.layout = {
            "sheet": self._sheet,
            "headers": {name: [text, False] for name, text in zip(names, given, strict=True)},
        }
        for column, name, text in zip(columns, names, given, strict=True):
            if name != text.strip():
                what = f"duplicate column {shown(text.strip())}" if text else "the column has no name"
                self._renamed.append(self._note(row, column, f"{what}; batchcrew calls it {named(name)}"))
        return _Header(row, tuple(names), columns)

    def _add_wrong(self, row: SheetRow, header: _Header) -> bool:
        """Add the mistakes of a row; return whether reading ends."""
        if len(header.names) == 1 and len(row.values) > 1 and row.number - header.row <= _MOST_TITLE_ROWS:
            self._problems.at(
                self._place(header.row, header.columns[0]),
                f"{shown(header.names[0])} looks like a title, not like column names (row {row.number} has"
                f" {len(row.values)} cells); delete the rows above the header",
            )
            return True
        for column, reason in row.mistakes.items():
            self._problems.at(self._place(row.number, column), reason)
        for column in row.values.keys() - set(header.columns):
            self._problems.at(
                self._place(row.number, column),
                f"{shown(row.values[column][0])} is in a column without a name (the header is row {header.row});"
                " name the column, or empty the cell",
                kind=f"column {column} has no name",
            )
        return self._problems.full

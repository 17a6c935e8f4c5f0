"""Parse the rows of a sheet as a stream."""

from collections.abc import Iterator
from typing import IO, NamedTuple

from batchcrew.base.xlsx.package import DAMAGED, WorkbookError
from batchcrew.base.xlsx.shared_strings import MAX_CELL
from batchcrew.base.xlsx.xml_stream import Attributes, LocalNames, XmlStream

MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384


class RawCell(NamedTuple):
    """A cell as it is in the sheet."""

    column: int
    """From 1."""
    kind: str
    """The attribute `t`; `n` if it is missing."""
    style: int
    text: str | None
    formula: bool


RawRow = tuple[int, list[RawCell]]
"""The number of a row, from 1, and its cells that are not blank."""


class SheetStream:
    """The rows of one sheet, with its hidden rows and columns and merged cells."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.hidden_rows: list[int] = []
        """Contains only the number of the first hidden row that has a cell."""
        self.hidden_row_count = 0
        self.hidden_columns: list[tuple[int, int]] = []
        """First and last column of ranges, up to 100."""
        self.merged: list[str] = []
        """The first merged ranges, up to 100."""
        self.merged_count = 0
        self._local = LocalNames()
        self._columns: dict[str, int] = {}
        self._xml = XmlStream(stream, start=self._start, end=self._end, text=self._add)
        self._rows: list[RawRow] = []
        self._number = 0
        self._hidden = False
        self._cells: list[RawCell] = []
        self._column = 0
        self._kind = "n"
        self._style = 0
        self._formula = False
        self._text: list[str] | None = None
        self._size = 0
        self._collecting = False
        self._phonetic = False

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows that have a cell with content, in order.

        Raises:
            WorkbookError: the sheet is damaged.
        """
        more = True
        while more:
            more = self._xml.feed()
            yield from self._rows
            self._rows.clear()

    def _start(self, name: str, attributes: Attributes) -> None:
        local = self._local[name]
        if local == "c":
            self._begin_cell(attributes)
        elif local == "v" or (local == "t" and not self._phonetic):
            if self._text is None:
                self._text = []
            self._collecting = True
        elif local == "f":
            self._formula = True
        elif local == "row":
            number = int(attributes["r"]) if attributes.get("r", "").isdecimal() else self._number + 1
            if not self._number < number <= MAX_ROWS:
                raise WorkbookError(DAMAGED.format(reason=f"row {number} follows row {self._number}"))
            self._number, self._column = number, 0
            self._hidden = attributes.get("hidden") in {"1", "true"}
            self._cells = []
        elif local == "rPh":
            self._phonetic = True
        elif local == "col":
            self._note_column(attributes)
        elif local == "mergeCell":
            self.merged_count += 1
            if len(self.merged) < 100:
                self.merged.append(attributes.get("ref", "")[:30])

    def _begin_cell(self, attributes: Attributes) -> None:
        place = attributes.get("r")
        if place is None:
            self._column += 1
        else:
            letters = place.rstrip("0123456789")
            column = self._columns.get(letters)
            if column is None:
                column = self._columns[letters] = column_number(letters)
            self._column = column
        self._kind = attributes.get("t", "n")
        style = attributes.get("s", "")
        self._style = int(style) if style.isdecimal() else 0
        self._formula, self._text, self._size = False, None, 0

    def _end(self, name: str) -> None:
        local = self._local[name]
        if local == "c":
            if self._text or self._formula:
                text = "".join(self._text) if self._text else None
                self._cells.append(RawCell(self._column, self._kind, self._style, text, self._formula))
        elif local in {"v", "t"}:
            self._collecting = False
        elif local == "row":
            if self._cells:
                if self._hidden:
                    self.hidden_row_count += 1
                    if not self.hidden_rows:
                        self.hidden_rows.append(self._number)
                self._rows.append((self._number, self._cells))
        elif local == "rPh":
            self._phonetic = False

    def _add(self, text: str) -> None:
        if self._collecting and self._text is not None:
            self._size += len(text)
            if self._size > MAX_CELL:
                raise WorkbookError(f"a cell of row {self._number} is longer than {MAX_CELL:,} characters")
            self._text.append(text)

    def _note_column(self, attributes: Attributes) -> None:
        if attributes.get("hidden") in {"1", "true"} and len(self.hidden_columns) < 100:
            first, last = attributes.get("min", ""), attributes.get("max", "")
            if first.isdecimal() and last.isdecimal():
                self.hidden_columns.append((int(first), int(last)))


def column_number(letters: str) -> int:
    """Return the number of a column, 28 for `AB`.

    Raises:
        WorkbookError: there is no such column.
    """
    number = 0
    for letter in letters:
        if not "A" <= letter <= "Z" or number > MAX_COLUMNS:
            number = 0
            break
        number = number * 26 + ord(letter) - ord("A") + 1
    if not 0 < number <= MAX_COLUMNS:
        raise WorkbookError(DAMAGED.format(reason=f"invalid column {letters[:10]!r}"))
    return number

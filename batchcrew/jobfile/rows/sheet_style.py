"""Determine how a CSV or TSV file was written, so that an export can be written in the same way.

The text of a cell and whether it was quoted determine its bytes. So a row whose cells are quoted as the style of the
file says needs no record, and the marks of any other row do.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from itertools import islice

from batchcrew.model.sheets import Header, SheetStyle

_SAMPLE_ROWS = 100
_MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
_READ_MARKS = {
    "utf-8-sig": ("utf-8",),
    "utf-16": ("utf-16-le", "utf-16-be"),
    "utf-32": ("utf-32-le", "utf-32-be"),
}
"""Codecs that read a byte order mark, and those that write the same without one; the first if the file has none."""


class RawLines:
    """Lines of a file, which remembers those of the record that is being read.

    Args:
        lines: the lines, with their line ends.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self._taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self._taken.append(line)
            yield line

    def take(self) -> str:
        """Return the text of the record that was read last."""
        text = self._taken[0] if len(self._taken) == 1 else "".join(self._taken)
        self._taken.clear()
        return text


def encoding_of(codec: str, head: bytes) -> tuple[str, bool]:
    """Return the codec that writes what `codec` reads, without a byte order mark, and whether the file has one.

    Args:
        head: the first bytes of the file.
    """
    name = codecs.lookup(codec).name
    possible = _READ_MARKS.get(name)
    if possible is None:
        return name, False  # such a codec reads a mark as text of the first header, which is written again
    for encoding in possible:
        if head.startswith(_MARKS[encoding]):
            return encoding, True
    return possible[0], False


def marks_of(raw: str, cells: Sequence[str]) -> str:
    """Return for each cell of a record whether it is quoted in the file, as `1` or `0`.

    Args:
        raw: the text of the record.
        cells: what the csv module read from it.
    """
    marks, position = [], 0
    for cell in cells:
        if raw.startswith('"', position):
            marks.append("1")
            position += len(cell) + cell.count('"') + 3
        else:
            marks.append("0")
            position += len(cell) + 1
    return "".join(marks)


def line_end_of(raw: str) -> str:
    """Return the line end of a record; a newline if it has none."""
    return next((end for end in ("\r\n", "\n", "\r") if raw.endswith(end)), "\n")


class _Returned:
    """Makes a writer return what it writes."""

    def write(self, text: str) -> str:
        return text


class Quoting:
    """Determines which cells of a file are quoted by its style, and the rows that differ from it.

    Args:
        sample: the beginning of the file, from its header on.
        delimiter: the file's delimiter.
        complete: whether the sample is the complete file; else its last record may be cut.
    """

    def __init__(self, sample: str, delimiter: str, *, complete: bool) -> None:
        self._special = re.compile(f'["\r\n{re.escape(delimiter)}]').search
        self._between = f'"{delimiter}"'
        rows = list(_sample_rows(sample, delimiter))
        if not complete and len(rows) <= _SAMPLE_ROWS:
            rows = rows[:-1]
        self.header = rows[0][1] if rows else ""
        """The marks of the header."""
        self.columns = self._quoted(rows[1:], len(self.header))
        """For each column, whether its cells are quoted although they need not be."""
        self.all = bool(self.columns) and all(self.columns)
        self._any = any(self.columns)
        self._minimal = csv.writer(_Returned(), delimiter=delimiter, lineterminator="\r\n").writerow

    def marks(self, raw: str, cells: Sequence[str]) -> str | None:
        """Return the marks of a row that is quoted differently; None if the style determines them."""
        if not self._any and '"' not in raw:
            return None
        # the common cases first: these take a fifth of the time
        if self.all:
            if raw.startswith(f'"{self._between.join(cells)}"'):
                return None  # a quote inside a cell would be written twice, so the texts would differ
        elif not self._any and self._minimal(cells) == raw.rstrip("\r\n") + "\r\n":
            return None
        marks = marks_of(raw, cells)
        special = self._special
        for mark, cell, quoted in zip(marks, cells, self.columns, strict=False):
            if (mark == "1") != (quoted or special(cell) is not None):
                return marks
        return None

    def _quoted(self, rows: Sequence[tuple[Sequence[str], str]], number: int) -> tuple[bool, ...]:
        seen, unquoted = [False] * number, [False] * number
        for cells, marks in rows:
            if len(cells) != number:
                continue
            for column, (cell, mark) in enumerate(zip(cells, marks, strict=True)):
                if mark == "0":
                    unquoted[column] = True
                elif not self._special(cell):
                    seen[column] = True
        if any(seen) and not any(unquoted):
            return (True,) * number  # also a column whose cells have to be quoted, as those of a text with commas
        return tuple(one and not other for one, other in zip(seen, unquoted, strict=True))


def _sample_rows(sample: str, delimiter: str) -> Iterator[tuple[list[str], str]]:
    """Yield cells and marks of the first records that are not blank, the header first."""
    lines = RawLines(StringIO(sample, newline=""))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for cells in islice(reader, _SAMPLE_ROWS + 1):
            raw = lines.take()
            if any(cell.strip() for cell in cells):
                yield cells, marks_of(raw, cells)
    except csv.Error:  # reported when the file is read
        return


def style_of(
    quoting: Quoting, delimiter: str, encoding: tuple[str, bool], header: tuple[Sequence[str], Sequence[str], str]
) -> SheetStyle:
    """Return the style of a file, except for its line `sep=` and its last line end.

    Args:
        encoding: see `encoding_of`.
        header: the cells of the header, the names of the columns, and the text of the record.
    """
    texts, names, raw = header
    marks = marks_of(raw, texts)
    return SheetStyle(
        delimiter=delimiter,
        encoding=encoding[0],
        bom=encoding[1],
        line_end=line_end_of(raw),
        quote_all=quoting.all,
        quote_headers="0" not in marks,
        quoted=frozenset(name for name, quoted in zip(names, quoting.columns, strict=False) if quoted),
        headers={
            name: Header(text=text, quoted=mark == "1") for name, text, mark in zip(names, texts, marks, strict=True)
        },
    )


def unique_names(header: Sequence[str]) -> list[str]:
    """Return the names of the columns: `column_3` if the third has none, `name_2` if the second repeats `name`."""
    stripped = [cell.strip() for cell in header]
    taken, names = set(stripped), []
    seen: set[str] = set()
    for number, name in enumerate(stripped, start=1):
        if not name or name in seen:
            base, count = (f"column_{number}", 1) if not name else (name, 2)
            name = base if count == 1 else f"{base}_{count}"
            while name in taken:
                count += 1
                name = f"{base}_{count}"
            taken.add(name)
        seen.add(name)
        names.append(name)
    return names

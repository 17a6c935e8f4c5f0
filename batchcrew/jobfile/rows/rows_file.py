"""Read a rows file of any format, one row after the other."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, compress, count

from batchcrew.jobfile.problems import Problems
from batchcrew.jobfile.rows.csv import Opening
from batchcrew.jobfile.rows.formats import row_format
from batchcrew.jobfile.rows.row_format import Row, RowFormat, RowsSource
from batchcrew.jobfile.rows.unfinished import CHANGED, stamp
from batchcrew.model.job import Location

# Formats that are not supported, by the first bytes of the file.
_MAGIC = (
    (b"PK\x03\x04", "this is an Excel workbook (or another zip file); rename it to .xlsx, or save it as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "this is an old Excel workbook; save it as .xlsx, or as CSV UTF-8"),
    (b"\x1f\x8b", "this is compressed with gzip; unpack it first"),
    (b"%PDF", "this is a PDF"),
    (b"SQLite format 3\0", "this is an SQLite database; export its table as CSV"),
    (b"PAR1", "this is a Parquet file; export it as CSV or JSONL"),
)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsFile(RowsSource):
    """A rows file in one of the formats."""

    @property
    def format(self) -> RowFormat:
        """The format that the file's suffix names."""
        return row_format(self.path.suffix)

    @property
    def textual(self) -> bool:
        """Whether all values are text and all rows have the same columns (CSV, TSV, workbooks)."""
        return self.format.textual

    def read(self, problems: Problems) -> Iterator[Row]:
        """Yield the rows in the file's order, one at a time. A row with a mistake is added to `problems` and skipped.

        A file that changes before its last row was read is a problem too.
        """
        where = Location(self.name)
        self.found.rows, self.found.notes, self.found.quoting = None, (), None
        try:
            before = stamp(self.path)
            with self.path.open("rb") as stream:
                head = stream.read(16)
            if reason := self.refusal(head):
                problems.at(where, reason)
                return
            rows = self.format.read(self, problems)
            first = next(rows, None)
            if first is not None:
                self.found.columns = tuple(first[1])
                number = count(1)
                # counts millions of rows without executing Python code for each
                yield from compress(chain((first,), rows), number)
                self.found.rows = next(number) - 1
            else:
                self.found.rows = 0
            if stamp(self.path) != before:
                problems.at(where, CHANGED)
        except OSError as exc:
            problems.at(where, f"cannot be read: {exc.strerror}")

    def opening(self) -> Opening | None:
        """Return the beginning of a CSV or TSV file; None for other files, and if it cannot be read or decoded."""
        opening = self.format.opening
        return opening(self) if opening is not None else None

    def refusal(self, head: bytes) -> str | None:
        """Return why a file that begins with `head` does not have the format of its suffix; None if it may have it."""
        if self.format.binary:
            return None
        for magic, reason in _MAGIC:
            if head.startswith(magic):
                return reason
        if head.startswith(_UTF16) and self.encoding is None:
            return "the text is UTF-16; save it as UTF-8, or set `encoding: utf-16`"
        return None


class WorkbookRows(RowsFile):
    """The rows of a workbook, whatever the name of its file is."""

    @property
    def format(self) -> RowFormat:
        return row_format(".xlsx")


def parse_delimiter(text: str) -> str | None:
    """Return the delimiter that `,`, `;`, `tab`, `\\t` … means; None if the text is not valid."""
    if text.strip().casefold() in {"tab", "\\t"}:
        return "\t"
    return text if len(text) == 1 and text not in '"\r\n\0' else None

"""Read a rows file of any format, one row after the other."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, compress, count
from pathlib import Path
from typing import Any, TypeAlias

from batchcrew.jobfile.nodes import ListNode, MapNode, plain_data
from batchcrew.jobfile.problems import Problems
from batchcrew.jobfile.rows.csv import Opening, read_csv, read_opening
from batchcrew.jobfile.rows.json import read_json_lines, read_json_list
from batchcrew.jobfile.rows.text_encoding import codec_of
from batchcrew.jobfile.rows.unfinished import CHANGED, stamp
from batchcrew.jobfile.slips import in_rows
from batchcrew.jobfile.syntax import read_document
from batchcrew.model.job import Location

Row: TypeAlias = tuple[int, dict[str, Any]]
"""The first line of a row, and its columns."""

# Formats that are not supported, by the first bytes of the file.
_MAGIC = (
    (b"PK\x03\x04", "this is an Excel workbook (or another zip file); save it as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "this is an old Excel workbook; save it as CSV UTF-8"),
    (b"\x1f\x8b", "this is compressed with gzip; unpack it first"),
    (b"%PDF", "this is a PDF"),
    (b"SQLite format 3\0", "this is an SQLite database; export its table as CSV"),
    (b"PAR1", "this is a Parquet file; export it as CSV or JSONL"),
)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

BARE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
"""Rows files that can take the place of a job file; `.json` and `.yaml` on the command line are job files."""
ROWS_SUFFIXES = (*BARE_SUFFIXES, ".json", ".yaml", ".yml")
SEPARATED_SUFFIXES = (".csv", ".tsv")


@dataclass(slots=True)
class RowsRead:
    """Results of the latest reading of a rows file."""

    rows: int | None = None
    """Number of rows; None until the file was read completely."""
    columns: tuple[str, ...] = ()
    """Columns of the first row."""
    notes: tuple[str, ...] = ()
    """Sentences about values that are allowed and may be mistakes, one for each column, with the first place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsFile:
    """A rows file and how to read it."""

    path: Path
    name: str
    """The name of the file in messages."""
    encoding: str | None = None
    delimiter: str | None = None
    found: RowsRead = field(default_factory=RowsRead, repr=False, compare=False)
    """Set by `read`."""

    @property
    def textual(self) -> bool:
        """Whether all values are text and all rows have the same columns (CSV, TSV)."""
        return self.path.suffix.lower() in SEPARATED_SUFFIXES

    def read(self, problems: Problems) -> Iterator[Row]:
        """Yield the rows in the file's order, one at a time. A row with a mistake is added to `problems` and skipped.

        A file that changes before its last row was read is a problem too.
        """
        where = Location(self.name)
        self.found.rows, self.found.notes = None, ()
        try:
            before = stamp(self.path)
            with self.path.open("rb") as stream:
                head = stream.read(16)
            if reason := self.refusal(head):
                problems.at(where, reason)
                return
            rows = self._rows(problems)
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
        if not self.textual:
            return None
        try:
            with self.path.open(encoding=codec_of(self.encoding), newline="") as stream:
                return read_opening(stream, self._delimiter)
        except (OSError, UnicodeError):  # reported when the file is read
            return None

    @property
    def _delimiter(self) -> str | None:
        return self.delimiter or ("\t" if self.path.suffix.lower() == ".tsv" else None)

    def refusal(self, head: bytes) -> str | None:
        """Return why a file that begins with `head` does not have the format of its suffix; None if it may have it."""
        for magic, reason in _MAGIC:
            if head.startswith(magic):
                return reason
        if head.startswith(_UTF16) and self.encoding is None:
            return "the text is UTF-16; save it as UTF-8, or set `encoding: utf-16`"
        return None

    def _rows(self, problems: Problems) -> Iterator[Row]:
        suffix = self.path.suffix.lower()
        if suffix in SEPARATED_SUFFIXES:
            return read_csv(self.path, self.name, problems, encoding=self.encoding, delimiter=self._delimiter)
        if suffix == ".json":
            return read_json_list(self.path, self.name, problems)
        if suffix in {".yaml", ".yml"}:
            return _read_yaml_list(self.path, self.name, problems, self.found)
        return read_json_lines(self.path, self.name, problems, encoding=self.encoding)


def _read_yaml_list(path: Path, name: str, problems: Problems, found: RowsRead) -> Iterator[Row]:
    """Yield the rows of a YAML list of mappings, which is completely in memory (up to the limit of a document)."""
    known = len(problems)
    root, notes = read_document(path, name, problems)
    if root is None or len(problems) > known:
        return
    if not isinstance(root, ListNode):
        problems.at(root.where, "invalid rows file (expected a list of mappings, one per row)")
        return
    found.notes = in_rows(root, notes)
    for node in root.items:
        if isinstance(node, MapNode):
            yield node.where.line, plain_data(node)
        else:
            problems.at(node.where, "invalid row (expected a mapping, as in `- {email: a@example.com}`)")
            if problems.full:
                return


def parse_delimiter(text: str) -> str | None:
    """Return the delimiter that `,`, `;`, `tab`, `\\t` … means; None if the text is not valid."""
    if text.strip().casefold() in {"tab", "\\t"}:
        return "\t"
    return text if len(text) == 1 and text not in '"\r\n\0' else None

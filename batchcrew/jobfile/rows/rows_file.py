"""Rows files, one row after the other: what each ending means, and what all of them have in common."""

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
"""The line in which a row begins, and its columns."""

# What a wrong ending hides, by the first bytes of the file.
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
"""Rows files that are a batch by themselves; `.json` and `.yaml` on the command line are job files."""
ROWS_SUFFIXES = (*BARE_SUFFIXES, ".json", ".yaml", ".yml")
SEPARATED_SUFFIXES = (".csv", ".tsv")


@dataclass(slots=True)
class RowsRead:
    """What the latest reading of a rows file found."""

    rows: int | None = None
    """Rows of the file; None until it was read to its end."""
    columns: tuple[str, ...] = ()
    """Columns of the first row."""
    notes: tuple[str, ...] = ()
    """Values that are allowed and look like a slip, one sentence for each column, with the place of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsFile:
    """A file of rows and how it is to be read."""

    path: Path
    name: str
    """What messages call it: the path as a person would write it."""
    encoding: str | None = None
    delimiter: str | None = None
    found: RowsRead = field(default_factory=RowsRead, repr=False, compare=False)
    """Filled by `read`."""

    @property
    def textual(self) -> bool:
        """True when every value is text (CSV, TSV) and all rows have the same columns."""
        return self.path.suffix.lower() in SEPARATED_SUFFIXES

    def read(self, problems: Problems) -> Iterator[Row]:
        """The rows in the file's order, one at a time. A wrong row is added to `problems` and left out.

        So is a file that changes before its last row was read.
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
                # counts each row without a step of Python for it: a file may have millions
                yield from compress(chain((first,), rows), number)
                self.found.rows = next(number) - 1
            else:
                self.found.rows = 0
            if stamp(self.path) != before:
                problems.at(where, CHANGED)
        except OSError as exc:
            problems.at(where, f"cannot be read: {exc.strerror}")

    def opening(self) -> Opening | None:
        """The beginning of a CSV or TSV file; None for other files, and for one that cannot be read or decoded."""
        if not self.textual:
            return None
        try:
            with self.path.open(encoding=codec_of(self.encoding), newline="") as stream:
                return read_opening(stream, self._delimiter)
        except (OSError, UnicodeError):  # the reading of the file says what is wrong
            return None

    @property
    def _delimiter(self) -> str | None:
        return self.delimiter or ("\t" if self.path.suffix.lower() == ".tsv" else None)

    def refusal(self, head: bytes) -> str | None:
        """Say why a file that begins with the bytes `head` cannot be what its ending says; None when it can."""
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
    """A YAML list of mappings. It is held in memory whole, up to the limit of a document."""
    known = len(problems)
    root, notes = read_document(path, name, problems)
    if root is None or len(problems) > known:
        return
    if not isinstance(root, ListNode):
        problems.at(root.where, "a rows file in YAML is a list of mappings, one a row")
        return
    found.notes = in_rows(root, notes)
    for node in root.items:
        if isinstance(node, MapNode):
            yield node.where.line, plain_data(node)
        else:
            problems.at(node.where, "a row must be a mapping, as in `- {email: a@example.com}`")
            if problems.full:
                return


def parse_delimiter(text: str) -> str | None:
    """The character that `,`, `;`, `tab`, `\\t` … stand for; None when it can be no delimiter."""
    if text.strip().casefold() in {"tab", "\\t"}:
        return "\t"
    return text if len(text) == 1 and text not in '"\r\n\0' else None

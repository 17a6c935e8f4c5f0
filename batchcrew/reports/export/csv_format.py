"""Exports as CSV and TSV, and values as their cells and as JSON.

The file's own cells are written as they were read, quoted as in the file. Other text is one cell as it is; numbers,
lists and objects are their JSON; true, false; null is empty. Text of crews is escaped, so that a spreadsheet does not
run it.
"""

import codecs
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import orjson

from batchcrew.base.json_values import writable
from batchcrew.model.sheets import Header
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.export_format import ExportFormat
from batchcrew.reports.export.output import Target
from batchcrew.reports.export.table import Column, Origin, Table

# A cell that needs no change: no quoting, no formula, and no character that UTF-8 does not have.
_PLAIN = re.compile(r'[A-Za-z0-9][^",\r\n\x00\ud800-\udfff]*')
_QUOTED = re.compile(r'[",\r\n]|^\s|\s$')
_SURROGATE = re.compile("[\ud800-\udfff]")
# A sign after blanks, control characters or invisible characters is dangerous too, because programs skip or strip them.
_FORMULA = re.compile(
    "[\\s\\x01-\\x1f\\x7f-\\x9f\u00ad\u200b-\u200f\u2060\ufeff]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\\t\\r]"
)
# Signs that begin a number, a telephone number or a dash are allowed, because digits and arithmetic cannot call
# functions. Possessive, so that megabytes of blanks cannot cause backtracking.
_NUMBER = re.compile(r"\s*+[+\-](?:[\d.,]++[eE][+\-]?\d+|[\d\s().,/%€$£¥\-]*+)", re.ASCII)


def csv_line(cells: list[str]) -> str:
    """Return the cells as one line of CSV, including its newline."""
    return ",".join(cells) + "\n"


def csv_cell(value: object) -> str:
    """Return `value` quoted where a comma-separated file requires it, and harmless in a spreadsheet; see `guarded`."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not value[-1].isspace():
        return value
    text = guarded(cell_text(value))
    return quoted_cell(text) if _QUOTED.search(text) else text


def cell_text(value: object) -> str:
    """Return `value` as the text of a cell.

    NUL characters are omitted, because many readers of CSV stop at them. Lone surrogates become U+FFFD.
    """
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    text = value if isinstance(value, str) else json_text(value)
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    return _SURROGATE.sub("\ufffd", text.replace("\0", ""))


def guarded(text: str) -> str:
    """Return the text of a cell so that no spreadsheet runs it.

    A cell that a spreadsheet would run as a formula (it begins with `=`, `+`, `-`, `@`, their full-width forms, a
    tab or a carriage return, also after blanks) gets a leading `'`, unless it is a number or a telephone number.
    """
    return "'" + text if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def quoted_cell(text: str) -> str:
    """Return the text between quotes."""
    return '"' + text.replace('"', '""') + '"'


def json_text(value: object) -> str:
    """Return `value` as JSON on one line.

    Values that orjson cannot write (integers beyond 64 bits, lone surrogates) are written by the slower json module;
    NaN and infinities are null in both.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # orjson.JSONEncodeError is one
        return json.dumps(writable(value), allow_nan=False, separators=(",", ":"))


class NotEncodable(Exception):
    """A text has a character that the encoding of the export does not have."""


class _Writer:
    """Writes the rows in the style of the table's sheet."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._style = style = table.style
        self._special = re.compile(f'["\r\n{re.escape(style.delimiter)}]')
        self._only = len(table.fixed) == 1
        self._cells = [self._cell_of(column) for column in table.fixed]
        self._own = [number for number, column in enumerate(table.fixed) if column.origin is Origin.FILE]
        self._started = False

    def begin(self, target: Target) -> None:
        style = self._style
        if style.bom:
            target.write(_BOMS[style.encoding])
        lines = [] if style.sep_line is None else [style.sep_line]
        lines.append(style.delimiter.join(map(self._header, self._table.fixed)))
        self._write(target, lines)

    def add(self, target: Target, rows: Sequence[ResultRow]) -> None:
        self._write(target, [self._line(row) for row in rows])

    def end(self, target: Target) -> None:
        if self._style.final_line_end:
            self._encode(target, self._style.line_end)

    def _write(self, target: Target, lines: list[str]) -> None:
        text = self._style.line_end.join(lines)
        self._encode(target, self._style.line_end + text if self._started else text)
        self._started = True

    def _encode(self, target: Target, text: str) -> None:
        if self._style.encoding == "utf-8":
            target.write(text)
            return
        try:
            target.write(text.encode(self._style.encoding))
        except UnicodeEncodeError as error:
            character = ascii(error.object[error.start])[1:-1]
            raise NotEncodable(
                f"the encoding {self._style.encoding} does not have the character {character}"
            ) from error

    def _line(self, row: ResultRow) -> str:
        cells = [cell(row) for cell in self._cells]
        if row.quoting is not None:
            self._requote(row, cells)
        line = self._style.delimiter.join(cells)
        return '""' if self._only and not line else line

    def _requote(self, row: ResultRow, cells: list[str]) -> None:
        """Quote the file's own cells as the row of the file did, where the delimiter still allows that."""
        marks = dict(zip(row.row, row.quoting or "", strict=False))
        for number in self._own:
            column = self._table.fixed[number]
            if (mark := marks.get(column.name)) is not None:
                text = cell_text(column.value(row))
                cells[number] = self._own_cell(text, quoted=mark == "1")

    def _own_cell(self, text: str, *, quoted: bool) -> str:
        # a quote inside a cell that is not quoted is text
        safe = not self._special.search(text.replace('"', "")) and not text.startswith('"')
        return text if safe and not quoted else quoted_cell(text)

    def _cell_of(self, column: Column) -> Callable[[ResultRow], str]:
        value, special, style = column.value, self._special.search, self._style
        if column.origin is Origin.FILE:
            if column.name in style.quoted:
                return lambda row: quoted_cell(cell_text(value(row)))
            return lambda row: text if not special(text := cell_text(value(row))) else quoted_cell(text)
        guard = guarded if column.origin is Origin.CREW and self._table.formulas == "escape" else str
        if style.quote_all:
            return lambda row: quoted_cell(guard(cell_text(value(row))))
        return lambda row: self._our_cell(guard(cell_text(value(row))))

    def _our_cell(self, text: str) -> str:
        return quoted_cell(text) if self._special.search(text) or text[:1].isspace() or text[-1:].isspace() else text

    def _header(self, column: Column) -> str:
        if column.origin is Origin.FILE:
            header = self._style.headers.get(column.name, Header(text=column.header))
            return self._own_cell(cell_text(header.text), quoted=header.quoted)
        text = cell_text(column.header)
        if column.origin is Origin.CREW and self._table.formulas == "escape":
            text = guarded(text)
        return quoted_cell(text) if self._style.quote_headers else self._our_cell(text)


_BOMS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
"""By codec. Other encodings have no byte order mark."""


def has_bom(encoding: str) -> bool:
    """Return whether files in the encoding may begin with a byte order mark."""
    return encoding in _BOMS


def _tab_separated(table: Table) -> _Writer:
    return _Writer(replace(table, style=replace(table.style, delimiter="\t")))


CSV = ExportFormat(name="csv", suffixes=(".csv",), writer=_Writer)
TSV = ExportFormat(name="tsv", suffixes=(".tsv", ".tab"), writer=_tab_separated)

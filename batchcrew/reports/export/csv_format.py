"""Values as the cells of a CSV file that a spreadsheet may open, and as JSON.

CSV is UTF-8 without a byte order mark, comma-separated, quoted as in RFC 4180, and its lines end in a newline alone.
Text is one cell as it is; numbers, lists and objects (from YAML or JSONL) are their JSON; true, false; null is empty.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import orjson

from batchcrew.model.views import ResultRow
from batchcrew.reports.export.export_format import ExportFormat, Table
from batchcrew.reports.export.output import Target

# A cell of which nothing can be said against: no quoting, nothing of a formula, nothing that UTF-8 cannot hold.
_PLAIN = re.compile(r'[A-Za-z0-9][^",\r\n\x00\ud800-\udfff]*')
_QUOTED = re.compile(r'[",\r\n]|^\s|\s$')
_SURROGATE = re.compile("[\ud800-\udfff]")
# Blanks, control characters and invisible ones before a sign do not make it safe: programs skip or strip them.
_FORMULA = re.compile(
    "[\\s\\x01-\\x1f\\x7f-\\x9f\u00ad\u200b-\u200f\u2060\ufeff]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\\t\\r]"
)
# Signs that only begin a number, a telephone number or a dash: digits and arithmetic cannot call anything.
# Possessive, so that megabytes of blanks cannot make it go back and forth.
_NUMBER = re.compile(r"\s*+[+\-](?:[\d.,]++[eE][+\-]?\d+|[\d\s().,/%€$£¥\-]*+)", re.ASCII)


def csv_line(cells: list[str]) -> str:
    """Return the cells as one line of CSV, including its newline."""
    return ",".join(cells) + "\n"


def csv_cell(value: object) -> str:
    """Return `value` quoted where CSV requires it, and harmless in a spreadsheet.

    A cell that a spreadsheet would run as a formula (it begins with `=`, `+`, `-`, `@`, their full-width forms, a
    tab or a carriage return, also after blanks) gets a leading `'`, unless it is a number or a telephone number.
    NUL characters are left out: many readers of CSV stop at them. Lone surrogates become U+FFFD.
    """
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and not value[-1].isspace() else _text_cell(value)
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    return _text_cell(json_text(value)) if isinstance(value, dict | list | tuple) else json_text(value)


def _text_cell(text: str) -> str:
    text = _SURROGATE.sub("\ufffd", text.replace("\x00", ""))
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        text = "'" + text
    if _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def json_text(value: object) -> str:
    """Return `value` as JSON on one line.

    What orjson cannot write (integers beyond 64 bits, lone surrogates) is written by the slower way; NaN and
    infinities are null in both.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # orjson.JSONEncodeError is one
        return json.dumps(writable(value), allow_nan=False, separators=(",", ":"))


def writable(value: Any, depth: int = 0) -> Any:
    """Return `value` with only what JSON can express; a text replaces values deeper than 200 levels."""
    if depth > 200:
        return "(nested deeper than 200 levels)"
    if isinstance(value, dict):
        return {str(key): writable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [writable(item, depth + 1) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return str(value)


class _Writer:
    def __init__(self, table: Table) -> None:
        self._table = table

    def begin(self, target: Target) -> None:
        target.write(csv_line([csv_cell(column) for column in self._table.header()]))

    def add(self, target: Target, rows: Sequence[ResultRow]) -> None:
        target.write("".join(map(self._line, rows)))

    def end(self, target: Target) -> None:
        pass

    def _line(self, row: ResultRow) -> str:
        return csv_line([csv_cell(value) for value in self._table.cells(row)])


CSV = ExportFormat(name="csv", writer=_Writer)

"""Exports as a Markdown table, as GitHub shows it in issues and pull requests.

Markdown and HTML in a cell are escaped, so that they are shown as text. A long cell is cut, with a note.
"""

import html
import re
from collections.abc import Sequence

from batchcrew.base.text import HARMFUL_IN_BLOCK, escaped
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.csv_format import cell_text
from batchcrew.reports.export.export_format import ExportFormat
from batchcrew.reports.export.output import Target
from batchcrew.reports.export.table import Column, ColumnType, Table

MOST_CHARACTERS = 500
"""Characters of a cell that are shown."""
# characters that end a cell, or are markup inside a line; GitHub shows $…$ as a formula
_MARKUP = re.compile(r"[\\`*_\[\]~$]")
# GitHub makes links, mentions and references of plain text
_LINKS = re.compile(r"(?i)\b(?:https?|ftp|mailto|xmpp)(?=:)|\bwww(?=\.)|@(?=\w)|#(?=\d)")
_BREAK = re.compile(r"\r\n|\r|\n")


def markdown_cell(value: object, *, most: int = MOST_CHARACTERS) -> str:
    """Return `value` as the cell of a table in Markdown: text without any effect.

    Args:
        most: characters to show; a note says how many were cut.
    """
    text = cell_text(value)
    cut = len(text) - most
    if cut > 0:
        text = text[:most]
    text = HARMFUL_IN_BLOCK.sub(lambda match: match[0] if match[0] == "\r" else escaped(match[0]), text)
    text = _MARKUP.sub(r"\\\g<0>", html.escape(text, quote=False))
    text = _LINKS.sub(r"\g<0><!-- -->", text)  # an empty comment in the middle prevents that
    text = text.replace("|", "&#124;")
    text = _BREAK.sub("<br>", text.strip()).replace("\t", " ")
    return f"{text} … ({cut:,} more characters)" if cut > 0 else text


class _Writer:
    def __init__(self, table: Table) -> None:
        self._table = table

    def begin(self, target: Target) -> None:
        self._line(target, [column.header for column in self._table.fixed])
        target.write("|" + "".join(f" {_rule(column)} |" for column in self._table.fixed) + "\n")

    def add(self, target: Target, rows: Sequence[ResultRow]) -> None:
        for row in rows:
            self._line(target, self._table.cells(row))

    def end(self, target: Target) -> None:
        pass

    def _line(self, target: Target, cells: Sequence[object]) -> None:
        target.write("|" + "".join(f" {markdown_cell(cell)} |" for cell in cells) + "\n")


def _rule(column: Column) -> str:
    return "---:" if column.type in {ColumnType.INTEGER, ColumnType.NUMBER} else "---"


MARKDOWN = ExportFormat(name="md", suffixes=(".md", ".markdown"), writer=_Writer)

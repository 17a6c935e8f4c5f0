"""The style of a text rows file (CSV, TSV), so that an export can be written in the same style."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Formulas: TypeAlias = Literal["escape", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A header of a column, as it is in the file."""

    text: str
    """With its blanks; empty if the column has no name."""
    quoted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetStyle:
    """The style in which the cells of a sheet are written as text. The defaults are those of a file that is not CSV."""

    delimiter: str = ","
    encoding: str = "utf-8"
    """A codec that writes no byte order mark, such as utf-8, cp1252 or utf-16-le."""
    bom: bool = False
    """Whether the file begins with a byte order mark."""
    line_end: str = "\n"
    final_line_end: bool = True
    """Whether the last line has a line end."""
    sep_line: str | None = None
    """A first line `sep=;`, without its line end."""
    quote_all: bool = False
    """Whether every cell is quoted; else those that have to be."""
    quote_headers: bool = False
    """Whether every header is quoted."""
    quoted: frozenset[str] = frozenset()
    """The columns whose cells are quoted although they need not be."""
    headers: Mapping[str, Header] = field(default_factory=dict)
    """By the name of the column in a row."""

    def as_json(self) -> dict[str, Any]:
        """Return the style as the ledger stores it."""
        return {
            "delimiter": self.delimiter,
            "encoding": self.encoding,
            "bom": self.bom,
            "line_end": self.line_end,
            "final_line_end": self.final_line_end,
            "sep_line": self.sep_line,
            "quote_all": self.quote_all,
            "quote_headers": self.quote_headers,
            "quoted": sorted(self.quoted),
            "headers": {name: [header.text, header.quoted] for name, header in self.headers.items()},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "SheetStyle":
        """Return the style that the ledger has stored."""
        headers = {name: Header(text=text, quoted=quoted) for name, (text, quoted) in stored["headers"].items()}
        values = {name: stored[name] for name in _STORED}
        return cls(**values, quoted=frozenset(stored["quoted"]), headers=headers)


_STORED = ("delimiter", "encoding", "bom", "line_end", "final_line_end", "sep_line", "quote_all", "quote_headers")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsLayout:
    """The recorded style of one rows file of a batch."""

    file: str
    """Its name in messages."""
    format: str
    """The suffix of its format, without the dot: `csv`."""
    layout: Mapping[str, Any]
    """The style that the format has recorded, as JSON; empty: none."""

"""How a rows file of text (CSV, TSV) was written, so that an export can be written in the same way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Formulas: TypeAlias = Literal["escape", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A header of a column, as it is in the file."""

    text: str
    """With its blanks; empty if the column has no name."""
    quoted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetStyle:
    """How the cells of a sheet are written as text. The defaults are those of a file that is not CSV."""

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
    quoted: frozenset[str] = frozenset()
    """The columns whose cells are quoted although they need not be."""
    headers: Mapping[str, Header] = field(default_factory=dict)
    """By the name of the column in a row."""

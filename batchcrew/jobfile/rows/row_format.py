"""Define the interface of a format of rows files. `formats.py` lists the formats."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from batchcrew.jobfile.problems import Problems
from batchcrew.jobfile.rows.data_like import Record

if TYPE_CHECKING:
    from batchcrew.jobfile.rows.csv import Opening  # csv.py imports this module

Row: TypeAlias = tuple[int, dict[str, Any]]
"""The line in which a row begins, and its columns."""


@dataclass(slots=True)
class RowsRead:
    """Results of the latest reading of a rows file."""

    rows: int | None = None
    """Number of rows; None until the file was read completely."""
    columns: tuple[str, ...] = ()
    """Columns of the first row."""
    notes: tuple[str, ...] = ()
    """Sentences about values that are allowed and may be mistakes, one for each column, with the first place."""
    sheet: str = ""
    """The sheet of a workbook that is read."""
    layout: Mapping[str, Any] = field(default_factory=dict)
    """The style of the file, as JSON: exports are written in the same style. Empty if the format records nothing."""
    quoting: str | None = None
    """Of the latest row: which of its cells are quoted, `1` or `0` for each; None: as the layout says. Of a workbook:
    the kind of each cell (`batchcrew/base/xlsx/number_formats.py`); None: all are text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsSource:
    """A file of rows, and the options that it is read with."""

    path: Path
    name: str
    """The file's name in messages: the path as you would write it."""
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    """Name of a workbook's sheet; None: the first one that is not hidden."""
    found: RowsRead = field(default_factory=RowsRead, repr=False, compare=False)
    """Filled while the rows are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFormat:
    """A format of rows files."""

    suffixes: tuple[str, ...]
    """Endings of its files, in lower case, with the dot."""
    read: Callable[[RowsSource, Problems], Iterator[Row]]
    """Yields one row at a time, adds wrong rows to the problems, and never loads the whole file."""
    is_batch: bool = False
    """True: such a file can be run without a job file. A `.json` or `.yaml` file on the command line is a job file."""
    has_encoding: bool = False
    """True: the option `encoding` applies. Other text formats are always UTF-8."""
    opening: "Callable[[RowsSource], Opening | None] | None" = None
    """Reads the beginning of a file whose columns are separated by a delimiter, and whose values are all text; the
    option `delimiter` applies to it."""
    binary: bool = False
    """True: the file is not text. It has no encoding, and its first bytes may be those of any other format."""
    textual: bool = False
    """True: all values are text, and all rows have the same columns."""
    has_sheets: bool = False
    """True: the option `sheet` applies."""
    records: Callable[[RowsSource, int], list[Record]] | None = None
    """Reads the header and the first rows of a binary file, at most this many together, for questions about them."""

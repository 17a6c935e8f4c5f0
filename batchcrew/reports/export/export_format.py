"""Define the interface of a format of exports. `formats.py` lists the formats."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from batchcrew.model.views import ResultRow
from batchcrew.reports.export.output import Target
from batchcrew.reports.export.table import Table


class Writer(Protocol):
    """Writes one export to its target, text or bytes. Its methods run in threads, one at a time."""

    def begin(self, target: Target) -> None:
        """Write the part before the rows."""
        ...

    def add(self, target: Target, rows: Sequence[ResultRow]) -> None:
        """Write some rows; there is at least one."""
        ...

    def end(self, target: Target) -> None:
        """Write the part after the rows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFormat:
    """A format of exports."""

    name: str
    """The value of `--format`."""
    writer: Callable[[Table], Writer]
    suffixes: tuple[str, ...] = ()
    """Endings of its files, in lower case, with the dot: `-o` chooses the format by them."""
    binary: bool = False
    """True: the output is not text, and is never written to a terminal."""
    typed: bool = False
    """True: each column has one type, so that the types of the file's own columns are determined first."""
    has_sheets: bool = False
    """True: the format has further sheets, with the summary and the failure groups."""
    extra: str | None = None
    """The extra of batchcrew that the format requires, such as `parquet`."""

"""What a format of exports provides. `formats.py` lists the formats.

One row per job. The file's own columns come first, then `EXPORT_COLUMNS`. A stale job has no `output`: `stale_output`
and `stale_inputs` hold its answer and the inputs that it was made from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from batchcrew.base.export_columns import EXPORT_COLUMNS, WHERE_NEEDED, free_name
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.output import Target

STALE_COLUMNS = ("stale_output", "stale_inputs")
Names: TypeAlias = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What is known of an export before its first row."""

    columns: Sequence[str]
    """The file's own columns."""
    names: Names
    """The names of our columns next to those."""
    stale: bool
    """True: the batch has stale jobs. A format with fixed columns gets STALE_COLUMNS too."""

    def header(self) -> list[str]:
        """Return the columns of a format with fixed columns: the file's own, then ours."""
        ours = (*EXPORT_COLUMNS, *(STALE_COLUMNS if self.stale else ()))
        return [*self.columns, *(self.names[column] for column in ours)]

    def cells(self, row: ResultRow) -> list[Any]:
        """Return the values of a row, in the order of the header."""
        stale = (row.stale_output, row.stale_inputs) if self.stale else ()
        return [*(row.row.get(column) for column in self.columns), *result_values(row), *stale]


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
    binary: bool = False
    """True: the output is not text, and is never written to a terminal."""


def export_names(columns: Sequence[str]) -> Names:
    """Return the names of our columns next to the file's own."""
    names: Names = {}
    for column in (*EXPORT_COLUMNS, *WHERE_NEEDED):
        names[column] = free_name(column, {*columns, *names.values()})
    return names


def result_values(row: ResultRow) -> tuple[Any, ...]:
    """Return the values of EXPORT_COLUMNS, in their order."""
    seconds = None if row.execution_time is None else round(row.execution_time, 3)
    return (
        row.state.value,
        row.job_id,
        row.output,
        row.reason,
        row.attempts_used,
        row.kickoff_id,
        row.kicked_off_at,
        row.ended_at,
        seconds,
    )

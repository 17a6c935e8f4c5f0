"""The row model that all formats of exports share: typed columns, which read their values from rows.

The file's own columns come first, unchanged, then `EXPORT_COLUMNS`, then the groups that were requested. A stale job
has no `output`: `stale_output` and `stale_inputs` hold its answer and the inputs that it was made from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeAlias

from batchcrew.base.errors import UsageError
from batchcrew.base.export_columns import EXPORT_COLUMNS, WHERE_NEEDED, free_name
from batchcrew.base.similar import did_you_mean
from batchcrew.base.text import one_line
from batchcrew.model.sheets import Formulas, SheetStyle
from batchcrew.model.views import ResultRow

STALE_COLUMNS = ("stale_output", "stale_inputs")
Names: TypeAlias = dict[str, str]
_SHOWN = 20


class ColumnType(StrEnum):
    """The type of a column's values; any value may be missing (None)."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"  # UTC ISO-8601 text: 2026-02-03T04:05:06.000Z
    JSON = "json"  # a list, an object, or values of several types


class Origin(StrEnum):
    """The origin of a column's values."""

    FILE = "file"  # they are written as they were read
    BATCHCREW = "batchcrew"
    CREW = "crew"  # hostile: a spreadsheet might run a formula in them


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of an export."""

    name: str
    """Unique among the columns; the key in JSON."""
    header: str
    """The header in a spreadsheet: the name in the file, which may be empty or not unique; else the name."""
    type: ColumnType
    origin: Origin
    value: Callable[[ResultRow], Any] = field(repr=False)
    """Returns the value of a row; its type is that of JSON."""
    base: str = ""
    """The column's name where the file has no column of this name (`output`)."""
    where_needed: bool = False
    """True: JSON omits it where there is no value, and other formats have it only if it is requested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraSheet:
    """A further sheet of a workbook."""

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    """Values of JSON, in the order of the header."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The columns of an export; writers get it before the first row."""

    columns: tuple[Column, ...]
    """In their order. Formats without fixed columns (JSON) omit columns that a row does not have."""
    selected: bool = False
    """True: `--columns` chose them. False: a row of JSON also has those of its keys that are not columns."""
    style: SheetStyle = field(default_factory=SheetStyle)
    """The style of a text format with delimiters."""
    formulas: Formulas = "escape"
    """Whether text of crews that a spreadsheet would run is escaped in these formats."""
    sheet_name: str = "Results"
    """The name of the sheet that holds the rows."""
    sheets: tuple[ExtraSheet, ...] = ()
    """Further sheets, for formats that have them."""

    @cached_property
    def own(self) -> tuple[Column, ...]:
        """The file's own columns."""
        return tuple(column for column in self.columns if column.origin is Origin.FILE)

    @cached_property
    def ours(self) -> tuple[Column, ...]:
        """All other columns."""
        return tuple(column for column in self.columns if column.origin is not Origin.FILE)

    @cached_property
    def fixed(self) -> tuple[Column, ...]:
        """The columns of a format in which every row has the same columns."""
        if self.selected:
            return self.columns
        return tuple(column for column in self.columns if not column.where_needed)

    def header(self) -> list[str]:
        """Return the headers of a format with fixed columns."""
        return [column.header for column in self.fixed]

    def cells(self, row: ResultRow) -> list[Any]:
        """Return the values of a row, in the order of `fixed`."""
        return [value(row) for value in self._values]

    @cached_property
    def _values(self) -> tuple[Callable[[ResultRow], Any], ...]:
        return tuple(column.value for column in self.fixed)


def export_names(columns: Sequence[str]) -> Names:
    """Return the names of our columns next to the file's own."""
    names: Names = {}
    taken = set(columns)
    for column in (*EXPORT_COLUMNS, *WHERE_NEEDED):
        names[column] = free_name(column, taken)
        taken.add(names[column])
    return names


def own_column(name: str, *, header: str | None = None, type: ColumnType = ColumnType.TEXT) -> Column:  # noqa: A002 - its name
    """Return one of the file's own columns.

    Args:
        name: the key of the column in a row.
        header: the header in the file, where it is not the name.
        type: the type of its values in the file; text in CSV.
    """
    return Column(
        name=name,
        header=name if header is None else header,
        type=type,
        origin=Origin.FILE,
        value=lambda row: row.row.get(name),
        base=name,
    )


def _seconds(row: ResultRow) -> float | None:
    return None if row.execution_time is None else round(row.execution_time, 3)


def _ours(
    base: str, type_: ColumnType, origin: Origin, value: Callable[[ResultRow], Any], *, where_needed: bool = False
) -> Column:
    return Column(name=base, header=base, type=type_, origin=origin, value=value, base=base, where_needed=where_needed)


_TEXT, _TIME = ColumnType.TEXT, ColumnType.TIME
RESULT_COLUMNS: tuple[Column, ...] = (
    _ours("batchcrew_state", _TEXT, Origin.BATCHCREW, lambda row: row.state.value),
    _ours("job_id", _TEXT, Origin.BATCHCREW, lambda row: row.job_id),
    _ours("output", _TEXT, Origin.CREW, lambda row: row.output),
    _ours("error", _TEXT, Origin.CREW, lambda row: row.reason),
    _ours("attempts", ColumnType.INTEGER, Origin.BATCHCREW, lambda row: row.attempts_used),
    _ours("kickoff_id", _TEXT, Origin.CREW, lambda row: row.kickoff_id),
    _ours("started_at", _TIME, Origin.BATCHCREW, lambda row: row.kicked_off_at),
    _ours("ended_at", _TIME, Origin.BATCHCREW, lambda row: row.ended_at),
    _ours("execution_time", ColumnType.NUMBER, Origin.BATCHCREW, _seconds),
    _ours("result_json", ColumnType.JSON, Origin.CREW, lambda row: row.result_json, where_needed=True),
    _ours(
        "possible_duplicate", ColumnType.BOOLEAN, Origin.BATCHCREW, lambda row: row.possible_duplicate or None,
        where_needed=True,
    ),
    _ours("stale_output", _TEXT, Origin.CREW, lambda row: row.stale_output, where_needed=True),
    _ours("stale_inputs", ColumnType.JSON, Origin.CREW, lambda row: row.stale_inputs, where_needed=True),
)  # fmt: skip
"""The columns of every export: EXPORT_COLUMNS, then WHERE_NEEDED."""


def build_table(columns: Sequence[str | Column], *, stale: bool = False, groups: Sequence[Column] = ()) -> Table:
    """Return the table of an export: the file's own columns, RESULT_COLUMNS, then the groups that were requested.

    Args:
        columns: the file's own columns; a name is a column of text.
        stale: whether the batch has stale jobs: formats with fixed columns then have STALE_COLUMNS, too.
        groups: further columns, such as those of tokens. A name that is taken gets the prefix `batchcrew_`.
    """
    own = tuple(own_column(column) if isinstance(column, str) else column for column in columns)
    taken = {column.name for column in own}
    ours = []
    for column in (*RESULT_COLUMNS, *groups):
        name = free_name(column.base, taken)
        taken.add(name)
        fixed = stale and column.base in STALE_COLUMNS
        ours.append(replace(column, name=name, header=name, where_needed=column.where_needed and not fixed))
    return Table(columns=(*own, *ours))


def select_columns(table: Table, names: Sequence[str], further: Sequence[Column] = ()) -> Table:
    """Return the table with these columns only, in this order.

    Args:
        names: names of the file's own columns and of ours; the name that ours has where the file has no such column is
            understood, too.
        further: columns that are not in the table and can be chosen.

    Raises:
        UsageError: a column was not found, or is named twice.
    """
    whole = build_table(table.own, groups=[*_groups_of(table), *further])
    by_name = {column.base: column for column in reversed(whole.ours)}
    by_name |= {column.name: column for column in whole.columns}
    chosen: dict[str, Column] = {}
    for name in names:
        column = by_name.get(name)
        if column is None:
            known = ", ".join(one_line(column.name) for column in whole.columns[:_SHOWN])
            hint = (
                did_you_mean(name, by_name)
                or f" (the columns are {known}{' …' if len(whole.columns) > _SHOWN else ''})"
            )
            raise UsageError(f"column not found: '{one_line(name)}'{hint}")
        if column.name in chosen:
            raise UsageError(f"column '{one_line(name)}' is named twice in --columns")
        chosen[column.name] = column
    return replace(table, columns=tuple(chosen.values()), selected=True)


def _groups_of(table: Table) -> Sequence[Column]:
    return table.ours[len(RESULT_COLUMNS) :]

"""The type that the values of a column have in common."""

from typing import Any

from batchcrew.reports.export.table import ColumnType

_INT64 = range(-(2**63), 2**63)


class Types:
    """Determines the common type of a column's values."""

    def __init__(self) -> None:
        self._seen: set[ColumnType] = set()

    def see(self, value: Any) -> None:
        """Add a value; None has any type."""
        if value is not None:
            self._seen.add(_type_of(value))

    @property
    def type(self) -> ColumnType:
        """The type of all values: text if there are none, JSON if they have several."""
        seen = self._seen
        if not seen:
            return ColumnType.TEXT
        if seen == {ColumnType.INTEGER, ColumnType.NUMBER}:
            return ColumnType.NUMBER
        return next(iter(seen)) if len(seen) == 1 else ColumnType.JSON


def _type_of(value: Any) -> ColumnType:
    match value:
        case bool():
            return ColumnType.BOOLEAN
        case int():
            return ColumnType.INTEGER if value in _INT64 else ColumnType.JSON
        case float():
            return ColumnType.NUMBER
        case str():
            return ColumnType.TEXT
        case _:
            return ColumnType.JSON

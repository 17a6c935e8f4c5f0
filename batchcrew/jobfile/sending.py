"""Choose the columns of a rows file that become inputs if the job file does not name them: those that the crew
requests."""

from collections.abc import Collection, Iterable, Mapping

EVERYTHING = "*"
"""Key for every crew that is not named."""


class Sending:
    """The columns that each crew is sent, and the columns that were found while the files were read.

    Args:
        columns: names by crew (`*`: every other crew); None, or a crew that is not in it: all columns.
        exported: also send columns that `batchcrew export` has added (ledgers of earlier versions may have them).
    """

    def __init__(self, columns: Mapping[str, Collection[str] | None] | None = None, *, exported: bool = False) -> None:
        self._columns = {crew: None if names is None else frozenset(names) for crew, names in (columns or {}).items()}
        self.exported = exported
        self.offered: dict[str, dict[str, None]] = {}
        """By crew, the columns of rows whose entry does not name the columns to send."""
        self.id_columns: dict[str, set[str]] = {}
        """By crew, the columns that hold the ids of rows."""

    def wanted(self, crew: str) -> frozenset[str] | None:
        """Return the columns that the crew is sent; None: all of them."""
        return self._columns.get(crew, self._columns.get(EVERYTHING))

    def offer(self, crew: str, columns: Iterable[str], id_column: str | None = None) -> None:
        """Record the columns of a row. The column of its id is sent only if the crew requests it."""
        self.offered.setdefault(crew, {}).update(dict.fromkeys(columns))
        if id_column is not None:
            self.id_columns.setdefault(crew, set()).add(id_column)

    def differs_from_all(self, crew: str) -> bool:
        """Return whether jobs that were read with all columns have other inputs than the crew is sent."""
        wanted = self.wanted(crew)
        requests_id = wanted is not None and not wanted.isdisjoint(self.id_columns.get(crew, ()))
        return requests_id or bool(self.left_out(crew))

    def found(self, other: "Sending") -> None:
        """Take over the columns that another reading of the files has found."""
        self.offered, self.id_columns = other.offered, other.id_columns

    def left_out(self, crew: str) -> tuple[str, ...]:
        """Return the columns of the files that the crew is not sent."""
        wanted = self.wanted(crew)
        return () if wanted is None else tuple(name for name in self.offered.get(crew, ()) if name not in wanted)

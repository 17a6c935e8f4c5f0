"""Which columns of a rows file become inputs where the job file does not say: those that the crew asks for."""

from collections.abc import Collection, Iterable, Mapping

EVERYTHING = "*"
"""Stands for every crew that is not named."""


class Sending:
    """The columns that each crew is sent, and what was found in the files while they were read.

    Args:
        columns: names by crew (`*`: every other one); None is all of them, and so is a crew that is not there.
        exported: also send columns that an export of ours has added (ledgers of earlier versions may have them).
    """

    def __init__(self, columns: Mapping[str, Collection[str] | None] | None = None, *, exported: bool = False) -> None:
        self._columns = {crew: None if names is None else frozenset(names) for crew, names in (columns or {}).items()}
        self.exported = exported
        self.offered: dict[str, dict[str, None]] = {}
        """By crew, the columns of rows that do not say themselves which are sent."""
        self.id_columns: dict[str, set[str]] = {}
        """By crew, the columns that give rows their ids."""

    def wanted(self, crew: str) -> frozenset[str] | None:
        """Return the columns that the crew is sent; None: all of them."""
        return self._columns.get(crew, self._columns.get(EVERYTHING))

    def offer(self, crew: str, columns: Iterable[str], id_column: str | None = None) -> None:
        """Note the columns of a row, and the one that gives its id: that one is sent only where it is asked for."""
        self.offered.setdefault(crew, {}).update(dict.fromkeys(columns))
        if id_column is not None:
            self.id_columns.setdefault(crew, set()).add(id_column)

    def differs_from_all(self, crew: str) -> bool:
        """Whether the jobs that were read with all columns sent have other inputs than they should have."""
        wanted = self.wanted(crew)
        asked_for_id = wanted is not None and not wanted.isdisjoint(self.id_columns.get(crew, ()))
        return asked_for_id or bool(self.left_out(crew))

    def found(self, other: "Sending") -> None:
        """Take over what another reading of the files has found."""
        self.offered, self.id_columns = other.offered, other.id_columns

    def left_out(self, crew: str) -> tuple[str, ...]:
        """Return the columns of the files that the crew is not sent."""
        wanted = self.wanted(crew)
        return () if wanted is None else tuple(name for name in self.offered.get(crew, ()) if name not in wanted)

"""Notes on YAML values of a rows file that may be mistakes: one sentence for each column, not for each row."""

from collections.abc import Sequence

from batchcrew.jobfile.nodes import ListNode, MapNode, scalars
from batchcrew.jobfile.problems import named
from batchcrew.model.job import Location

MOST_COLUMNS = 20
"""Maximum number of columns with a note."""
_LONGEST = 200


def in_rows(root: ListNode, notes: Sequence[tuple[Location, str]]) -> tuple[str, ...]:
    """Return a sentence for each column: its first note, and the number of further ones.

    Args:
        notes: the notes of `read_document`. Those about other places than the values of rows are omitted.
    """
    by_place = dict(notes)
    if not by_place:
        return ()
    first: dict[str, tuple[Location, str]] = {}
    number: dict[str, int] = {}
    for row in root.items:
        for column, value in row.items.items() if isinstance(row, MapNode) else ():
            for scalar in scalars(value):
                note = by_place.get(scalar.where)
                if note is None or (column not in first and len(first) == MOST_COLUMNS):
                    continue
                first.setdefault(column, (scalar.where, note))
                number[column] = number.get(column, 0) + 1
    return tuple(_sentence(column, where, note, number[column] - 1) for column, (where, note) in first.items())


def _sentence(column: str, where: Location, note: str, more: int) -> str:
    note = note if len(note) <= _LONGEST else note[:_LONGEST] + "…"
    text = f"{where.file}:{where.line}:{where.column}: {note} (column {named(column)})"
    if not more:
        return text
    return (
        f"{text}; {more} more {'value' if more == 1 else 'values'} of this column {'is' if more == 1 else 'are'} alike"
    )

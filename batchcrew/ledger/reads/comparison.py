"""Compare the rows of two batches. Both are read in the order of an index, so memory does not grow with them."""

import aiosqlite

from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import one, rows
from batchcrew.ledger.reads.base import Reads
from batchcrew.model.comparison import ChangedRow, RowsCompared, StateChange

EXAMPLES = 5
_MOST_WORDS = 400
_LATEST = "LEFT JOIN attempts AS {0} ON {0}.job = {1}.id AND {0}.number = {1}.attempts"
_BOTH = """
FROM jobs AS n JOIN jobs AS o ON o.batch_id = :old AND o.job_id = n.job_id AND o.present = 1
"""
_DIFFER = (
    "(o.state = 'succeeded' AND n.state = 'succeeded'"
    " AND coalesce(b.output, b.result_json) IS NOT coalesce(a.output, a.result_json))"
)
_OUTPUTS = f"{_LATEST.format('b', 'o')} {_LATEST.format('a', 'n')}"
_OF_NEW = "WHERE n.batch_id = :new AND n.present = 1"
_COUNTS = f"""
SELECT before, after, count(*), sum(same), sum(differ), sum(same AND differ) FROM (
    SELECT o.state AS before, n.state AS after, same_inputs(o.inputs, n.inputs) AS same, {_DIFFER} AS differ
    {_BOTH} {_OUTPUTS} {_OF_NEW}
) GROUP BY 1, 2
"""
_EXAMPLES = f"""
SELECT n.job_id {_BOTH} {_OF_NEW} AND o.state = :before AND n.state = :after ORDER BY n.position LIMIT :most
"""
_ROWS = f"""
SELECT n.job_id, o.state, n.state, {_DIFFER}, same_inputs(o.inputs, n.inputs), substr(n.reason, 1, :words)
{_BOTH} {_OUTPUTS} {_OF_NEW} AND (o.state <> n.state OR {_DIFFER}) ORDER BY n.position LIMIT :most
"""
_ONLY = """
FROM jobs AS n WHERE n.batch_id = :new AND n.present = 1 AND NOT EXISTS (
    SELECT 1 FROM jobs AS o WHERE o.batch_id = :old AND o.job_id = n.job_id AND o.present = 1)
"""


class ComparisonReads(Reads):
    """Compare batches."""

    async def compare(self, old: BatchKey, new: BatchKey, *, limit: int) -> RowsCompared:
        """Compare the rows of two batches.

        Args:
            old: the earlier batch.
            new: the later batch.
            limit: most rows to list.
        """
        return await self._query(lambda connection: _compare(connection, old.id, new.id, limit))


async def _compare(connection: aiosqlite.Connection, old: int, new: int, limit: int) -> RowsCompared:
    batches = {"old": old, "new": new}
    counts = await rows(connection, _COUNTS, batches)
    changes = []
    for before, after, number, *_ in sorted(counts, key=lambda row: (-row[2], row[0], row[1])):
        if before == after:
            continue
        parameters = {**batches, "before": before, "after": after, "most": EXAMPLES}
        examples = tuple(row[0] for row in await rows(connection, _EXAMPLES, parameters))
        changes.append(StateChange(before=before, after=after, jobs=number, examples=examples))
    differing = sum(row[4] for row in counts)
    listed = await rows(connection, _ROWS, {**batches, "words": _MOST_WORDS, "most": limit})
    added, added_jobs = await _only(connection, new=new, old=old)
    removed, removed_jobs = await _only(connection, new=old, old=new)
    return RowsCompared(
        matched=sum(row[2] for row in counts),
        same_inputs=sum(row[3] for row in counts),
        changes=tuple(changes),
        outputs_compared=sum(row[2] for row in counts if row[0] == row[1] == "succeeded"),
        outputs_differ=differing,
        outputs_differ_with_same_inputs=sum(row[5] for row in counts),
        added=added,
        added_jobs=added_jobs,
        removed=removed,
        removed_jobs=removed_jobs,
        rows=tuple(
            ChangedRow(
                job_id=job_id,
                before=before,
                after=after,
                outputs_differ=bool(differ),
                same_inputs=bool(same),
                reason=reason,
            )
            for job_id, before, after, differ, same, reason in listed
        ),
        more_rows=sum(change.jobs for change in changes) + differing - len(listed),
    )


async def _only(connection: aiosqlite.Connection, *, new: int, old: int) -> tuple[int, tuple[str, ...]]:
    """Return how many jobs only the batch `new` has, and the first of them."""
    batches = {"old": old, "new": new}
    number = await one(connection, f"SELECT count(*) {_ONLY}", batches)
    found = await rows(
        connection, f"SELECT n.job_id {_ONLY} ORDER BY n.position LIMIT :most", {**batches, "most": EXAMPLES}
    )
    return (int(number[0]) if number else 0), tuple(row[0] for row in found)

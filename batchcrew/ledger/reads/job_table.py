"""The jobs of a batch as columns, a page of rows at a time: for tables of all jobs."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiosqlite

from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows
from batchcrew.ledger.reads.base import Reads
from batchcrew.ledger.reads.jobs import SECONDS

PAGE_ROWS = 2000
_LONGEST_REASON = 400
_LONGEST_ROW = 20_000
_LONGEST_VALUE = 400
# a file's row may be megabytes long: of such a row, only the beginning of each value is read
_PAGE = f"""
SELECT j.position, j.id, j.job_id, j.state, j.crew,
       CASE WHEN j.state IN ('failed', 'held') THEN coalesce(j.reason_fingerprint, '') ELSE '' END,
       CASE WHEN j.state IN ('succeeded', 'stale') THEN ''
            ELSE coalesce(substr(j.reason, 1, {_LONGEST_REASON}), '') END,
       j.charged, (julianday(a.kicked_off_at) - julianday(:epoch)) * 86400.0, coalesce(a.execution_time, {SECONDS}),
       a.total_tokens,
       CASE WHEN length(j.row) <= {_LONGEST_ROW} THEN j.row ELSE (
           SELECT json_group_object(key, substr(value, 1, {_LONGEST_VALUE})) FROM json_each(j.row)) END
FROM jobs AS j LEFT JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
WHERE j.batch_id = :batch AND j.present = 1 AND (j.position, j.id) > (:position, :id)
ORDER BY j.position, j.id LIMIT :most
"""
_ATTENTION = ("failed", "held", "waiting", "stale")
_OF_INTEREST = f"""
SELECT job_id FROM jobs WHERE batch_id = ? AND present = 1 AND state {{}} ('{"', '".join(_ATTENTION)}')
AND state <> 'pending' ORDER BY position, id LIMIT ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Some thousand jobs in the file's order, each field a column."""

    job_ids: tuple[str, ...]
    states: tuple[str, ...]
    crews: tuple[str, ...]
    fingerprints: tuple[str, ...]
    """Of the reasons of failed and held jobs; empty for others."""
    reasons: tuple[str, ...]
    """Their beginning; empty for jobs that succeeded."""
    attempts_used: tuple[int, ...]
    started: tuple[float | None, ...]
    """Seconds from the table's epoch to the latest kickoff."""
    seconds: tuple[float | None, ...]
    """Of the latest execution."""
    tokens: tuple[int | None, ...]
    rows: tuple[str, ...]
    """JSON objects: the file's own columns."""


class JobTableReads(Reads):
    """Read all jobs as columns."""

    async def job_pages(self, key: BatchKey, epoch: str) -> AsyncIterator[JobPage]:
        """Yield all jobs that are in the file, in its order.

        Args:
            epoch: moments are counted from this one, UTC text.
        """
        after: tuple[int, int] | None = (-1, -1)
        while after is not None:
            page, after = await self._query(partial(_page, batch_id=key.id, epoch=epoch, after=after))
            if page:
                _, _, *columns = zip(*page, strict=True)
                yield JobPage(
                    job_ids=columns[0],
                    states=columns[1],
                    crews=columns[2],
                    fingerprints=columns[3],
                    reasons=columns[4],
                    attempts_used=columns[5],
                    started=columns[6],
                    seconds=columns[7],
                    tokens=columns[8],
                    rows=columns[9],
                )

    async def jobs_of_interest(self, key: BatchKey, most: int) -> list[str]:
        """Return the ids of jobs to show in full: first those that need attention, then others, in the file's order.

        Half of them at most need attention, as long as there are others.
        """
        attention = [row[0] for row in await self._rows(_OF_INTEREST.format("IN"), (key.id, most))]
        others = [row[0] for row in await self._rows(_OF_INTEREST.format("NOT IN"), (key.id, most))]
        first = attention[: max(most // 2, most - len(others))]
        return [*first, *others[: most - len(first)]]


async def _page(
    connection: aiosqlite.Connection, batch_id: int, *, epoch: str, after: tuple[int, int]
) -> tuple[list[tuple[Any, ...]], tuple[int, int] | None]:
    parameters = {"batch": batch_id, "epoch": epoch, "position": after[0], "id": after[1], "most": PAGE_ROWS}
    page = await rows(connection, _PAGE, parameters)
    return page, (page[-1][0], page[-1][1]) if len(page) == PAGE_ROWS else None

"""A page of a batch's jobs: searched, filtered and sorted by SQLite."""

from typing import Any

import aiosqlite

from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows, value
from batchcrew.ledger.json_text import encode_json
from batchcrew.ledger.reads.base import Reads
from batchcrew.ledger.reads.jobs import SECONDS
from batchcrew.model.job import JobState
from batchcrew.model.job_search import JobOrder, JobPage, JobQuery, JobRow

SHOWN_CHARACTERS = 400
"""Characters of a reason and of an output that are read to show their beginning."""
_TOOK = f"coalesce(a.execution_time, {SECONDS})"
_LATEST = "LEFT JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts"
_ORDERS = {
    JobOrder.FILE: "j.position",
    JobOrder.JOB: "j.job_id COLLATE NOCASE",
    JobOrder.STATE: "j.state",
    JobOrder.ATTEMPTS: "j.charged",
    JobOrder.DURATION: _TOOK,
    JobOrder.TOKENS: "a.total_tokens",
    JobOrder.CHANGED: "j.updated_at",
}
_OF_ATTEMPTS = frozenset({JobOrder.DURATION, JobOrder.TOKENS})
"""The orders for which the attempts of all jobs are read, not only those of the page."""
# the row is searched as text first: most rows have no match, and need not be taken apart
_MATCHES = """
AND (j.job_id LIKE :like ESCAPE '\\' OR j.reason LIKE :like ESCAPE '\\' OR (
    j.row LIKE :like_json ESCAPE '\\'
    AND EXISTS (SELECT 1 FROM json_each(j.row) AS cell WHERE cell.value LIKE :like ESCAPE '\\')))
"""


def _like(text: str) -> str:
    """Return a pattern of LIKE that matches whatever contains the text."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _where(batch_id: int, query: JobQuery) -> tuple[str, dict[str, Any]]:
    where = "j.batch_id = :batch AND j.present = 1"
    parameters: dict[str, Any] = {"batch": batch_id}
    if query.states:
        where += f" AND j.state IN ({', '.join(repr(state.value) for state in query.states)})"
    if query.crew is not None:
        where += " AND j.crew = :crew"
        parameters["crew"] = query.crew
    if query.fingerprint is not None:
        where += " AND j.state IN ('failed', 'held') AND j.reason_fingerprint IS :fingerprint"
        parameters["fingerprint"] = query.fingerprint or None
    if query.search:
        where += _MATCHES
        parameters["like"] = _like(query.search)
        parameters["like_json"] = _like(encode_json(query.search)[1:-1])
    return where, parameters


def _row(found: tuple[Any, ...]) -> JobRow:
    return JobRow(
        job_id=found[0],
        crew=found[1],
        state=JobState(found[2]),
        reason=found[3],
        output=found[4],
        attempts_used=found[5],
        kicked_off_at=found[6],
        ended_at=found[7],
        seconds=found[8],
        tokens=found[9],
    )


class JobSearchReads(Reads):
    """Read pages of jobs."""

    async def job_page(self, key: BatchKey, query: JobQuery) -> JobPage:
        """Return the jobs of one page, and how many there are on all pages."""
        where, parameters = _where(key.id, query)
        direction = "DESC" if query.descending else "ASC"
        of_attempts = query.order in _OF_ATTEMPTS
        order = f"{_ORDERS[query.order]} {direction}{' NULLS LAST' if of_attempts else ''}, j.position, j.id"
        page = (
            f"SELECT j.id AS id FROM jobs AS j {_LATEST if of_attempts else ''} WHERE {where}"
            f" ORDER BY {order} LIMIT :most OFFSET :skip"
        )
        shown = f"substr(j.reason, 1, {SHOWN_CHARACTERS}), substr(a.output, 1, {SHOWN_CHARACTERS})"
        jobs = f"""
        SELECT j.job_id, j.crew, j.state, {shown}, j.charged, a.kicked_off_at, a.ended_at, {_TOOK}, a.total_tokens
        FROM ({page}) AS page CROSS JOIN jobs AS j ON j.id = page.id {_LATEST} ORDER BY {order}
        """

        async def read(connection: aiosqlite.Connection) -> JobPage:
            total = await value(connection, f"SELECT count(*) FROM jobs AS j WHERE {where}", parameters)
            found = await rows(connection, jobs, {**parameters, "most": query.most, "skip": query.skip})
            return JobPage(rows=tuple(map(_row, found)), total=int(total))

        return await self._query(read)

    async def crews_of(self, key: BatchKey) -> tuple[str, ...]:
        """Return the names of the crews of the batch's jobs."""
        found = await self._rows(
            "SELECT DISTINCT crew FROM jobs WHERE batch_id = ? AND present = 1 ORDER BY crew", (key.id,)
        )
        return tuple(row[0] for row in found)

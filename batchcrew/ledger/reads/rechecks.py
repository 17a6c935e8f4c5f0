"""Read attempts that timed out or were lost, whose executions may have succeeded since."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import aiosqlite

from batchcrew.base.errors import NotInLedger
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows
from batchcrew.ledger.json_text import decode_json, encode_json
from batchcrew.ledger.reads.base import Reads
from batchcrew.ledger.reads.jobs import has_job
from batchcrew.ledger.reads.similar import did_you_mean_job
from batchcrew.model.attempt import AttemptState
from batchcrew.model.job import JobState

_PAGE = 200
# the condition names every state of the small index, so that SQLite uses it
_UNSURE = """
FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job
LEFT JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)
WHERE a.state IN ('in_doubt', 'lost', 'timed_out') AND a.state <> 'in_doubt' AND a.kickoff_id IS NOT NULL
    AND j.batch_id = :batch AND j.state IN ('failed', 'held', 'pending')
"""
_NAMED = " AND j.job_id IN (SELECT value FROM json_each(:jobs))"
_AFTER = " AND a.job >= :job AND (a.job > :job OR a.number < :number) ORDER BY a.job, a.number DESC LIMIT :page"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAttempt:
    """An attempt that timed out or was lost, of a job that has not succeeded since."""

    attempt_id: str
    job_key: int
    job_id: str
    job_state: JobState
    crew: str
    number: int
    state: AttemptState
    kickoff_id: str
    address: str | None
    """The address at which it was started; None if the ledger has not recorded it."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """The inputs that it was started with."""


PageKey: TypeAlias = tuple[int, int]
"""The job's row number and the attempt's number of the last attempt of a page."""
_FIRST_PAGE: PageKey = (-1, 0)


class RecheckReads(Reads):
    """Read the attempts that `recheck` polls again."""

    async def unsure(self, key: BatchKey, job_ids: Sequence[str] = ()) -> AsyncIterator[EndedAttempt]:
        """Yield these attempts job by job in the file's order, the latest of a job first.

        Args:
            job_ids: only attempts of these jobs; empty: of all jobs.

        Raises:
            NotInLedger: the batch has no such job.
        """
        for job_id in job_ids:
            if not await self._query(partial(has_job, batch_id=key.id, job_id=job_id)):
                hint = await self._query(partial(did_you_mean_job, batch_id=key.id, job_id=job_id))
                raise NotInLedger(f"job {job_id!r} not found in batch {key.batch}{hint}")
        after: PageKey | None = _FIRST_PAGE
        while after is not None:
            page, after = await self._query(partial(_unsure_page, batch_id=key.id, job_ids=job_ids, after=after))
            for attempt in page:
                yield attempt

    async def unsure_addresses(self, key: BatchKey, job_ids: Sequence[str] = ()) -> frozenset[tuple[str, str | None]]:
        """Return (crew, address) of the attempts that `unsure` yields; the address is None if it is not recorded."""
        named = _NAMED if job_ids else ""
        found = await self._rows(
            f"SELECT DISTINCT coalesce(a.sent_crew, j.crew), c.url {_UNSURE}{named}", _parameters(key.id, job_ids)
        )
        return frozenset((crew, url) for crew, url in found)

    async def unsure_count(self, key: BatchKey) -> int:
        """Return the number of jobs that `recheck` would poll."""
        return await self._count(f"SELECT count(DISTINCT a.job) {_UNSURE}", {"batch": key.id})

    async def held_without_id(self, key: BatchKey, job_ids: Sequence[str] = ()) -> int:
        """Return the number of held jobs that `recheck` cannot poll: their kickoff_id is not known."""
        named = _NAMED if job_ids else ""
        return await self._count(
            "SELECT count(*) FROM jobs AS j JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts"
            f" WHERE j.batch_id = :batch AND j.state = 'held' AND a.kickoff_id IS NULL{named}",
            _parameters(key.id, job_ids),
        )


def _parameters(batch_id: int, job_ids: Sequence[str]) -> dict[str, str | int]:
    return {"batch": batch_id, "jobs": encode_json(list(job_ids))}


async def _unsure_page(
    connection: aiosqlite.Connection, batch_id: int, job_ids: Sequence[str], after: PageKey
) -> tuple[list[EndedAttempt], PageKey | None]:
    """Return the next attempts, and the key of the page after them."""
    named = _NAMED if job_ids else ""
    found = await rows(
        connection,
        "SELECT a.id, a.job, j.job_id, j.state, coalesce(a.sent_crew, j.crew), a.number, a.state, a.kickoff_id, c.url,"
        f" coalesce(a.sent_inputs, j.inputs) {_UNSURE}{named}{_AFTER}",
        {**_parameters(batch_id, job_ids), "job": after[0], "number": after[1], "page": _PAGE},
    )
    page = [
        EndedAttempt(
            attempt_id=row[0],
            job_key=row[1],
            job_id=row[2],
            job_state=JobState(row[3]),
            crew=row[4],
            number=row[5],
            state=AttemptState(row[6]),
            kickoff_id=row[7],
            address=row[8],
            inputs=decode_json(row[9]) or {},
        )
        for row in found
    ]
    return page, (found[-1][1], found[-1][5]) if len(found) == _PAGE else None

"""Attempts: those in progress, and the addresses at which attempts were started."""

from collections.abc import Sequence
from typing import Any

import aiosqlite

from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows
from batchcrew.ledger.json_text import decode_json
from batchcrew.ledger.reads.base import Reads
from batchcrew.ledger.watching import watch_of
from batchcrew.model.attempt import Attempt, AttemptState
from batchcrew.model.views import InFlight

_ANSWERS_FROM = """
FROM jobs AS j JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)
WHERE j.batch_id = :batch AND j.present = 1 AND j.state = 'succeeded' AND j.crew = :crew AND c.url = :url
"""
STARTED_AT = """
FROM jobs AS j JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)
WHERE j.batch_id = :batch AND c.url = :url
"""
"""The end of a query over the jobs whose latest attempt was started at an address; parameters: batch, url."""

ATTEMPT_COLUMNS = """
a.state, a.id, j.id, j.job_id, coalesce(a.sent_crew, j.crew), a.number, j.charged,
coalesce(a.sent_inputs, j.inputs), j.meta, a.intended_at, a.kickoff_id, a.kicked_off_at, a.watch,
a.attached, c.url, a.sent_inputs IS NOT NULL, j.state NOT IN ('open', 'waiting'), (
    SELECT coalesce(sum((julianday(coalesce(past.ended_at, :now_)) - julianday(past.since)) * 86400.0), 0.0)
    FROM waits AS past WHERE past.attempt_id = a.id),
(SELECT r.webhooks IS NOT NULL FROM runs AS r WHERE r.id = a.run_id)
"""
"""The columns that `attempt_of` reads; the parameter `now_` is the moment, UTC text."""
ATTEMPT_FROM = """
FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job
LEFT JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)
"""


def attempt_of(key: BatchKey, row: Sequence[Any]) -> Attempt:
    """Return the attempt that ATTEMPT_COLUMNS describe."""
    return Attempt(
        attempt_id=row[1],
        batch=key.batch,
        job_key=row[2],
        job_id=row[3],
        crew=row[4],
        number=row[5],
        attempts_used=row[6],
        inputs=decode_json(row[7]),
        meta=decode_json(row[8]),
        intended_at=row[9],
        kickoff_id=row[10],
        kicked_off_at=row[11],
        watch=watch_of(row[12]),
        attached=bool(row[13]),
        address=row[14],
        outdated=bool(row[15]),
        superseded=bool(row[16]),
        waited=max(0.0, row[17]),
        webhooks=bool(row[18]),
    )


async def in_progress(connection: aiosqlite.Connection, batch_id: int) -> tuple[InFlight, ...]:
    """Return the open attempts, each with the last known progress of its execution."""
    found = await rows(
        connection,
        """
        SELECT j.job_id, j.crew, a.kickoff_id, coalesce(a.kicked_off_at, a.intended_at), a.progress
        FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job
        WHERE a.state IN ('intended', 'kicked_off') AND j.batch_id = ? AND j.state <> 'waiting'
        ORDER BY a.intended_at, j.position
        """,
        (batch_id,),
    )
    return tuple(
        InFlight(job_id=row[0], crew=row[1], kickoff_id=row[2], since=row[3], **(decode_json(row[4]) if row[4] else {}))
        for row in found
    )


class AttemptReads(Reads):
    """Read the attempts of a batch."""

    async def open_attempts(self, key: BatchKey) -> list[tuple[AttemptState, Attempt]]:
        """Return the attempts that an earlier run left `intended` or `kicked_off`: at most its concurrency.

        Those whose execution waits for human input are not among them.
        """
        found = await self._rows(
            f"SELECT {ATTEMPT_COLUMNS} {ATTEMPT_FROM} WHERE a.state IN ('intended', 'kicked_off')"
            " AND j.batch_id = :batch AND j.state <> 'waiting' ORDER BY j.position",
            {"batch": key.id, "now_": self._now_text()},
        )
        return [(AttemptState(row[0]), attempt_of(key, row)) for row in found]

    async def open_attempt(self, key: BatchKey, attempt_id: str) -> Attempt | None:
        """Return the attempt if its execution is in progress, and does not wait for human input."""
        row = await self._one(
            f"SELECT {ATTEMPT_COLUMNS} {ATTEMPT_FROM} WHERE a.id = :attempt AND a.state = 'kicked_off'"
            " AND j.state <> 'waiting'",
            {"attempt": attempt_id, "now_": self._now_text()},
        )
        return None if row is None else attempt_of(key, row)

    async def is_in_progress(self, attempt_id: str) -> bool:
        """Return whether the attempt has not ended, also while its execution waits for human input."""
        query = "SELECT 1 FROM attempts WHERE id = ? AND state IN ('intended', 'kicked_off')"
        return await self._value(query, (attempt_id,)) is not None

    async def row_of(self, job_key: int) -> dict[str, Any]:
        """Return the columns of a job's row."""
        text = await self._value("SELECT row FROM jobs WHERE id = ?", (job_key,))
        row: dict[str, Any] = decode_json(text) if text else {}
        return row

    async def unanswered(self, key: BatchKey) -> int:
        """Return the number of kickoffs that may have been sent and whose answer is not recorded."""
        # the condition names both states, so that SQLite uses the small index of open attempts
        return await self._count(
            "SELECT count(*) FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job"
            " WHERE a.state IN ('intended', 'kicked_off') AND a.state = 'intended' AND j.batch_id = ?",
            (key.id,),
        )

    async def kickoffs(self, key: BatchKey, *, before: str | None = None) -> int:
        """Return the number of kickoffs that the batch has used: every attempt that was not refused.

        Args:
            before: do not count those of the run with this id.
        """
        return await self._count(
            "SELECT count(*) FROM jobs AS j JOIN attempts AS a ON a.job = j.id"
            " WHERE j.batch_id = ? AND a.state <> 'rejected' AND a.run_id IS NOT ?",
            (key.id, before),
        )

    async def addresses(self, key: BatchKey) -> frozenset[tuple[str, str]]:
        """Return (crew, address) of the executions in progress whose address the ledger has recorded."""
        found = await self._rows(
            "SELECT DISTINCT c.crew, c.url FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job"
            " JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)"
            " WHERE a.state IN ('intended', 'kicked_off') AND j.batch_id = ?",
            (key.id,),
        )
        return frozenset((crew, url) for crew, url in found)

    async def answers_from(self, key: BatchKey, crew: str, address: str) -> int:
        """Return how many jobs of the crew have succeeded with an answer from that address."""
        parameters = {"batch": key.id, "crew": crew, "url": address}
        return await self._count(f"SELECT count(*) {_ANSWERS_FROM}", parameters)

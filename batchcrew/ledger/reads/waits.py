"""Waits for human input: the inbox of a batch, and what a run has to poll."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiosqlite

from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows
from batchcrew.ledger.json_text import encode_json
from batchcrew.ledger.reads.attempts import ATTEMPT_COLUMNS, ATTEMPT_FROM, attempt_of
from batchcrew.ledger.reads.base import Reads
from batchcrew.model.execution import Question
from batchcrew.model.waits import AnswerState, Decision, Wait, WaitLine

PAGE_WAITS = 50
_WAIT = "w.id, w.task_id, w.task, w.output, w.since, w.ended_at, w.decision, w.feedback, w.answer, w.note"
_FROM = f"{ATTEMPT_FROM} JOIN waits AS w ON w.attempt_id = a.id"
_LINES = """
SELECT j.position, j.id, j.job_id, j.crew, w.id, w.since, w.task_id, w.task, w.output, w.note, a.kickoff_id
FROM jobs AS j CROSS JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
CROSS JOIN waits AS w ON w.attempt_id = a.id AND w.ended_at IS NULL
WHERE j.batch_id = :batch AND j.present IN (0, 1) AND j.state = 'waiting' AND (j.position, j.id) > (:position, :job)
ORDER BY j.position, j.id LIMIT :limit
"""
# the jobs of the state come from the index of jobs by state
_WAITING = """
FROM jobs AS j CROSS JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
CROSS JOIN waits AS w ON w.attempt_id = a.id AND w.ended_at IS NULL
LEFT JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)
WHERE j.batch_id = :batch AND j.present IN (0, 1) AND j.state = 'waiting'
"""


async def first_waiting(connection: aiosqlite.Connection, batch_id: int, limit: int) -> tuple[WaitLine, ...]:
    """Return the first waiting jobs, in the file's order."""
    found = await rows(connection, _LINES, {"batch": batch_id, "position": -1, "job": -1, "limit": limit})
    return tuple(_line(row) for row in found)


async def waiting_line(connection: aiosqlite.Connection, batch_id: int, job_id: str) -> WaitLine | None:
    """Return what a job waits for; None if it does not wait."""
    query = _LINES.replace("ORDER BY", "AND j.job_id = :name ORDER BY")
    found = await rows(connection, query, {"batch": batch_id, "position": -1, "job": -1, "limit": 1, "name": job_id})
    return _line(found[0]) if found else None


def _line(row: Sequence[Any]) -> WaitLine:
    return WaitLine(
        job_id=row[2],
        crew=row[3],
        wait_id=row[4],
        since=row[5],
        task_id=row[6],
        task=row[7],
        output=row[8],
        note=row[9],
        kickoff_id=row[10],
    )


class WaitReads(Reads):
    """Read the waits of a batch."""

    async def inbox(self, key: BatchKey) -> AsyncIterator[WaitLine]:
        """Yield the waiting jobs of a batch, in the file's order; memory does not grow with their number."""
        position, job = -1, -1
        while True:
            parameters = {"batch": key.id, "position": position, "job": job, "limit": PAGE_WAITS}
            page = await self._rows(_LINES, parameters)
            for row in page:
                yield _line(row)
            if len(page) < PAGE_WAITS:
                return
            position, job = page[-1][:2]

    async def waiting_now(self, key: BatchKey) -> int:
        """Return how many jobs wait for human input, including those that are no longer in the file."""
        return await self._count(
            "SELECT count(*) FROM jobs WHERE batch_id = ? AND present IN (0, 1) AND state = 'waiting'", (key.id,)
        )

    async def answered_now(self, key: BatchKey) -> int:
        """Return how many questions were answered whose execution no run watches yet."""
        return await self._count(
            "SELECT count(*) FROM waits AS w INDEXED BY waits_answered CROSS JOIN attempts AS a ON a.id = w.attempt_id"
            " CROSS JOIN jobs AS j ON j.id = a.job"
            " WHERE w.ended_at IS NOT NULL AND w.resumed = 0 AND j.batch_id = ?",
            (key.id,),
        )

    async def due_waits(self, key: BatchKey, now: str) -> list[Wait]:
        """Return the waiting executions that are to be polled by `now`, the first few."""
        query = (
            f"SELECT {ATTEMPT_COLUMNS}, {_WAIT} {_WAITING} AND w.next_poll <= :now ORDER BY w.next_poll LIMIT :limit"
        )
        return await self._waits(key, query, {"batch": key.id, "now": now, "limit": PAGE_WAITS})

    async def next_wait_poll(self, key: BatchKey) -> str | None:
        """Return when the next waiting execution is to be polled: UTC text, None if none waits."""
        when: str | None = await self._value(f"SELECT min(w.next_poll) {_WAITING}", {"batch": key.id})
        return when

    async def waits_by_id(self, key: BatchKey, wait_ids: Sequence[str]) -> Mapping[str, Wait]:
        """Return the waits of the batch that have these ids, open or not."""
        query = (
            f"SELECT {ATTEMPT_COLUMNS}, {_WAIT} {_FROM} WHERE w.id IN (SELECT value FROM json_each(:ids))"
            " AND j.batch_id = :batch"
        )
        found = await self._waits(key, query, {"ids": encode_json(list(wait_ids)), "batch": key.id})
        return {wait.wait_id: wait for wait in found}

    async def wait_of_job(self, key: BatchKey, job_id: str) -> Wait | None:
        """Return the open wait of a job; None if it does not wait."""
        query = f"SELECT {ATTEMPT_COLUMNS}, {_WAIT} {_WAITING} AND j.job_id = :job"
        found = await self._waits(key, query, {"batch": key.id, "job": job_id})
        return found[0] if found else None

    async def unsettled_waits(self, key: BatchKey) -> list[Wait]:
        """Return the waits whose decision may have been sent, and whose answer is not recorded."""
        query = f"SELECT {ATTEMPT_COLUMNS}, {_WAIT} {_FROM} WHERE w.answer = 'intended' AND j.batch_id = :batch"
        return await self._waits(key, query, {"batch": key.id})

    async def held_slots(self, key: BatchKey) -> list[tuple[str, str]]:
        """Return (attempt, crew) of each waiting execution."""
        found = await self._rows(f"SELECT a.id, coalesce(a.sent_crew, j.crew) {_WAITING}", {"batch": key.id})
        return [(attempt, crew) for attempt, crew in found]

    async def _waits(self, key: BatchKey, query: str, parameters: Mapping[str, Any]) -> list[Wait]:
        now = self._now_text()
        return [_wait(key, row) for row in await self._rows(query, {**parameters, "now_": now})]


def _wait(key: BatchKey, row: Sequence[Any]) -> Wait:
    number = len(_WAIT.split(","))
    attempt, (wait_id, task_id, task, output, since, ended_at, decision, feedback, answer, note) = (
        attempt_of(key, row[:-number]),
        row[-number:],
    )
    return Wait(
        wait_id=wait_id,
        attempt=attempt,
        question=Question(task_id=task_id, task=task, output=output),
        since=since,
        ended_at=ended_at,
        decision=None if decision is None else Decision(approve=decision == "approve", feedback=feedback or ""),
        answer=None if answer is None else AnswerState(answer),
        note=note,
    )

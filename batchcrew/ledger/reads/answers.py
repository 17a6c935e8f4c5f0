"""Stored answers that `batchcrew judge` judges: those of succeeded jobs, and rejected ones."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import aiosqlite

from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows
from batchcrew.ledger.json_text import decode_json, encode_json
from batchcrew.ledger.reads.base import Reads
from batchcrew.model.execution import Execution, ExecutionState, TaskResult
from batchcrew.model.job import JobState

PAGE_ANSWERS = 200
CHUNK_BYTES = 4 * 2**20
"""Answers that are read at once; a larger one is read alone, so memory does not grow with their number."""

PageKey: TypeAlias = tuple[int, int, int]
"""Position and row number of the last job of a page, and the number of its last attempt."""
_FIRST_PAGE: PageKey = (-1, -1, 0)
# an answer that belongs to the inputs that its job has now; one that was kept for other inputs does not
_OF_THESE_INPUTS = "(a.sent_inputs IS NULL OR same_inputs(a.sent_inputs, j.inputs))"
_PAGE = f"""
SELECT j.position, j.id, a.number, a.id, length(CAST(coalesce(a.output, '') AS BLOB))
    + length(CAST(coalesce(a.result_json, '') AS BLOB)) + (
        SELECT coalesce(sum(length(CAST(coalesce(t.output, '') AS BLOB))), 0) FROM task_results AS t
        WHERE t.attempt_id = a.id)
FROM jobs AS j CROSS JOIN attempts AS a ON a.job = j.id
WHERE j.batch_id = :batch AND (j.position, j.id) >= (:position, :job)
    AND ((j.position, j.id) > (:position, :job) OR a.number < :number)
    AND {_OF_THESE_INPUTS} AND j.state IN ('succeeded', 'failed') AND (
        j.state = 'succeeded' AND a.number = j.attempts AND a.state = 'succeeded'
        OR a.state = 'failed' AND a.answer_rejected IS NOT NULL)
ORDER BY j.position, j.id, a.number DESC LIMIT :page
"""
_ANSWERS = """
SELECT a.id, j.id, j.job_id, j.crew, j.state, a.number, a.output, a.result_json, j.inputs, j.row, a.answer_rejected
FROM attempts AS a JOIN jobs AS j ON j.id = a.job WHERE a.id IN (SELECT value FROM json_each(?))
ORDER BY j.position, j.id, a.number DESC
"""
_TASKS = """
SELECT attempt_id, task_id, output, agent, execution_time FROM task_results
WHERE attempt_id IN (SELECT value FROM json_each(?)) ORDER BY attempt_id, position
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """The answer of one attempt, and the job that it belongs to."""

    attempt_id: str
    job_key: int
    """The ledger's row number of the job."""
    job_id: str
    crew: str
    job_state: JobState
    number: int
    execution: Execution
    inputs: Mapping[str, Any]
    row: Mapping[str, Any]
    answer_rejected: str | None
    """Why a rule of `accept:` rejected it; None: it is accepted."""


class AnswerReads(Reads):
    """Read stored answers."""

    async def stored_answers(self, key: BatchKey) -> AsyncIterator[StoredAnswer]:
        """Yield the answers to judge in the file's order, the latest of a job first; jobs that left the file as well.

        Answers that were made from other inputs than the job has now are omitted.
        """
        after: PageKey | None = _FIRST_PAGE
        while after is not None:
            page, after = await self._query(partial(_page, batch_id=key.id, after=after))
            for ids in _chunks(page):
                for answer in await self._query(partial(_read, ids=ids)):
                    yield answer

    async def answers_of_other_inputs(self, key: BatchKey) -> tuple[int, int]:
        """Return the number of stale jobs, and of succeeded jobs whose answer was kept for other inputs."""
        row = await self._one(
            "SELECT (SELECT count(*) FROM jobs WHERE batch_id = :batch AND present = 1 AND state = 'stale'),"
            " (SELECT count(*) FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job AND a.number = j.attempts"
            " WHERE a.sent_inputs IS NOT NULL AND a.state = 'succeeded' AND j.batch_id = :batch AND j.present = 1"
            f" AND j.state = 'succeeded' AND NOT {_OF_THESE_INPUTS})",
            {"batch": key.id},
        )
        assert row is not None  # noqa: S101 - counts have one row
        return int(row[0]), int(row[1])


async def _page(
    connection: aiosqlite.Connection, batch_id: int, after: PageKey
) -> tuple[list[tuple[str, int]], PageKey | None]:
    """Return the next attempts with the size of their answers, and the key of the page after them."""
    parameters = {"batch": batch_id, "position": after[0], "job": after[1], "number": after[2], "page": PAGE_ANSWERS}
    found = await rows(connection, _PAGE, parameters)
    page = [(row[3], row[4]) for row in found]
    return page, (found[-1][0], found[-1][1], found[-1][2]) if len(found) == PAGE_ANSWERS else None


def _chunks(page: Sequence[tuple[str, int]]) -> list[list[str]]:
    """Split a page so that the answers of a chunk are small enough to be read at once."""
    chunks: list[list[str]] = []
    size = CHUNK_BYTES + 1
    for attempt_id, answer_bytes in page:
        if size + answer_bytes > CHUNK_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(attempt_id)
        size += answer_bytes
    return chunks


async def _read(connection: aiosqlite.Connection, ids: Sequence[str]) -> list[StoredAnswer]:
    wanted = (encode_json(list(ids)),)
    tasks: dict[str, list[TaskResult]] = {}
    for row in await rows(connection, _TASKS, wanted):
        task = TaskResult(task_id=row[1], output=row[2], agent=row[3], execution_time=row[4])
        tasks.setdefault(row[0], []).append(task)
    return [
        StoredAnswer(
            attempt_id=row[0],
            job_key=row[1],
            job_id=row[2],
            crew=row[3],
            job_state=JobState(row[4]),
            number=row[5],
            execution=Execution(
                state=ExecutionState.SUCCEEDED,
                word="",
                output=row[6],
                result_json=decode_json(row[7]) if row[7] else None,
                tasks=tuple(tasks.get(row[0], ())),
            ),
            inputs=decode_json(row[8]),
            row=decode_json(row[9]),
            answer_rejected=row[10],
        )
        for row in await rows(connection, _ANSWERS, wanted)
    ]

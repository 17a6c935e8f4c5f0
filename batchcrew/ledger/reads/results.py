"""Jobs with their answers: all of a batch for an export, or one with all its attempts."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import aiosqlite

from batchcrew.base.errors import NotInLedger
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import one, rows
from batchcrew.ledger.json_text import decode_json, encode_json
from batchcrew.ledger.reads.attempt_money import FIELDS, AttemptMoney, JobMoney, money_of_jobs
from batchcrew.ledger.reads.base import Reads
from batchcrew.ledger.reads.jobs import SECONDS, duplicate_keys
from batchcrew.ledger.reads.similar import did_you_mean_job
from batchcrew.ledger.reads.waits import waiting_line
from batchcrew.ledger.retries import require_jobs
from batchcrew.model.artifacts import FIELD, artifacts_in
from batchcrew.model.attempt import AttemptState
from batchcrew.model.execution import TaskResult
from batchcrew.model.job import JobState
from batchcrew.model.result_selection import ResultSelection, RowPer
from batchcrew.model.views import AttemptDetail, JobDetail, ResultRow

PageKey: TypeAlias = tuple[int, int]
"""Position and row number of the last job of a page."""
Page: TypeAlias = tuple[list[tuple[int, ResultRow]], PageKey | None]
FIRST_PAGE: PageKey = (-1, -1)
PAGE_ROWS = 200
_PAGE = f"""
SELECT j.position, j.id, j.job_id, j.crew, j.row, j.state, a.output, a.result_json,
       coalesce(j.reason, a.reason), j.charged, a.kickoff_id, a.kicked_off_at, a.ended_at,
       coalesce(a.execution_time, round({SECONDS}, 3)),
       CASE WHEN a.state = 'succeeded' THEN coalesce(a.sent_inputs, j.inputs) END, j.row_quoting, a.id, {{artifacts}}
FROM jobs AS j LEFT JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
WHERE j.batch_id = :batch AND j.present = :present AND (j.position, j.id) > (:position, :id) {{conditions}}
ORDER BY j.position, j.id LIMIT {PAGE_ROWS}
"""
_ARTIFACTS = f"""CASE WHEN instr(a.answer, '"{FIELD}"') > 0 THEN
    CASE WHEN json_valid(a.answer) THEN json_extract(a.answer, '$.{FIELD}') END END"""
_TASKS = """
SELECT attempt_id, task_id, output, agent, execution_time FROM task_results
WHERE attempt_id IN (SELECT value FROM json_each(?)) ORDER BY attempt_id, position
"""
_ATTEMPTS = """
SELECT job, number, id, state, kickoff_id, intended_at, kicked_off_at, ended_at, reason, execution_time, output,
    result_json, token_usage, answer, progress, sent_inputs, first_answer FROM attempts
WHERE job IN (SELECT value FROM json_each(?)) ORDER BY job, number
"""
_EVERYTHING = ResultSelection()


class ResultReads(Reads):
    """Read jobs with their answers."""

    async def results(
        self, key: BatchKey, *, with_removed: bool = False, selection: ResultSelection = _EVERYTHING
    ) -> AsyncIterator[ResultRow]:
        """Yield the selected jobs in the file's order, reading a page at a time.

        Args:
            with_removed: also yield the jobs that are no longer in the file; the same as in the selection.
            selection: which jobs, and whether each of their tasks or attempts is a row.

        Raises:
            NotInLedger: the batch does not have one of the jobs that the selection names.
        """
        if selection.job_ids:
            await self._query(
                lambda connection: require_jobs(connection, key, selection.job_ids, "nothing was written")
            )
        duplicates = await self._query(lambda connection: duplicate_keys(connection, key.id))
        for in_file in (True, False) if with_removed or selection.with_removed else (True,):
            after: PageKey | None = FIRST_PAGE
            while after is not None:
                next_page = partial(_results_page, batch_id=key.id, in_file=in_file, after=after, selection=selection)
                page, after = await self._query(next_page)
                for job_key, row in page:
                    yield replace(row, possible_duplicate=True) if job_key in duplicates else row

    async def number_of_results(self, key: BatchKey, selection: ResultSelection) -> int:
        """Return the number of jobs that are selected."""
        conditions, parameters = _conditions(selection)
        return await self._count(
            "SELECT count(*) FROM jobs AS j LEFT JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts"
            f" WHERE j.batch_id = :batch AND j.present >= :present {conditions}",
            {**parameters, "batch": key.id, "present": int(not selection.with_removed)},
        )

    async def job(self, key: BatchKey, job_id: str) -> JobDetail:
        """Return one job with its attempts.

        Raises:
            NotInLedger: the batch has no such job.
        """
        detail = await self._query(lambda connection: _job_detail(connection, key, job_id))
        if detail is None:
            hint = await self._query(lambda connection: did_you_mean_job(connection, key.id, job_id))
            raise NotInLedger(f"job {job_id!r} not found in batch {key.batch!r}{hint}")
        return detail


async def _results_page(
    connection: aiosqlite.Connection, batch_id: int, *, in_file: bool, after: PageKey, selection: ResultSelection
) -> Page:
    """Return the next jobs in the file's order, each with its row number and latest attempt, and the next page's key.

    Args:
        in_file: whether to return the jobs that are in the file, or those that were removed from it.
        after: the key that came with the previous page; `FIRST_PAGE` at the beginning.
        selection: a job has as many rows as it has tasks or attempts, if these are rows.
    """
    conditions, parameters = _conditions(selection)
    place = {"batch": batch_id, "present": int(in_file), "position": after[0], "id": after[1]}
    query = _PAGE.format(conditions=conditions, artifacts=_ARTIFACTS if selection.artifacts else "NULL")
    page = await rows(connection, query, {**parameters, **place})
    next_key = (page[-1][0], page[-1][1]) if len(page) == PAGE_ROWS else None
    money = await money_of_jobs(connection, [row[1] for row in page])
    results = [(row[1], _result(row, money.get(row[1], JobMoney()))) for row in page]
    match selection.per:
        case RowPer.TASK:
            tasks: dict[str, list[TaskResult]] = {}
            for row in await rows(connection, _TASKS, (encode_json([row[16] for row in page]),)):
                found = TaskResult(task_id=row[1], output=row[2], agent=row[3], execution_time=row[4])
                tasks.setdefault(row[0], []).append(found)
            results = [
                (job, replace(result, task=task))
                for row, (job, result) in zip(page, results, strict=True)
                for task in tasks.get(row[16], [None])
            ]
        case RowPer.ATTEMPT:
            attempts: dict[int, list[AttemptDetail]] = {}
            of_attempt = {one.attempt_id: one for job in money.values() for one in job.attempts}
            for row in await rows(connection, _ATTEMPTS, (encode_json([row[1] for row in page]),)):
                attempts.setdefault(row[0], []).append(_attempt(row[1:], (), of_attempt.get(row[2])))
            results = [
                (job, replace(result, attempt=attempt))
                for job, result in results
                for attempt in attempts.get(job, [None])
            ]
        case RowPer.JOB:
            pass
    return results, next_key


def _conditions(selection: ResultSelection) -> tuple[str, dict[str, Any]]:
    """Return the conditions of a selection in SQL, and their parameters."""
    conditions, parameters = "", dict[str, Any]()
    if selection.states:
        conditions += " AND j.state IN (SELECT value FROM json_each(:states))"
        parameters["states"] = encode_json(list(selection.states))
    if selection.job_ids:
        conditions += " AND j.job_id IN (SELECT value FROM json_each(:jobs))"
        parameters["jobs"] = encode_json(list(selection.job_ids))
    if selection.fingerprint is not None:
        conditions += " AND j.reason_fingerprint = :fingerprint"
        parameters["fingerprint"] = selection.fingerprint
    if selection.reason is not None:
        conditions += " AND j.reason IS NOT NULL AND matches_reason(j.reason, :reason)"
        parameters["reason"] = selection.reason
    if selection.since is not None:
        conditions += " AND a.ended_at >= :since"
        parameters["since"] = selection.since
    return conditions, parameters


def _result(row: Sequence[Any], money: JobMoney) -> ResultRow:
    state = JobState(row[5])
    stale = state is JobState.STALE  # its row is that of the file now, but its answer was made from other inputs
    output, result_json, inputs = row[6], row[7], row[14]
    return ResultRow(
        job_id=row[2],
        crew=row[3],
        row=decode_json(row[4]),
        state=state,
        output=None if stale else output,
        result_json=decode_json(result_json) if result_json and not stale else None,
        reason=None if stale or state is JobState.SUCCEEDED else row[8],
        attempts_used=row[9],
        kickoff_id=row[10],
        kicked_off_at=row[11],
        ended_at=row[12],
        execution_time=row[13],
        **money.columns(),
        stale_output=(result_json if output is None else output) if stale else None,
        stale_inputs=decode_json(inputs) if inputs and stale else None,
        quoting=row[15],
        artifacts=_paths(row[17]),
    )


def _paths(extracted: Any) -> tuple[str, ...]:
    """Return the paths in a list that SQLite has extracted; it returns a list as JSON text."""
    return artifacts_in(f'{{"{FIELD}":{extracted}}}') if isinstance(extracted, str) else ()


async def _job_detail(connection: aiosqlite.Connection, key: BatchKey, job_id: str) -> JobDetail | None:
    job = await one(
        connection,
        "SELECT id, job_id, crew, state, inputs, meta, row, source, present FROM jobs"
        " WHERE batch_id = ? AND job_id = ?",
        (key.id, job_id),
    )
    if job is None:
        return None
    attempts = await rows(
        connection,
        "SELECT number, id, state, kickoff_id, intended_at, kicked_off_at, ended_at, reason, execution_time, output,"
        " result_json, token_usage, answer, progress, sent_inputs, first_answer FROM attempts"
        " WHERE job = ? ORDER BY number",
        (job[0],),
    )
    money = (await money_of_jobs(connection, [job[0]])).get(job[0], JobMoney())
    its = {each.attempt_id: each for each in money.attempts}
    details = [_attempt(row, await _tasks(connection, row[1]), its.get(row[1])) for row in attempts]
    return JobDetail(
        batch=key.batch,
        job_id=job[1],
        crew=job[2],
        state=JobState(job[3]),
        inputs=decode_json(job[4]),
        meta=decode_json(job[5]),
        row=decode_json(job[6]),
        source=job[7],
        in_file=bool(job[8]),
        attempts=tuple(details),
        cost=money.text,
        waiting=await waiting_line(connection, key.id, job_id) if job[3] == JobState.WAITING else None,
    )


async def _tasks(connection: aiosqlite.Connection, attempt_id: str) -> tuple[TaskResult, ...]:
    found = await rows(
        connection,
        "SELECT task_id, output, agent, execution_time FROM task_results WHERE attempt_id = ? ORDER BY position",
        (attempt_id,),
    )
    return tuple(TaskResult(task_id=row[0], output=row[1], agent=row[2], execution_time=row[3]) for row in found)


def _attempt(row: Sequence[Any], tasks: tuple[TaskResult, ...], money: AttemptMoney | None) -> AttemptDetail:
    used = {} if money is None else {name: getattr(money.tokens, field) for name, field in FIELDS}
    progress = decode_json(row[13]) if row[13] and row[2] == AttemptState.KICKED_OFF else {}
    return AttemptDetail(
        number=row[0],
        attempt_id=row[1],
        state=AttemptState(row[2]),
        kickoff_id=row[3],
        intended_at=row[4],
        kicked_off_at=row[5],
        ended_at=row[6],
        reason=row[7],
        execution_time=row[8],
        output=row[9],
        result_json=decode_json(row[10]) if row[10] else None,
        token_usage=decode_json(row[11]) if row[11] else None,
        **used,
        cost=None if money is None else money.cost,
        currency=None if money is None else money.currency,
        answer=row[12],
        status_word=progress.get("status_word"),
        unclear_answer=progress.get("unclear_answer"),
        sent_inputs=decode_json(row[14]) if row[14] else None,
        first_answer=row[15],
        tasks=tasks,
        artifacts=artifacts_in(row[12]),
    )

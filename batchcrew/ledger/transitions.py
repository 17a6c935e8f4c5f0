"""Change a batch that runs: one function for each transition of the state machines.

job:     pending -> open -> succeeded | failed | held | cancelled | stale  (retry: ended -> pending)
attempt: intended -> kicked_off -> succeeded | failed | timed_out | lost | in_doubt | cancelled
                  |-> succeeded | failed (the kickoff was answered with the result)
                  \\-> rejected
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import aiosqlite

from batchcrew.base.reasons import reason_fingerprint
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import one, rows
from batchcrew.ledger.json_text import decode_json, encode_json
from batchcrew.ledger.spill import SpilledKickoff
from batchcrew.ledger.writer import Change, Statement
from batchcrew.model.attempt import Attempt, AttemptState, Outcome
from batchcrew.model.execution import Execution
from batchcrew.model.job import JobState

# a job may be reset while one of its executions is in progress; then the answer of that execution is not the job's
_NOTHING_RUNS = (
    "NOT EXISTS (SELECT 1 FROM attempts AS a WHERE a.job = jobs.id AND a.state IN ('intended', 'kicked_off'))"
)
NOT_CANCELLED = "NOT EXISTS (SELECT 1 FROM cancel_requests AS c WHERE c.job = jobs.id)"
"""No operator has cancelled the job; it may become pending before a run carries that out."""
_PENDING = (
    f"FROM jobs WHERE batch_id = :batch AND present = 1 AND state = 'pending' AND crew = :crew AND {NOT_CANCELLED}"
)
_DUE_RETRIES = f"{_PENDING} AND not_before > '' AND not_before <= :now AND {_NOTHING_RUNS}"
# pending -> open, and the attempt's intent: durable before the POST leaves
_NEXT_JOBS = f"""
SELECT id, job_id, inputs, meta, attempts + 1, charged + 1, not_before FROM (
    SELECT * FROM (SELECT * {_DUE_RETRIES} ORDER BY not_before, position LIMIT :retries)
    UNION ALL
    SELECT * FROM (SELECT * {_PENDING} AND not_before = '' AND {_NOTHING_RUNS} ORDER BY position LIMIT :limit)
    UNION ALL
    SELECT * FROM (SELECT * {_DUE_RETRIES} ORDER BY not_before, position LIMIT :limit OFFSET :retries)
) LIMIT :limit
"""
_MORE_RETRIES = f"SELECT 1 {_DUE_RETRIES} LIMIT 1 OFFSET :retries"
_OPEN_JOB = (
    "UPDATE jobs SET state = 'open', attempts = ?, charged = ?, before_retry = NULL, updated_at = ?"
    " WHERE id = ? AND state = 'pending'"
)
_INTEND = "INSERT INTO attempts (id, job, number, run_id, state, intended_at) VALUES (?, ?, ?, ?, 'intended', ?)"

# intended -> kicked_off: durable before anything is done with the kickoff_id
_KICK_OFF = Statement(
    "UPDATE attempts SET state = 'kicked_off', kickoff_id = ?, kicked_off_at = ? WHERE id = ? AND state = 'intended'",
    precious=True,
)

# (intended | kicked_off) -> ended, in one transaction with the job: open -> ended | pending
_END_ATTEMPT = Statement(
    "UPDATE attempts SET state = ?, ended_at = ?, reason = ?, reason_fingerprint = ?, output = ?, result_json = ?,"
    " token_usage = ?, execution_time = ?, answer = ?, answer_rejected = ?"
    " WHERE id = ? AND state IN ('intended', 'kicked_off')"
)
_END_JOB = Statement(
    "UPDATE jobs SET state = ?, reason = ?, reason_fingerprint = ?, not_before = ?, charged = charged - ?,"
    " updated_at = ? WHERE id = ? AND state = 'open'"
)
# of a kickoff that was answered with the result; statements of a group run in any order, so that it names no state
_ANSWERED_AT_ONCE = Statement("UPDATE attempts SET kickoff_id = ?, kicked_off_at = ? WHERE id = ?")
_SAVE_STREAKS = Statement("UPDATE batches SET failure_streak = ? WHERE batch = ?")
_CANCELLED = Statement("DELETE FROM cancel_requests WHERE job = ?", strict=False)
_ADD_TASK = Statement("INSERT INTO task_results VALUES (?, ?, ?, ?, ?, ?)")
# the only copy of a paid result is not given up with its group
_PRECIOUS = {
    statement: Statement(statement.sql, strict=statement.strict, precious=True)
    for statement in (_END_ATTEMPT, _END_JOB, _ANSWERED_AT_ONCE, _ADD_TASK)
}

_KICKOFFS_OF_URL = """
SELECT (
    SELECT count(*) FROM run_crews AS c
    JOIN attempts AS a ON a.id >= c.run_id || '-' AND a.id < c.run_id || '.' -- ids begin with their run's
    JOIN jobs AS j ON j.id = a.job AND coalesce(a.sent_crew, j.crew) = c.crew
    WHERE c.url = :url AND a.intended_at >= :since AND a.state <> 'rejected'
) + (SELECT coalesce(sum(kickoffs), 0) FROM deleted_kickoffs WHERE url = :url AND day >= substr(:since, 1, 10))
"""


@dataclass(frozen=True, slots=True)
class MonthBudget:
    """The most kickoffs of the crew at `url` since `since` (UTC text), over all batches of the ledger."""

    url: str
    since: str
    most: int


async def budget_left(connection: aiosqlite.Connection, budget: MonthBudget) -> int:
    """Return the kickoffs that are left for the month."""
    row = await one(connection, _KICKOFFS_OF_URL, {"url": budget.url, "since": budget.since})
    return max(0, budget.most - (row[0] if row else 0))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Selects the jobs to open: up to `limit` of one crew.

    Args:
        retries: most due retries that come before the crew's new jobs; further ones only fill what these leave free.
    """

    crew: str
    limit: int
    retries: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The jobs that were opened, and why there are no others."""

    attempts: list[Attempt]
    spent: bool = False
    """There are none because the month's budget is spent."""
    retries: int = 0
    """Number of these jobs that are retries."""
    retries_held_back: bool = False
    """Due retries wait although new jobs were opened."""


async def claim(
    connection: aiosqlite.Connection,
    batch: BatchKey,
    run_id: str,
    wanted: Wanted,
    *,
    now: str,
    new_id: Callable[[], str],
) -> Claim:
    """Open the next pending jobs of one crew and write their intents; due retries come first (see `Wanted`)."""
    parameters = {"batch": batch.id, "now": now, **asdict(wanted)}
    found = await rows(connection, _NEXT_JOBS, parameters)
    attempts = [
        Attempt(
            attempt_id=new_id(),
            batch=batch.batch,
            job_key=key,
            job_id=job_id,
            crew=wanted.crew,
            number=number,
            attempts_used=attempts_used,
            inputs=decode_json(inputs),
            meta=decode_json(meta),
            intended_at=now,
        )
        for key, job_id, inputs, meta, number, attempts_used, _ in found
    ]
    retries = sum(not_before > "" for *_, not_before in found)
    held_back = wanted.retries <= retries < len(found) == wanted.limit
    if held_back:
        held_back = await one(connection, _MORE_RETRIES, parameters) is not None
    if attempts:
        await connection.executemany(_OPEN_JOB, [(a.number, a.attempts_used, now, a.job_key) for a in attempts])
        await connection.executemany(_INTEND, [(a.attempt_id, a.job_key, a.number, run_id, now) for a in attempts])
    return Claim(attempts, retries=retries, retries_held_back=held_back)


def kick_off(attempt: Attempt, kickoff_id: str, now: str) -> tuple[Change, ...]:
    """Return the change that records that the crew accepted the attempt."""
    return ((_KICK_OFF, [(kickoff_id, now, attempt.attempt_id)]),)


def end(
    attempt: Attempt, outcome: Outcome, *, now: str, not_before: str, failure_streaks: str | None = None
) -> tuple[Change, ...]:
    """Return the changes that end the attempt.

    Its results, its job's new state and the batch's failures in a row are one transaction. Where the kickoff was
    answered with the result, the failures in a row are not among them (see `save_streaks`).
    """
    execution = outcome.execution
    unpaid = outcome.attempt_state is AttemptState.REJECTED and not outcome.uses_attempt
    refunded = 1 if unpaid or outcome.interrupted else 0
    if attempt.outdated and outcome.job_state is JobState.PENDING:
        refunded = attempt.attempts_used  # its attempts with other inputs do not count
    reason, fingerprint = plain_text(outcome.reason), reason_fingerprint(outcome.reason)
    job_reason = (None, None) if outcome.job_state in {JobState.SUCCEEDED, JobState.STALE} else (reason, fingerprint)
    changes: list[Change] = [
        (
            _END_ATTEMPT,
            [
                (
                    outcome.attempt_state.value,
                    now,
                    reason,
                    fingerprint,
                    *results_of(execution),
                    plain_text(outcome.answer_rejected),
                    attempt.attempt_id,
                )
            ],
        ),
    ]
    if not attempt.superseded:
        changes.append((_END_JOB, [(outcome.job_state.value, *job_reason, not_before, refunded, now, attempt.job_key)]))
    if outcome.job_state is JobState.CANCELLED:
        changes.append((_CANCELLED, [(attempt.job_key,)]))
    if failure_streaks is not None and not attempt.answered_at_once:
        changes.append(save_streaks(attempt, failure_streaks))
    if execution is not None and execution.tasks:
        changes.append((_ADD_TASK, tasks_of(attempt.attempt_id, execution)))
    if attempt.answered_at_once:
        changes.append((_ANSWERED_AT_ONCE, [(attempt.kickoff_id, attempt.kicked_off_at, attempt.attempt_id)]))
        return tuple((_PRECIOUS[statement], rows) for statement, rows in changes)
    return tuple(changes)


def save_streaks(attempt: Attempt, failure_streaks: str) -> Change:
    """Return the change that records the failures in a row of the attempt's batch, as JSON."""
    return (_SAVE_STREAKS, [(failure_streaks, attempt.batch)])


def tasks_of(attempt_id: str, execution: Execution) -> list[Sequence[Any]]:
    """Return the rows of an execution's tasks."""
    return [
        (
            attempt_id,
            position,
            plain_text(task.task_id),
            plain_text(task.agent),
            plain_text(task.output),
            task.execution_time,
        )
        for position, task in enumerate(execution.tasks)
    ]


def results_of(execution: Execution | None) -> tuple[Any, ...]:
    """Return the columns `output`, `result_json`, `token_usage`, `execution_time` and `answer`."""
    if execution is None:
        return (None, None, None, None, None)
    return (
        plain_text(execution.output),
        None if execution.result_json is None else encode_json(execution.result_json),
        None if execution.token_usage is None else encode_json(execution.token_usage),
        execution.execution_time,
        plain_text(execution.answer),
    )


def plain_text(text: str | None) -> str | None:
    """Return the text as SQLite can store it: a lone surrogate becomes `?`."""
    if text is None:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


async def recover(connection: aiosqlite.Connection, kickoff: SpilledKickoff) -> bool:
    """Record a kickoff_id that an earlier run could only spill: (intended | in_doubt) -> kicked_off.

    Return False if the ledger has it already, or if the job has a later attempt.
    """
    row = await one(
        connection,
        "SELECT a.job, a.state FROM attempts AS a JOIN jobs AS j ON j.id = a.job AND j.attempts = a.number"
        " WHERE a.id = ? AND a.state IN ('intended', 'in_doubt') AND j.state IN ('open', 'held', 'pending', 'failed')",
        (kickoff.attempt,),
    )
    if row is None:
        return False
    await connection.execute_fetchall(
        "UPDATE attempts SET state = 'kicked_off', kickoff_id = ?, kicked_off_at = ?, ended_at = NULL, reason = NULL,"
        " reason_fingerprint = NULL WHERE id = ?",
        (kickoff.kickoff_id, kickoff.at, kickoff.attempt),
    )
    await connection.execute_fetchall(
        "UPDATE jobs SET state = 'open', not_before = '', reason = NULL, reason_fingerprint = NULL,"
        " before_retry = NULL WHERE id = ?",
        (row[0],),
    )
    return True


async def make_latest(connection: aiosqlite.Connection, job_key: int, number: int) -> None:
    """Swap the numbers of an attempt and of its job's latest one: results are those of the latest attempt."""
    row = await one(connection, "SELECT attempts FROM jobs WHERE id = ?", (job_key,))
    latest = row[0] if row else number
    if latest != number:
        for old, new in ((latest, -1), (number, latest), (-1, number)):
            await connection.execute_fetchall(
                "UPDATE attempts SET number = ? WHERE job = ? AND number = ?", (new, job_key, old)
            )

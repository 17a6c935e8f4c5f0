"""Record that executions wait for human input, and the state of each decision.

job:  open -> waiting -> open
wait: open -> ended, with `answer` intended -> delivered | refused | in_doubt where batchcrew sent the decision

The attempt stays `kicked_off`. While its job waits no run watches it as one in progress. A decision is `intended` and
durable before its request leaves. `resumed = 0` marks an answered wait whose execution no run watches yet.
"""

import hashlib

import aiosqlite

from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import one, rows
from batchcrew.ledger.transitions import plain_text
from batchcrew.model.execution import Question
from batchcrew.model.waits import Decision

_JOB_OF = "(SELECT job FROM attempts WHERE id = ?)"
_INSERT = (
    "INSERT INTO waits (id, attempt_id, number, task_id, task, output, since, next_poll, note)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def wait_id(attempt_id: str, number: int) -> str:
    """Return the id of an attempt's wait. It begins with a letter, so that no spreadsheet takes it for a number."""
    return "w" + hashlib.sha256(f"{attempt_id}/{number}".encode()).hexdigest()[:12]


async def begin(
    connection: aiosqlite.Connection,
    attempt_id: str,
    question: Question,
    *,
    requested_at: str,
    now: str,
    next_poll: str,
) -> bool:
    """Record that an execution waits: job open -> waiting. A different question than the open one is another wait.

    Args:
        requested_at: when the status was requested, UTC text.
        next_poll: when the execution is polled again.

    Returns:
        False if the question was answered after the status was requested: the execution may not wait any more.
    """
    answered = "SELECT 1 FROM waits WHERE attempt_id = ? AND ended_at >= ?"
    if await one(connection, answered, (attempt_id, requested_at)):
        return False
    asked = question.task_id, plain_text(question.task), plain_text(question.output)
    row = await one(
        connection,
        "SELECT id, task_id, output FROM waits WHERE attempt_id = ? AND ended_at IS NULL",
        (attempt_id,),
    )
    if row is not None and (row[1], row[2]) == (asked[0], asked[2]):
        await connection.execute_fetchall("UPDATE waits SET next_poll = ? WHERE id = ?", (next_poll, row[0]))
    else:
        await end(connection, attempt_id, now)
        await _add(connection, attempt_id, asked, now=now, next_poll=next_poll)
    # the webhook that reported it has been used; one about a later question must be noticed
    await connection.execute_fetchall("UPDATE webhook_inbox SET paused = 0 WHERE attempt_id = ?", (attempt_id,))
    await connection.execute_fetchall(
        f"UPDATE jobs SET state = 'waiting', updated_at = ? WHERE id = {_JOB_OF} AND state = 'open'", (now, attempt_id)
    )
    return True


async def _add(
    connection: aiosqlite.Connection,
    attempt_id: str,
    asked: tuple[str, str | None, str | None],
    *,
    now: str,
    next_poll: str,
    note: str | None = None,
) -> None:
    row = await one(connection, "SELECT coalesce(max(number), 0) + 1 FROM waits WHERE attempt_id = ?", (attempt_id,))
    assert row is not None  # noqa: S101 - an aggregate has one row
    number = int(row[0])
    await connection.execute_fetchall(
        _INSERT,
        (wait_id(attempt_id, number), attempt_id, number, *asked, now, next_poll, note),
    )


async def end(connection: aiosqlite.Connection, attempt_id: str, now: str) -> None:
    """Record that an execution does not wait any more, and that this run watches it: job waiting -> open."""
    await connection.execute_fetchall(
        "UPDATE waits SET ended_at = ?, resumed = 1 WHERE attempt_id = ? AND ended_at IS NULL", (now, attempt_id)
    )
    await connection.execute_fetchall(
        f"UPDATE jobs SET state = 'open', updated_at = ? WHERE id = {_JOB_OF} AND state = 'waiting'", (now, attempt_id)
    )


async def take_up(connection: aiosqlite.Connection, key: BatchKey) -> list[str]:
    """Record that this run watches the executions whose questions were answered; return their attempts' ids."""
    found = await rows(
        connection,
        "SELECT w.attempt_id FROM waits AS w INDEXED BY waits_answered CROSS JOIN attempts AS a ON a.id = w.attempt_id"
        " CROSS JOIN jobs AS j ON j.id = a.job"
        " WHERE w.ended_at IS NOT NULL AND w.resumed = 0 AND j.batch_id = ?",
        (key.id,),
    )
    attempts = [row[0] for row in found]
    await connection.executemany(
        "UPDATE waits SET resumed = 1 WHERE attempt_id = ? AND ended_at IS NOT NULL", [(each,) for each in attempts]
    )
    return attempts


async def intend(connection: aiosqlite.Connection, found: str, decision: Decision, now: str) -> bool:
    """Record a decision before it is sent. False: the wait has ended, or another decision was recorded."""
    cursor = await connection.execute(
        "UPDATE waits SET decision = ?, feedback = ?, decided_at = ?, answer = 'intended'"
        " WHERE id = ? AND ended_at IS NULL AND answer IS NULL",
        ("approve" if decision.approve else "reject", plain_text(decision.feedback), now, found),
    )
    return cursor.rowcount == 1


async def withdraw(connection: aiosqlite.Connection, found: str) -> None:
    """Record that a decision did not arrive: the question is open as before."""
    await connection.execute_fetchall(
        "UPDATE waits SET decision = NULL, feedback = NULL, decided_at = NULL, answer = NULL"
        " WHERE id = ? AND answer = 'intended'",
        (found,),
    )


async def settle(connection: aiosqlite.Connection, found: str, answer: str, now: str) -> None:
    """Record that a decision was `delivered`, or `refused` because nothing waits: job waiting -> open."""
    row = await one(connection, "SELECT attempt_id, ended_at FROM waits WHERE id = ?", (found,))
    if row is None:
        return
    await connection.execute_fetchall("UPDATE waits SET answer = ? WHERE id = ?", (answer, found))
    if row[1] is None:
        await connection.execute_fetchall("UPDATE waits SET ended_at = ? WHERE id = ?", (now, found))
        await connection.execute_fetchall(
            f"UPDATE jobs SET state = 'open', updated_at = ? WHERE id = {_JOB_OF} AND state = 'waiting'", (now, row[0])
        )


async def doubt(connection: aiosqlite.Connection, found: str, note: str, now: str) -> None:
    """Record that a rejection may have arrived, and repeat the question under another wait_id, so that you decide
    again."""
    row = await one(
        connection,
        "SELECT attempt_id, task_id, task, output, next_poll FROM waits WHERE id = ? AND ended_at IS NULL",
        (found,),
    )
    await connection.execute_fetchall(
        "UPDATE waits SET answer = 'in_doubt', ended_at = coalesce(ended_at, ?), resumed = 1 WHERE id = ?", (now, found)
    )
    if row is not None:
        attempt_id, task_id, task, output, next_poll = row
        await _add(connection, attempt_id, (task_id, task, output), now=now, next_poll=next_poll, note=note)


async def poll_now(connection: aiosqlite.Connection, key: BatchKey) -> None:
    """Make every waiting execution of the batch due."""
    await connection.execute_fetchall(
        "UPDATE waits SET next_poll = '' WHERE ended_at IS NULL AND attempt_id IN (SELECT a.id FROM jobs AS j"
        " JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts WHERE j.batch_id = ? AND j.state = 'waiting')",
        (key.id,),
    )


async def poll_later(connection: aiosqlite.Connection, attempt_id: str, next_poll: str) -> None:
    """Record when a waiting execution is polled again."""
    await connection.execute_fetchall(
        "UPDATE waits SET next_poll = ? WHERE attempt_id = ? AND ended_at IS NULL", (next_poll, attempt_id)
    )

"""Merge the staged and compared jobs into the batch, in one transaction: a job file is ingested completely or not."""

import aiosqlite

from batchcrew.ledger.comparing import STATE_OF_MOVED
from batchcrew.ledger.fetch import one
from batchcrew.ledger.schema import OPEN_INDEX
from batchcrew.ledger.staging import count, is_compared

_RENAMED = """
FROM temp.staged AS s JOIN jobs AS j ON j.batch_id = ? AND j.job_id = s.job_id WHERE j.crew <> s.crew
"""
# from now on the job has other inputs (or another crew): its attempts record the inputs that they were started with
_RECORD_SENT = """
UPDATE attempts AS a SET sent_inputs = coalesce(a.sent_inputs, j.inputs), sent_crew = coalesce(a.sent_crew, j.crew)
FROM temp.changed AS c JOIN jobs AS j ON j.id = c.job WHERE a.job = c.job AND c.differs
"""
# an answer that was kept for these inputs is found by them if the file gets them again
_RECORD_KEPT = """
UPDATE attempts AS a SET kept_inputs = j.inputs FROM temp.changed AS c JOIN jobs AS j ON j.id = c.job
WHERE a.job = c.job AND c.differs AND j.state = 'succeeded' AND a.number = j.attempts AND a.sent_inputs IS NOT NULL
    AND NOT same_inputs(a.sent_inputs, j.inputs)
"""
_RECORD_MOVED = """
UPDATE attempts AS a SET sent_inputs = coalesce(a.sent_inputs, j.inputs), sent_crew = coalesce(a.sent_crew, j.crew)
FROM temp.moves AS m JOIN jobs AS j ON j.id = m.job WHERE a.id = m.attempt AND a.sent_inputs IS NULL
"""
_CHANGE = """
UPDATE jobs AS j SET
    state = c.becomes, crew = s.crew, inputs = s.inputs, meta = s.meta, updated_at = ?,
    not_before = CASE c.becomes WHEN 'pending' THEN '' ELSE j.not_before END,
    charged = CASE c.becomes WHEN 'pending' THEN 0 ELSE j.charged END,
    reason = CASE WHEN c.becomes IN ('pending', 'succeeded') THEN NULL ELSE j.reason END,
    reason_fingerprint = CASE WHEN c.becomes IN ('pending', 'succeeded') THEN NULL ELSE j.reason_fingerprint END,
    before_retry = CASE WHEN c.becomes = 'pending' AND NOT c.differs THEN j.before_retry END
FROM temp.changed AS c JOIN temp.staged AS s ON s.position = c.position WHERE j.id = c.job
"""
_REFRESH = """
UPDATE jobs AS j SET position = s.position, present = 1, row = s.row, source = s.file || ':' || s.line,
    crew = s.crew, meta = s.meta, row_quoting = s.quoting
FROM temp.staged AS s
WHERE j.batch_id = ? AND j.job_id = s.job_id AND (
    j.position <> s.position OR j.present = 0 OR j.row <> s.row OR j.source <> s.file || ':' || s.line
    OR j.crew <> s.crew OR j.meta <> s.meta OR j.row_quoting IS NOT s.quoting)
"""
_INSERT = """
INSERT INTO jobs (batch_id, job_id, crew, position, inputs, meta, row, source, updated_at, row_quoting)
SELECT :batch_id, s.job_id, s.crew, s.position, s.inputs, s.meta, s.row, s.file || ':' || s.line, :now, s.quoting
FROM temp.staged AS s
WHERE NOT EXISTS (SELECT 1 FROM jobs AS j WHERE j.batch_id = :batch_id AND j.job_id = s.job_id)
ORDER BY s.position
"""
_RECEIVERS = """
CREATE TEMP TABLE receivers AS
SELECT m.attempt, m.latest, m.job AS giver, j.id AS job, a.state, g.charged,
    (SELECT coalesce(max(number), 0) FROM attempts AS own WHERE own.job = j.id) + 1 AS number,
    same_inputs(coalesce(a.sent_inputs, j.inputs), j.inputs) AS same
FROM temp.moves AS m JOIN temp.staged AS s ON s.position = m.position
JOIN jobs AS j ON j.batch_id = ? AND j.job_id = s.job_id JOIN attempts AS a ON a.id = m.attempt
JOIN jobs AS g ON g.id = m.job
"""
_MOVE = """
UPDATE attempts AS a SET job = t.job, number = t.number, reused = a.reused + 1,
    sent_inputs = CASE WHEN t.same THEN NULL ELSE a.sent_inputs END
FROM temp.receivers AS t WHERE a.id = t.attempt
"""
_RECEIVE = f"""
UPDATE jobs AS j SET attempts = t.number, charged = max(1, t.charged), state = {STATE_OF_MOVED}, before_retry = NULL,
    reason = CASE WHEN t.state IN ('in_doubt', 'lost') THEN a.reason END,
    reason_fingerprint = CASE WHEN t.state IN ('in_doubt', 'lost') THEN a.reason_fingerprint END
FROM temp.receivers AS t JOIN attempts AS a ON a.id = t.attempt WHERE j.id = t.job
"""
_GAVE = "SELECT giver FROM temp.receivers WHERE giver NOT IN (SELECT job FROM temp.receivers)"


async def merge(connection: aiosqlite.Connection, batch_id: int, now: str) -> None:
    """Bring the batch's jobs to the state of the file, inside the caller's transaction."""
    compared = await is_compared(connection)
    if compared:
        await _update(connection, batch_id, now)
    await connection.execute_fetchall(_INSERT, {"batch_id": batch_id, "now": now})
    if compared and await count(connection, "SELECT EXISTS (SELECT 1 FROM temp.moves)"):
        await _move_answers(connection, batch_id, now)


async def _update(connection: aiosqlite.Connection, batch_id: int, now: str) -> None:
    """Update the jobs that the ledger has: changed ones get their new inputs, all get their position in the file."""
    await connection.execute_fetchall(_RECORD_KEPT)
    await connection.execute_fetchall(_RECORD_SENT)
    await connection.execute_fetchall(_RECORD_MOVED)
    if await one(connection, f"SELECT 1 {_RENAMED} LIMIT 1", (batch_id,)):
        await connection.execute_fetchall(
            "UPDATE attempts AS a SET sent_crew = r.crew FROM (SELECT j.id, j.crew "
            f"{_RENAMED}) AS r WHERE a.job = r.id AND a.sent_crew IS NULL",
            (batch_id,),
        )
    await connection.execute_fetchall(_CHANGE, (now,))
    await connection.execute_fetchall(_REFRESH, (batch_id,))
    await connection.execute_fetchall("UPDATE jobs SET present = 0 WHERE id IN (SELECT job FROM temp.removed)")


async def _move_answers(connection: aiosqlite.Connection, batch_id: int, now: str) -> None:
    """Assign each answer to the job that takes it over, as its latest attempt."""
    await connection.execute_fetchall("DROP TABLE IF EXISTS temp.receivers")
    await connection.execute_fetchall(_RECEIVERS, (batch_id,))
    # SQLite checks the index row by row: when two jobs swap their executions in progress, one job has both for a moment
    await connection.execute_fetchall("DROP INDEX attempts_open")
    await connection.execute_fetchall(_MOVE)
    await connection.execute_fetchall(OPEN_INDEX)
    await connection.execute_fetchall(_RECEIVE)
    # jobs that gave their answer away keep the rest of their history; without any, a job that was removed is deleted
    await connection.execute_fetchall(
        "UPDATE jobs AS j SET before_retry = NULL,"
        " attempts = (SELECT coalesce(max(number), 0) FROM attempts AS a WHERE a.job = j.id)"
        f" WHERE j.id IN ({_GAVE})"
    )
    await connection.execute_fetchall(
        "UPDATE jobs SET state = 'pending', not_before = '', charged = 0, reason = NULL, reason_fingerprint = NULL"
        f" WHERE present = 0 AND id IN ({_GAVE} AND latest)"  # a job that gave away an older answer keeps its latest
    )
    await connection.execute_fetchall(f"DELETE FROM jobs WHERE present = 0 AND attempts = 0 AND id IN ({_GAVE})")
    await connection.execute_fetchall("DROP TABLE temp.receivers")

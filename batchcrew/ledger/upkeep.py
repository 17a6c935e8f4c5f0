"""Delete a batch; vacuum a ledger or check it for damage."""

from dataclasses import dataclass

import aiosqlite

from batchcrew.ledger.fetch import value
from batchcrew.ledger.reads.money import keep_costs

# a month's budget (max_kickoffs_per_month) still counts the kickoffs of a deleted batch
_KEEP_KICKOFFS = """
INSERT INTO deleted_kickoffs (url, day, kickoffs)
SELECT c.url, substr(a.intended_at, 1, 10), count(*)
FROM jobs AS j JOIN attempts AS a ON a.job = j.id JOIN run_crews AS c ON c.run_id = a.run_id
    AND c.crew = coalesce(a.sent_crew, j.crew)
WHERE j.batch_id = ? AND a.state <> 'rejected' GROUP BY 1, 2
ON CONFLICT (url, day) DO UPDATE SET kickoffs = kickoffs + excluded.kickoffs
"""
_ATTEMPTS = "SELECT a.id FROM jobs AS j JOIN attempts AS a ON a.job = j.id WHERE j.batch_id = ?"
_DELETIONS = (
    f"DELETE FROM waits WHERE attempt_id IN ({_ATTEMPTS})",
    f"DELETE FROM webhook_inbox WHERE attempt_id IN ({_ATTEMPTS})",
    f"DELETE FROM task_results WHERE attempt_id IN ({_ATTEMPTS})",
    "DELETE FROM cancel_requests WHERE job IN (SELECT id FROM jobs WHERE batch_id = ?)",
    "DELETE FROM attempts WHERE job IN (SELECT id FROM jobs WHERE batch_id = ?)",
    "DELETE FROM jobs WHERE batch_id = ?",
    "DELETE FROM paces WHERE batch_id = ?",
    "DELETE FROM run_crews WHERE run_id IN (SELECT id FROM runs WHERE batch_id = ?)",
    "DELETE FROM concurrency_changes WHERE run_id IN (SELECT id FROM runs WHERE batch_id = ?)",
    "DELETE FROM run_slots WHERE run_id IN (SELECT id FROM runs WHERE batch_id = ?)",
    "DELETE FROM runs WHERE batch_id = ?",
    "DELETE FROM controls_in_force WHERE batch_id = ?",
    "DELETE FROM controls WHERE batch_id = ?",
    "DELETE FROM rows_files WHERE batch_id = ?",
    "DELETE FROM batches WHERE id = ?",
)


async def delete_batch(connection: aiosqlite.Connection, batch_id: int) -> int:
    """Delete a batch and all that belongs to it, inside the caller's transaction; return how many jobs it had."""
    jobs = int(await value(connection, "SELECT count(*) FROM jobs WHERE batch_id = ?", (batch_id,)))
    await connection.execute_fetchall(_KEEP_KICKOFFS, (batch_id,))
    await keep_costs(connection, batch_id)
    for deletion in _DELETIONS:
        await connection.execute_fetchall(deletion, (batch_id,))
    return jobs


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """The size of a ledger before and after it was vacuumed, in bytes."""

    before: int
    after: int
    waits_for_readers: bool
    """Another program is reading the ledger: the file shrinks only after that has ended."""


async def vacuum(connection: aiosqlite.Connection) -> Vacuumed:
    """Rebuild the file without its unused pages."""
    before = await _size(connection)
    await connection.execute_fetchall("VACUUM")
    busy = await value(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
    return Vacuumed(before, await _size(connection), waits_for_readers=bool(busy))


async def damage(connection: aiosqlite.Connection) -> str | None:
    """Return the first problem that SQLite's quick check finds in a database, or None."""
    found = str(await value(connection, "PRAGMA quick_check(1)"))
    return None if found == "ok" else found


async def _size(connection: aiosqlite.Connection) -> int:
    return int(await value(connection, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"))

"""Record the commands that operators give to a batch, also while a run of another process holds it.

Each is one short transaction: the row of the command, and what applies from then on. A run reads it each second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiosqlite

from batchcrew.base.reasons import reason_fingerprint
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows, value
from batchcrew.ledger.json_text import decode_json, encode_json
from batchcrew.ledger.retries import require_jobs
from batchcrew.ledger.transitions import plain_text
from batchcrew.model.control import Control, Given, SetValue

PAUSE = "pause"
_PROCESS = "process "
"""In place of a run's id: the process that will record one."""
SETTING = "run."
"""The names of settings in `controls_in_force` begin with this."""
_NAMED = " AND job_id IN (SELECT value FROM json_each(:jobs))"
_CANCEL = """
UPDATE jobs SET state = 'cancelled', not_before = '', reason = :reason, reason_fingerprint = :fingerprint,
    before_retry = NULL, updated_at = :now
WHERE batch_id = :batch
"""
_REQUEST = """
INSERT OR IGNORE INTO cancel_requests (job, control)
SELECT id, :control FROM jobs WHERE batch_id = :batch AND state IN ('open', 'waiting')
"""
_OPEN = "SELECT id FROM jobs WHERE batch_id = :batch AND state IN ('open', 'waiting')"
_LET_GO = """
UPDATE attempts SET state = 'cancelled', ended_at = :now, reason = :reason, reason_fingerprint = :fingerprint
WHERE state IN ('intended', 'kicked_off') AND job = :job
"""
_END_WAITS = """
UPDATE waits SET ended_at = :now, resumed = 1
WHERE ended_at IS NULL AND attempt_id IN (SELECT id FROM attempts WHERE job = :job)
"""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The result of `cancel`: the jobs that were pending, and those whose execution is in progress."""

    pending: int
    in_progress: tuple[int, ...] = ()
    """The ledger's row numbers of the jobs."""


async def record(
    connection: aiosqlite.Connection,
    key: BatchKey,
    command: str,
    given: Given,
    *,
    content: Any = None,
    run_id: str | None = None,
) -> int:
    """Write the row of a command; return its number.

    Args:
        content: what it changes, as JSON can hold it.
        run_id: the run that it is for; None: the latest one, of which `runs` then shows it.
    """
    cursor = await connection.execute(
        "INSERT INTO controls (batch_id, command, value, at, given_by, reason, run_id) VALUES (?, ?, ?, ?, ?, ?,"
        " coalesce(?, (SELECT id FROM runs WHERE batch_id = ? ORDER BY rowid DESC LIMIT 1)))",
        (
            key.id,
            command,
            None if content is None else encode_json(content),
            given.at,
            plain_text(given.by),
            plain_text(given.reason),
            run_id,
            key.id,
        ),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT has one
    return cursor.lastrowid


async def pause(connection: aiosqlite.Connection, key: BatchKey, given: Given) -> Given | None:
    """Pause the batch. Return who paused it before; then nothing is changed."""
    before = (await in_force(connection, key)).pause
    if before is None:
        number = await record(connection, key, "pause", given)
        await _put_in_force(connection, key, PAUSE, None, number)
    return before


async def unpause(connection: aiosqlite.Connection, key: BatchKey, given: Given) -> Given | None:
    """End the pause of the batch. Return who had paused it; None: it was not paused, and nothing is changed."""
    before = (await in_force(connection, key)).pause
    if before is not None:
        await record(connection, key, "unpause", given)
        await connection.execute("DELETE FROM controls_in_force WHERE batch_id = ? AND name = ?", (key.id, PAUSE))
    return before


async def change_settings(
    connection: aiosqlite.Connection, key: BatchKey, values: Mapping[str, Any], given: Given
) -> None:
    """Replace settings of the job file by these values."""
    number = await record(connection, key, "set", given, content=dict(values))
    for name, new in values.items():
        await _put_in_force(connection, key, f"{SETTING}{name}", new, number)


async def reset_settings(
    connection: aiosqlite.Connection, key: BatchKey, names: Sequence[str], given: Given
) -> list[str]:
    """Use the job file's values again. Return the names of the settings that had been replaced.

    Args:
        names: the settings; empty: all.
    """
    before = (await in_force(connection, key)).settings
    reset = [name for name in before if not names or name in names]
    if reset:
        await record(connection, key, "reset", given, content=reset)
        await connection.executemany(
            "DELETE FROM controls_in_force WHERE batch_id = ? AND name = ?",
            [(key.id, f"{SETTING}{name}") for name in reset],
        )
    return reset


async def stop(connection: aiosqlite.Connection, key: BatchKey, run: str | tuple[int, str], given: Given) -> None:
    """Request the end of a run; it has no effect on any other.

    Args:
        run: its id; or the process and host of a run that is not recorded yet, because it still reads its job file.
    """
    await record(connection, key, "stop", given, run_id=run if isinstance(run, str) else _process_text(*run))


async def assign_stop(connection: aiosqlite.Connection, batch_id: int, run_id: str, pid: int, host: str) -> None:
    """Assign a stop for this process to its run, which begins now; those for other processes have no effect."""
    await connection.execute_fetchall(
        "UPDATE controls SET run_id = CASE WHEN run_id = ? THEN ? END"
        f" WHERE batch_id = ? AND command = 'stop' AND run_id LIKE '{_PROCESS}%'",
        (_process_text(pid, host), run_id, batch_id),
    )


def _process_text(pid: int, host: str) -> str:
    return f"{_PROCESS}{pid}@{host}"


async def cancel(connection: aiosqlite.Connection, key: BatchKey, job_ids: Sequence[str], given: Given) -> Cancelled:
    """Cancel pending jobs, and request that those in progress are no longer watched.

    Args:
        job_ids: the jobs; empty: all of the batch.

    Raises:
        NotInLedger: the batch does not have one of the jobs; nothing was changed.
    """
    await require_jobs(connection, key, job_ids, "nothing was cancelled")
    number = await record(connection, key, "cancel", given)
    named = _NAMED if job_ids else ""
    parameters = {
        "batch": key.id,
        "jobs": encode_json(list(job_ids)),
        "control": number,
        **_reason(given),
    }
    pending = (await connection.execute(f"{_CANCEL} AND state = 'pending' AND present = 1{named}", parameters)).rowcount
    await connection.execute(f"{_REQUEST}{named}", parameters)
    found = await rows(connection, f"{_OPEN}{named}", parameters)
    if pending or found:
        counts = encode_json({"pending": pending, "in_progress": len(found)})
        await connection.execute("UPDATE controls SET value = ? WHERE id = ?", (counts, number))
    else:
        await connection.execute("DELETE FROM controls WHERE id = ?", (number,))
    return Cancelled(pending, tuple(row[0] for row in found))


async def let_go(
    connection: aiosqlite.Connection, key: BatchKey, running: Sequence[int], now: str
) -> list[tuple[int, Given]]:
    """Cancel the executions of cancelled jobs, except for those that the calling run watches.

    The caller holds the batch's lock.

    Args:
        running: row numbers of the jobs that the calling run has in progress.

    Returns:
        The jobs of `running` to cancel, and the operator who requested it.
    """
    found = await rows(
        connection,
        "SELECT c.job, j.state, k.given_by, k.at, k.reason FROM cancel_requests AS c"
        " JOIN jobs AS j ON j.id = c.job JOIN controls AS k ON k.id = c.control WHERE j.batch_id = ?",
        (key.id,),
    )
    watched = frozenset(running)
    left: list[tuple[int, Given]] = []
    for job, state, by, at, reason in found:
        given = Given(by=by, at=at, reason=reason)
        if job in watched:
            left.append((job, given))
            continue
        if state in {"open", "waiting", "pending"}:
            parameters = {"batch": key.id, "job": job, **_reason(given, let_go=state != "pending"), "now": now}
            await connection.execute(_END_WAITS, parameters)
            await connection.execute(_LET_GO, parameters)
            await connection.execute(f"{_CANCEL} AND id = :job", parameters)
        await connection.execute("DELETE FROM cancel_requests WHERE job = ?", (job,))
    return left


async def in_force(connection: aiosqlite.Connection, key: BatchKey, run_id: str | None = None) -> Control:
    """Return the commands in force.

    Args:
        run_id: the run whose end may have been requested; None: no run.
    """
    found = await rows(
        connection,
        "SELECT f.name, f.value, c.given_by, c.at, c.reason FROM controls_in_force AS f"
        " JOIN controls AS c ON c.id = f.control WHERE f.batch_id = ? ORDER BY f.name",
        (key.id,),
    )
    given = {name: (text, Given(by=by, at=at, reason=reason)) for name, text, by, at, reason in found}
    stopped = await rows(
        connection,
        "SELECT given_by, at, reason FROM controls WHERE batch_id = ? AND command = 'stop' AND run_id = ?"
        " ORDER BY id LIMIT 1",
        (key.id, run_id),
    )
    return Control(
        version=await version(connection, key),
        pause=given[PAUSE][1] if PAUSE in given else None,
        settings={
            name.removeprefix(SETTING): SetValue(value=None if text is None else decode_json(text), given=by)
            for name, (text, by) in given.items()
            if name.startswith(SETTING)
        },
        stop=Given(by=stopped[0][0], at=stopped[0][1], reason=stopped[0][2]) if stopped else None,
        letting_go=await letting_go(connection, key),
    )


async def letting_go(connection: aiosqlite.Connection, key: BatchKey) -> int:
    """Return the number of cancelled executions that are still watched."""
    return int(
        await value(
            connection,
            "SELECT count(*) FROM cancel_requests AS c JOIN jobs AS j ON j.id = c.job WHERE j.batch_id = ?",
            (key.id,),
        )
    )


async def version(connection: aiosqlite.Connection, key: BatchKey) -> int:
    """Return the number of the latest command; 0: none."""
    return int(await value(connection, "SELECT coalesce(max(id), 0) FROM controls WHERE batch_id = ?", (key.id,)))


def _reason(given: Given, *, let_go: bool = False) -> dict[str, Any]:
    reason = plain_text(given.let_go if let_go else given.cancelled)
    return {"reason": reason, "fingerprint": reason_fingerprint(reason), "now": given.at}


async def _put_in_force(connection: aiosqlite.Connection, key: BatchKey, name: str, new: Any, number: int) -> None:
    await connection.execute(
        "INSERT OR REPLACE INTO controls_in_force (batch_id, name, value, control) VALUES (?, ?, ?, ?)",
        (key.id, name, None if new is None else encode_json(new), number),
    )

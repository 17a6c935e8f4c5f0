"""Correct the moments from which waits and ages are measured, if the wall clock was set between two runs.

Within a run the clock is steady (`clock.py`). Between two runs on one machine, its uptime shows how far the wall clock
was set. The moments of open attempts and waiting jobs are moved as far, so that none is due or timed out only because
of that.
"""

from datetime import datetime

import aiosqlite

from batchcrew.base.clock import Uptime, from_text

TOLERATED_SECONDS = 2.0
"""A clock that NTP adjusts drifts by less between two runs."""

_MOVED = "strftime('%Y-%m-%dT%H:%M:%fZ', {0}, :by)"
_OPEN = (
    "state IN ('intended', 'kicked_off')"
    " AND job IN (SELECT id FROM jobs WHERE batch_id = :batch AND state IN ('open', 'waiting'))"
)
_KICKED_OFF = _MOVED.format("kicked_off_at")
_NEXT_AT = _MOVED.format("json_extract(watch, '$.next_at')")
_CHANGES = (
    f"UPDATE jobs SET not_before = {_MOVED.format('not_before')}"
    " WHERE batch_id = :batch AND state = 'pending' AND not_before > ''",
    f"UPDATE attempts SET intended_at = {_MOVED.format('intended_at')}, kicked_off_at = {_KICKED_OFF} WHERE {_OPEN}",
    f"UPDATE attempts SET watch = json_set(watch, '$.next_at', {_NEXT_AT}) WHERE watch IS NOT NULL AND {_OPEN}",
    *(
        f"UPDATE attempts SET watch = json_set(watch, '{path}', {_MOVED.format(f'json_extract(watch, {path!r})')})"
        f" WHERE json_extract(watch, '{path}') IS NOT NULL AND {_OPEN}"
        for path in ("$.empty_since", "$.running_at")
    ),
    *(
        f"UPDATE waits SET {column} = {_MOVED.format(column)} WHERE ended_at IS NULL AND {column} > ''"
        f" AND attempt_id IN (SELECT id FROM attempts WHERE {_OPEN})"
        for column in ("since", "next_poll")
    ),
    f"UPDATE paces SET saved_at = {_MOVED.format('saved_at')} WHERE batch_id = :batch",
)


async def carry_over(connection: aiosqlite.Connection, batch_id: int, now: datetime, uptime: Uptime) -> float:
    """Move the batch's open moments as far as the clock was set since its latest run; return the seconds (0: none)."""
    rows = list(
        await connection.execute_fetchall(
            "SELECT started_at, boot_id, uptime FROM runs WHERE batch_id = ? AND boot_id IS NOT NULL"
            " ORDER BY rowid DESC LIMIT 1",
            (batch_id,),
        )
    )
    if not rows or rows[0][1] != uptime.boot_id:
        return 0.0
    by_the_wall: float = (now - from_text(rows[0][0])).total_seconds()
    jump: float = by_the_wall - (uptime.seconds - rows[0][2])
    if abs(jump) <= TOLERATED_SECONDS:
        return 0.0
    for change in _CHANGES:
        await connection.execute_fetchall(change, {"batch": batch_id, "by": f"{jump:+.3f} seconds"})
    return jump

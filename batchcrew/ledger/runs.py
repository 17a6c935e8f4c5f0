"""One row for each call that worked on a batch."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import aiosqlite

from batchcrew.base.clock import Uptime

Kind: TypeAlias = Literal["run", "tick", "attach", "recheck"]


async def begin(
    connection: aiosqlite.Connection,
    run_id: str,
    *,
    batch_id: int,
    kind: Kind,
    now: str,
    process: tuple[int, str, str],
    uptime: Uptime | None,
    urls: Mapping[str, str],
) -> None:
    """Write a run's row; `process` is (pid, host, version of batchcrew), `urls` are of its crews by their names."""
    await connection.execute_fetchall(
        "INSERT INTO runs (id, batch_id, kind, started_at, pid, host, version, boot_id, uptime)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (run_id, batch_id, kind, now, *process, uptime and uptime.boot_id, uptime and uptime.seconds),
    )
    await connection.executemany(
        "INSERT INTO run_crews (run_id, crew, url) VALUES (?, ?, ?)",
        [(run_id, crew, url) for crew, url in urls.items()],
    )


async def forget_an_idle_tick(connection: aiosqlite.Connection, batch_id: int) -> None:
    """Drop the batch's latest run where it was a tick that started nothing: there may be one a minute.

    Only just before a new row is written: the latest row tells of the machine's clock. One that stopped for another
    reason than the row before it stays.
    """
    rows = [
        tuple(row)
        for row in await connection.execute_fetchall(
            "SELECT id, kind, stopped FROM runs WHERE batch_id = ? ORDER BY rowid DESC LIMIT 2", (batch_id,)
        )
    ]
    if not rows or rows[0][1] != "tick":
        return
    run_id, _, stopped = rows[0]
    if stopped is not None and (len(rows) == 1 or rows[1][2] != stopped):
        return
    started = list(  # the ids of attempts begin with their run's
        await connection.execute_fetchall(
            "SELECT EXISTS (SELECT 1 FROM attempts WHERE id >= ? || '-' AND id < ? || '.')", (run_id, run_id)
        )
    )
    if not started[0][0]:
        await connection.execute_fetchall("DELETE FROM run_crews WHERE run_id = ?", (run_id,))
        await connection.execute_fetchall("DELETE FROM runs WHERE id = ?", (run_id,))

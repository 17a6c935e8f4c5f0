"""Write one row for each call that works on a batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import aiosqlite

from batchcrew.base.clock import Uptime
from batchcrew.base.costs import PriceList
from batchcrew.ledger.fetch import rows, value

Kind: TypeAlias = Literal["run", "tick", "attach", "recheck"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run that begins, and its process."""

    run_id: str
    batch_id: int
    kind: Kind
    pid: int
    host: str
    version: str
    """Version of batchcrew."""
    urls: Mapping[str, str]
    """The URL of each of its crews, by the crew's name."""
    prices: Mapping[str, PriceList]
    """By the crew's name; crews without a known price are missing."""


async def begin(connection: aiosqlite.Connection, run: NewRun, *, now: str, uptime: Uptime | None) -> None:
    """Write a run's row, and the URLs of its crews."""
    machine = (None, None) if uptime is None else (uptime.boot_id, uptime.seconds)
    await connection.execute_fetchall(
        "INSERT INTO runs (id, batch_id, kind, started_at, pid, host, version, boot_id, uptime)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (run.run_id, run.batch_id, run.kind, now, run.pid, run.host, run.version, *machine),
    )
    await connection.executemany(
        "INSERT INTO run_crews (run_id, crew, url, price, prompt_price, completion_price) VALUES (?, ?, ?, ?, ?, ?)",
        [(run.run_id, crew, url, *run.prices.get(crew, PriceList()).texts()) for crew, url in run.urls.items()],
    )


async def delete_idle_tick(connection: aiosqlite.Connection, batch_id: int) -> None:
    """Delete the batch's latest run if it was a tick that started nothing: there may be one a minute.

    Call it only just before a new row is written: the latest row records the machine's clock. A tick that stopped for
    another reason than the run before it is not deleted.
    """
    latest = await rows(
        connection, "SELECT id, kind, stopped FROM runs WHERE batch_id = ? ORDER BY rowid DESC LIMIT 2", (batch_id,)
    )
    if not latest or latest[0][1] != "tick":
        return
    run_id, _, stopped = latest[0]
    if stopped is not None and (len(latest) == 1 or latest[1][2] != stopped):
        return
    started = await value(  # the ids of attempts begin with their run's
        connection, "SELECT EXISTS (SELECT 1 FROM attempts WHERE id >= ? || '-' AND id < ? || '.')", (run_id, run_id)
    )
    if not started:
        for table in ("run_crews", "concurrency_changes", "run_slots"):
            await connection.execute_fetchall(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))
        await connection.execute_fetchall("DELETE FROM runs WHERE id = ?", (run_id,))

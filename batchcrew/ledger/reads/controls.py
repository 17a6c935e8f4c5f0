"""Read the commands of operators to a batch."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiosqlite

from batchcrew.ledger import controlling
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows
from batchcrew.ledger.json_text import decode_json, encode_json
from batchcrew.ledger.lock import holder
from batchcrew.ledger.reads.base import Reads
from batchcrew.model.control import Control, ControlLine, Given

MOST_COMMANDS = 20_000
"""Maximum number of commands that a report reads, because a batch may run in cron for years."""


class ControlReads(Reads):
    """Read the commands to a batch, and those in force."""

    async def control_version(self, key: BatchKey) -> int:
        """Return the number of the latest command to the batch; 0: none."""
        return await self._query(lambda connection: controlling.version(connection, key))

    async def letting_go(self, key: BatchKey) -> int:
        """Return the number of cancelled executions that are still watched."""
        return await self._query(lambda connection: controlling.letting_go(connection, key))

    async def cancelled(self, jobs: Sequence[int]) -> int:
        """Return how many of the jobs with these row numbers are cancelled."""
        return await self._count(
            "SELECT count(*) FROM jobs WHERE state = 'cancelled' AND id IN (SELECT value FROM json_each(?))",
            (encode_json(list(jobs)),),
        )

    async def control(self, key: BatchKey, run_id: str | None = None) -> Control:
        """Return the commands in force for the batch, and whether the end of this run was requested."""
        return await self._query(lambda connection: controlling.in_force(connection, key, run_id))

    async def is_running(self, key: BatchKey) -> bool:
        """Return whether a run holds the batch now; other commands hold it too, for a moment."""
        return await self._is_held(key.batch)

    async def holding_process(self, key: BatchKey) -> tuple[int, str] | None:
        """Return the process and the host that hold the batch now; None: none does, or it is not known."""
        return None if self.path is None else await asyncio.to_thread(holder, self.path, key.batch)

    async def current_run(self, key: BatchKey) -> str | None:
        """Return the id of the run or tick that holds the batch; None if none does, or if it is not recorded yet."""
        process = await self.holding_process(key)
        row = await self._one(
            "SELECT id, pid, host FROM runs WHERE batch_id = ? AND ended_at IS NULL AND kind IN ('run', 'tick')"
            " ORDER BY rowid DESC LIMIT 1",
            (key.id,),
        )
        # the row of a run that was killed remains open
        return None if row is None or process != (row[1], row[2]) else str(row[0])


async def commands_by_run(connection: aiosqlite.Connection, run_ids: Sequence[str]) -> dict[str, list[ControlLine]]:
    """Return the commands that were given between the start of each run and that of the next, the latest first."""
    found: dict[str, list[ControlLine]] = {}
    for run_id, command, content, at, by, reason in await _commands(connection, run_ids):
        line = ControlLine(
            command=command,
            given=Given(by=by, at=at, reason=reason),
            value=None if content is None else decode_json(content),
        )
        found.setdefault(run_id, []).append(line)
    return found


async def all_commands(
    connection: aiosqlite.Connection, batch_id: int, most: int = MOST_COMMANDS
) -> tuple[ControlLine, ...]:
    """Return the first commands that were given to a batch, in the order of time."""
    found = await rows(
        connection,
        "SELECT command, value, at, given_by, reason FROM controls WHERE batch_id = ? ORDER BY at, id LIMIT ?",
        (batch_id, most),
    )
    return tuple(
        ControlLine(
            command=command,
            given=Given(by=by, at=at, reason=reason),
            value=None if content is None else decode_json(content),
        )
        for command, content, at, by, reason in found
    )


async def _commands(connection: aiosqlite.Connection, run_ids: Sequence[str]) -> list[tuple[Any, ...]]:
    return await rows(
        connection,
        # the row of an idle tick is deleted; its commands are shown with the run before it
        "SELECT * FROM (SELECT coalesce((SELECT r.id FROM runs AS r WHERE r.id = c.run_id), (SELECT r.id FROM runs AS r"
        " WHERE r.batch_id = c.batch_id AND r.started_at <= c.at ORDER BY r.started_at DESC, r.rowid DESC LIMIT 1))"
        " AS run, c.command, c.value, c.at, c.given_by, c.reason FROM controls AS c ORDER BY c.id DESC)"
        " WHERE run IN (SELECT value FROM json_each(?))",
        (encode_json(list(run_ids)),),
    )

"""Runs: one row for each run, tick and other call that worked on a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import aiosqlite

from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows
from batchcrew.ledger.json_text import decode_json
from batchcrew.ledger.reads.base import Reads
from batchcrew.ledger.reads.controls import commands_by_run
from batchcrew.ledger.reads.money import Tally, tallies
from batchcrew.model.views import RunLine

# the kickoffs of a run that was killed are counted: its row has no number
_RUNS = """
SELECT r.id, b.batch, r.kind, r.started_at, r.ended_at, r.cost, r.exit_code, r.stopped, r.stop_detail,
       CASE WHEN r.ended_at IS NOT NULL THEN r.kickoffs ELSE (
           SELECT count(*) FROM attempts AS a -- the id of an attempt begins with the id of its run
           WHERE a.id >= r.id || '-' AND a.id < r.id || '.' AND a.state NOT IN ('intended', 'rejected')) END
FROM runs AS r JOIN batches AS b ON b.id = r.batch_id
WHERE ? IS NULL OR r.batch_id = ? ORDER BY r.started_at DESC, r.rowid DESC LIMIT ?
"""


async def _lines(connection: aiosqlite.Connection, batch_id: int | None, limit: int) -> list[RunLine]:
    """Return the latest runs with what their kickoffs used and cost."""
    lines = []
    for row in await rows(connection, _RUNS, (batch_id, batch_id, limit)):
        tally = (await tallies(connection, run_id=row[0])).get(row[0], Tally())
        money, tokens = tally.money(), tally.tokens()
        lines.append(
            RunLine(
                run_id=row[0],
                batch=row[1],
                kind=row[2],
                started_at=row[3],
                ended_at=row[4],
                cost=money.text or row[5],  # the run of an earlier version has recorded no prices
                costs=money.as_list(),
                without_tokens=money.without_tokens,
                prompt_tokens=tokens.prompt,
                completion_tokens=tokens.completion,
                total_tokens=tokens.total,
                exit_code=row[6],
                stopped=row[7],
                stop_detail=row[8],
                kickoffs=row[9],
            )
        )
    return lines


class RunReads(Reads):
    """Read the runs of a batch, or of all batches."""

    async def runs(self, key: BatchKey | None, limit: int) -> list[RunLine]:
        """Return the latest runs, ticks and other calls that worked on the batch, the newest first.

        Args:
            key: the batch; None: any batch.
            limit: most runs to return.
        """
        batch_id = key.id if key else None
        lines = await self._query(lambda connection: _lines(connection, batch_id, limit))
        held = {batch: await self._is_held(batch) for batch in {line.batch for line in lines if not line.ended_at}}
        commands = await self._query(lambda connection: commands_by_run(connection, [line.run_id for line in lines]))
        newest: set[str] = set()
        seen: list[RunLine] = []
        for line in lines:  # if a batch is held, its newest row is the run that holds it
            running = not line.ended_at and held[line.batch] and line.batch not in newest
            newest.add(line.batch)
            seen.append(replace(line, running=running, commands=tuple(commands.get(line.run_id, ()))))
        return seen

    async def polled_by(self, key: BatchKey) -> Mapping[str, Any]:
        """Return the settings by which the batch's latest run or tick polls; empty if no run has recorded any."""
        text = await self._value(
            "SELECT polled_by FROM runs WHERE batch_id = ? AND polled_by IS NOT NULL ORDER BY rowid DESC LIMIT 1",
            (key.id,),
        )
        settings: dict[str, Any] = {} if text is None else decode_json(text)
        return settings

    async def latest_stop(self, key: BatchKey) -> str | None:
        """Return why the batch stopped last; None if it never did, or if a later run has kicked something off."""
        stopped: str | None = await self._value(
            "SELECT stopped FROM runs WHERE batch_id = ? AND (stopped IS NOT NULL OR kickoffs > 0)"
            " ORDER BY rowid DESC LIMIT 1",
            (key.id,),
        )
        return stopped

    async def crew_addresses(self, batch: str) -> Mapping[str, Sequence[str]]:
        """Return the addresses of each crew in the runs of the batch of that name, the latest last."""
        addresses: dict[str, list[str]] = {}
        for crew, url in await self._rows(
            "SELECT c.crew, c.url FROM batches AS b JOIN runs AS r ON r.batch_id = b.id JOIN run_crews AS c"
            " ON c.run_id = r.id WHERE b.batch = ? GROUP BY c.crew, c.url ORDER BY max(r.rowid)",
            (batch,),
        ):
            addresses.setdefault(crew, []).append(url)
        return addresses

"""Record runs, and the state that one run leaves for the next."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import aiosqlite

from batchcrew.base.clock import to_text
from batchcrew.base.costs import PriceList
from batchcrew.ledger import runs, transitions
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.clock_jumps import carry_over
from batchcrew.ledger.controlling import assign_stop
from batchcrew.ledger.json_text import encode_json
from batchcrew.ledger.reads.batches import WARNINGS_COLUMN, batch_name
from batchcrew.ledger.spill import SpillFile, read_spilled, spill_path
from batchcrew.ledger.writer import Parameters, Statement
from batchcrew.ledger.writes.base import Writes

_CHANGE_CONCURRENCY = Statement(
    "INSERT INTO concurrency_changes (run_id, crew, at, slots, reason) VALUES (?, ?, ?, ?, ?)"
)
_ALLOW_SLOTS = Statement("INSERT INTO run_slots (run_id, at, slots, adaptive) VALUES (?, ?, ?, ?)")
_POLLED_BY = Statement("UPDATE runs SET polled_by = ? WHERE id = ?")
_SAVE_DURATIONS = Statement("INSERT OR REPLACE INTO crew_durations (address, state, saved_at) VALUES (?, ?, ?)")
_SAVE_THROTTLE_STATE = Statement("INSERT OR REPLACE INTO paces (batch_id, crew, state, saved_at) VALUES (?, ?, ?, ?)")
_SAVE_WEBHOOKS = Statement("UPDATE runs SET webhooks = ? WHERE id = ?", strict=False)
_SAVE_WARNINGS = Statement(f"UPDATE batches SET {WARNINGS_COLUMN} = ? WHERE id = ?")
_PASS_CANARY = Statement("UPDATE batches SET canary_passed = 1 WHERE id = ?")
_CLOSE_RUN = Statement(
    "UPDATE runs SET ended_at = ?, kickoffs = ?, cost = ?, stopped = ?, stop_detail = ?, exit_code = ?"
    " WHERE id = ? AND ended_at IS NULL"
)


class RunWrites(Writes):
    """Write runs to the ledger."""

    recovered = 0
    """Kickoff ids that `open_run` found in the spill file of an earlier run."""

    async def open_run(
        self,
        batch_id: int,
        *,
        pid: int,
        host: str,
        version: str,
        kind: runs.Kind = "run",
        urls: Mapping[str, str] | None = None,
        prices: Mapping[str, PriceList] | None = None,
    ) -> str:
        """Record that a run begins, with the URL and the prices of each of its crews; return its id.

        First, record the kickoff ids in the spill file of an earlier run; and if the machine's clock was set since the
        batch's latest run, move the moments from which waits and ages are measured.
        """
        run_id, now = self._new_id(), self._clock.now()
        uptime = await asyncio.to_thread(self._uptime)
        batch = await self._query(lambda connection: batch_name(connection, batch_id))
        spilled = await asyncio.to_thread(spill_path, self.path, batch)
        kickoffs = await asyncio.to_thread(read_spilled, spilled)
        run = runs.NewRun(
            run_id=run_id,
            batch_id=batch_id,
            kind=kind,
            pid=pid,
            host=host,
            version=version,
            urls=urls or {},
            prices=prices or {},
        )

        async def work(connection: aiosqlite.Connection) -> None:
            self.recovered = sum([await transitions.recover(connection, kickoff) for kickoff in kickoffs])
            if uptime is not None:
                await carry_over(connection, batch_id, now, uptime)
            await runs.delete_idle_tick(connection, batch_id)
            await runs.begin(connection, run, now=to_text(now), uptime=uptime)
            await assign_stop(connection, batch_id, run_id, pid, host)

        await self._writing.call(work)
        await asyncio.to_thread(spilled.unlink, missing_ok=True)
        return run_id

    async def reserve_spill(self, key: BatchKey, kickoffs: int) -> None:
        """Reserve the file for kickoff ids that the ledger cannot record.

        Call it after `open_run`, before the first kickoff.

        Args:
            kickoffs: the number of ids that fit into the file.

        Raises:
            LedgerError: the disk has no space for it.
        """
        self._spill = await asyncio.to_thread(SpillFile, self.path, key.batch)
        await asyncio.to_thread(self._spill.reserve, kickoffs)

    async def extend_spill(self, kickoffs: int) -> None:
        """Extend the file of `reserve_spill` for more kickoffs.

        Raises:
            LedgerError: the disk has no space for it.
        """
        if self._spill is not None:
            await asyncio.to_thread(self._spill.grow, kickoffs)

    async def pass_canary(self, key: BatchKey) -> None:
        """Record that enough of the batch's first jobs have succeeded."""
        await self._writing.change((_PASS_CANARY, [(key.id,)]))

    async def close_run(
        self,
        run_id: str,
        *,
        kickoffs: int,
        stopped: str | None,
        exit_code: int,
        cost: str | None = None,
        stop_detail: str | None = None,
    ) -> None:
        """Record how a run ended; `cost` and `stop_detail` are texts as the summary shows them."""
        ended = (self._now(), kickoffs, cost, stopped, transitions.plain_text(stop_detail), exit_code, run_id)
        await self._writing.change((_CLOSE_RUN, [ended]))

    def save_webhook_counts(self, run_id: str, counts: Mapping[str, int]) -> None:
        """Record, with the next commit, how many webhooks a run has received and how they were treated.

        Call it before the first kickoff that names webhooks, so that the next run waits for those of kickoffs in doubt.
        """
        self._writing.change_soon((_SAVE_WEBHOOKS, [(encode_json(counts), run_id)]))

    async def save_throttle_states(self, key: BatchKey, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Save the state of the limits on each crew's kickoffs, for the next run; '' is the whole batch."""
        now = self._now()
        rows: list[Parameters] = [(key.id, crew, encode_json(state), now) for crew, state in states.items()]
        await self._writing.change((_SAVE_THROTTLE_STATE, rows))

    def concurrency_changed(self, run_id: str, crew: str, slots: int, reason: str) -> None:
        """Record, with the next commit, the new number of a crew's slots."""
        self._writing.change_soon((_CHANGE_CONCURRENCY, [(run_id, crew, self._now(), slots, reason)]))

    def slots_allowed(self, run_id: str, slots: int, *, adaptive: bool) -> None:
        """Record, with the next commit, how many executions of a run may be in progress from now on."""
        self._writing.change_soon((_ALLOW_SLOTS, [(run_id, self._now(), slots, int(adaptive))]))

    def polls_by(self, run_id: str, settings: Mapping[str, Any]) -> None:
        """Record, with the next commit, the settings by which a run polls."""
        self._writing.change_soon((_POLLED_BY, [(encode_json(settings), run_id)]))

    async def save_durations(self, durations: Mapping[str, Mapping[str, Any]]) -> None:
        """Save the durations of crews' executions, by the address of the crew."""
        now = self._now()
        rows: list[Parameters] = [(address, encode_json(state), now) for address, state in durations.items()]
        await self._writing.change((_SAVE_DURATIONS, rows))

    async def save_reported_warnings(self, key: BatchKey, warnings: Iterable[str]) -> None:
        """Save the warnings that this run reported."""
        await self._writing.change((_SAVE_WARNINGS, [(encode_json(list(warnings)), key.id)]))

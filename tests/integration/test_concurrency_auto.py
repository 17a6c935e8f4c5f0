"""`concurrency: auto` with the real engine, ledger and server."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from engine_bench import Bench, Faults, bench, jobs, serving
from manual_clock import ManualClock

from batchcrew.engine import Stop
from batchcrew.model.events import ConcurrencyChanged, KickedOff
from batchcrew.server import CrewServer, Spread


def recorded(path: Path) -> list[tuple[str, int]]:
    """The changes that the ledger has."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT crew, slots FROM concurrency_changes ORDER BY rowid").fetchall()
    finally:
        connection.close()


def reported(made: Bench) -> list[tuple[int, int]]:
    return [(event.before, event.after) for event in made.of(ConcurrencyChanged)]


@pytest.mark.parametrize("single_pass", [False, True])
async def test_a_crew_that_runs_few_executions_is_not_flooded(tmp_path: Path, single_pass: bool) -> None:
    async with CrewServer(serving(max_running=3, execution_time=Spread(0.02))) as server:
        made = bench(tmp_path, server, concurrency="auto")
        await made.take_in(jobs(12))
        await (made.tick_to_the_end() if single_pass else made.run())
        stats = server.stats
        assert (stats["kickoffs"], (await made.counts()).succeeded) == (12, 12)
        assert stats["peak_running"] <= 3


async def test_slots_grow_and_the_next_run_continues_with_them(tmp_path: Path) -> None:
    clock, faults = ManualClock(), Faults()
    async with CrewServer(serving(execution_time=Spread(10)), now=clock.epoch, faults=faults) as server:
        made = bench(tmp_path, server, concurrency="auto", max_concurrency=15)
        await made.take_in(jobs(11))
        async with asyncio.TaskGroup() as group:
            group.create_task(made.run(limit=10))
            await made.until(lambda: len(made.of(KickedOff)) == 10)
            clock.advance(10)
        assert reported(made) == [(10, 15)]
        assert [(each.crew, each.slots) for each in (await made.status()).slots] == [("default", 15)]
    async with CrewServer(serving(), faults=Faults(kickoff=[429])) as server:
        made.server, made.stop = server, Stop()
        made.crews = bench(tmp_path, server).crews
        await made.run()
        assert reported(made) == [(15, 1)]
    assert recorded(made.path) == [("default", 15), ("default", 1)]


async def test_a_number_is_not_adapted(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(kickoff=[429])) as server:
        made = bench(tmp_path, server, concurrency=5)
        await made.take_in(jobs(30))
        await made.run()
        assert server.stats["peak_running"] <= 5
    assert reported(made) == []
    assert recorded(made.path) == []

"""What a run learns about a crew's durations is kept for the next run, for ticks and for other batches."""

from pathlib import Path
from typing import Any

import pytest
from engine_bench import Bench, jobs, run_settings, serving
from pydantic import SecretStr

from batchcrew.config.crews import RemoteCrew
from batchcrew.config.settings import PollSettings
from batchcrew.config.values import Rate
from batchcrew.crew import crew_address
from batchcrew.ledger import Ledger
from batchcrew.server import CrewServer, Spread

LEARNED = PollSettings(initial=0.01, max=0.05)


async def known(made: Bench) -> dict[str, Any]:
    """The saved durations of the only crew."""
    async with Ledger(made.path, clock=made.clock) as ledger:
        address = crew_address(made.crews["default"])
        return (await ledger.durations([address, "elsewhere"]))[address]


def bench(tmp_path: Path, server: CrewServer, batch: str = "b", **settings: Any) -> Bench:
    crew = RemoteCrew(url=server.url, token=SecretStr(server.token))
    return Bench(tmp_path / "l.db", server, run_settings(poll=LEARNED, **settings), {"default": crew}, batch=batch)


@pytest.mark.parametrize("single_pass", [False, True])
async def test_each_execution_is_learned_once_and_kept(tmp_path: Path, single_pass: bool) -> None:
    async with CrewServer(serving(execution_time=Spread(0.05))) as server:
        made = bench(tmp_path, server)
        await made.take_in(jobs(60))
        if single_pass:
            await made.tick_to_the_end()
        else:
            await made.run()
        assert (await known(made))["count"] == 60
        other = bench(tmp_path, server, batch="other")
        await other.take_in(jobs(5))
        await other.run()
        assert (await known(other))["count"] == 65


async def test_a_backoff_learns_nothing(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server)
        made.settings = run_settings(poll=PollSettings(strategy="backoff", initial=0.01, max=0.05))
        await made.take_in(jobs(5))
        await made.run()
        async with Ledger(made.path, clock=made.clock) as ledger:
            assert await ledger.durations([crew_address(made.crews["default"])]) == {}


async def test_the_rate_of_status_requests_is_kept(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server)
        made.settings = run_settings(
            poll=PollSettings(initial=0.01, max=0.01, rate=Rate(count=20.0, period_seconds=1.0))
        )
        await made.take_in(jobs(10))
        began = made.clock.monotonic()
        await made.run()
        assert made.clock.monotonic() - began >= 9 / 20  # each job needs a poll; the first passes at once

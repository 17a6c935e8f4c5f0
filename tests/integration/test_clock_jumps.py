"""Setting the wall clock between two runs does not make anything due, timed out or delayed."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from engine_bench import bench, jobs, serving
from manual_clock import ManualClock

from batchcrew.base.clock import SystemClock, Uptime, from_text
from batchcrew.engine import Stop
from batchcrew.ledger import Ledger
from batchcrew.model.attempt import AttemptState, Outcome
from batchcrew.model.job import JobState
from batchcrew.server import CrewServer, Spread

HOUR = 3600.0


class SetClock(SystemClock):
    """A wall clock that was set to another time."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self._by = timedelta(seconds=by)

    def now(self) -> datetime:
        return super().now() + self._by


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_an_execution_is_neither_overdue_nor_new(tmp_path: Path, jump: float) -> None:
    servers = ManualClock()
    async with CrewServer(serving(execution_time=Spread(10)), now=servers.epoch) as server:
        made = bench(tmp_path, server, timeout=600)
        made.stop_after_kickoffs = 1
        await made.take_in(jobs(1))
        await made.run()
        assert (await made.counts()).open == 1
        servers.advance(10)
        made.stop, made.stop_after_kickoffs, made.clock = Stop(), None, SetClock(jump)
        await made.run()
        assert server.stats["kickoffs"] == 1
    (attempt,) = (await made.job("job-0")).attempts
    assert attempt.state is AttemptState.SUCCEEDED
    assert attempt.kicked_off_at is not None
    assert attempt.ended_at is not None
    lasted = from_text(attempt.ended_at) - from_text(attempt.kicked_off_at)
    assert timedelta(0) < lasted < timedelta(seconds=600)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
@pytest.mark.parametrize("boot", ["the same", "another"])
async def test_a_retry_is_due_when_it_would_have_been(tmp_path: Path, jump: float, boot: str) -> None:
    """After a restart of the machine nothing can be compared: then the wall clock is all there is."""
    path = tmp_path / "ledger.db"
    begun = datetime.fromisoformat("2026-01-01T00:00:00Z")

    def ledger(moment: datetime, uptime: Uptime) -> Ledger:
        return Ledger(path, clock=ManualClock(moment), uptime=lambda: uptime)

    async with ledger(begun, Uptime("the same", 100.0)) as opened:
        staged = await opened.stage("b", jobs(1))
        key = await opened.ingest("b", jobfile="j", digest="d", columns=staged.plan.columns)
        run_id = await opened.open_run(key.id, pid=1, host="h", version="v")
        (attempt,) = (await opened.claim(key, run_id, crew="default", limit=1)).attempts
        again = Outcome(attempt_state=AttemptState.FAILED, job_state=JobState.PENDING, reason="r", retry_in=30.0)
        await opened.ended(attempt, again)
    later = begun + timedelta(seconds=10 + jump)
    async with ledger(later, Uptime(boot, 110.0)) as opened:
        run_id = await opened.open_run(key.id, pid=1, host="h", version="v")
        due = await opened.next_start(key, "default")
    assert due is not None
    shift = jump if boot == "the same" else 0.0
    assert from_text(due) == begun + timedelta(seconds=30 + shift)

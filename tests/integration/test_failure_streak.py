"""A crew that fails on everything: kickoffs counted at the server, rows and fingerprints read from the ledger."""

import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from engine_bench import Bench, Faults, bench, jobs, serving

from batchcrew.base.reasons import reason_fingerprint
from batchcrew.config.crews import RemoteCrew
from batchcrew.config.limits import Canary, FailureLimit, MaxKickoffs
from batchcrew.config.settings import RetrySettings
from batchcrew.engine import Stop
from batchcrew.ledger import Ledger
from batchcrew.model.events import Warned
from batchcrew.model.job import JobState, Location
from batchcrew.model.run import StopReason
from batchcrew.server import CrewServer

pytestmark = pytest.mark.crash  # takes long

ONCE = RetrySettings(attempts=1)


async def again(made: Bench, server: CrewServer | None = None, **settings: Any) -> None:
    """The next run, against another server if one is given."""
    made.stop = Stop()
    made.settings = made.settings.model_copy(update=settings)
    if server is not None:
        made.urls = {"default": server.url}
        made.crews = {"default": RemoteCrew.model_validate({"url": "http://unused", "token": server.token})}
    await made.run()


def ledger_rows(path: Path, query: str) -> list[Any]:
    """To be called when no run is on."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize(("concurrency", "kickoffs"), [(1, 10), (4, 10), (10, 10), (25, 25)])
@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_hopeless_crew_costs_ten_kickoffs_or_as_many_as_were_started_at_once(
    tmp_path: Path, concurrency: int, kickoffs: int, attempts: int
) -> None:
    retry = RetrySettings(attempts=attempts, backoff=0.001, max=0.001)
    async with CrewServer(serving(fail_rate=1.0)) as server:
        made = bench(tmp_path, server, concurrency=concurrency, retry=retry)
        await made.take_in(jobs(50))
        await made.run()
        assert 10 <= server.stats["kickoffs"] <= kickoffs
    assert made.stop.reason is StopReason.STOP_AFTER_FAILURES
    assert "a rehearsed failure" in made.stop.detail
    counts = await made.counts()
    assert counts.open == 0
    assert counts.pending >= 25


async def test_the_next_run_probes_until_the_crew_works_again(tmp_path: Path) -> None:
    async with CrewServer(serving(fail_rate=1.0)) as failing, CrewServer(serving()) as healthy:
        made = bench(tmp_path, failing, retry=ONCE)
        await made.take_in(jobs(30))
        await made.run()
        for kickoffs in (11, 12):
            await again(made)
            assert failing.stats["kickoffs"] == kickoffs
            assert made.stop.reason is StopReason.STOP_AFTER_FAILURES
            assert any("one job starts as a probe" in event.message for event in made.of(Warned))
        await again(made, healthy)
        assert (failing.stats["kickoffs"], healthy.stats["kickoffs"]) == (12, 18)
        assert made.stop.reason is None
        async with Ledger(made.path, clock=made.clock) as ledger:  # the operator's consent
            key = await ledger.batch("b")
            assert key is not None
            await ledger.retry(key, states=[JobState.FAILED])
        await again(made)
        assert healthy.stats["kickoffs"] == 30
        assert healthy.stats["max_kickoffs_per_job"] == 1
    assert (await made.counts()).succeeded == 30


async def test_retried_jobs_are_probed_too(tmp_path: Path) -> None:
    async with CrewServer(serving(fail_rate=1.0)) as server:
        made = bench(tmp_path, server, retry=ONCE)
        await made.take_in(jobs(10))
        await made.run()
        assert made.stop.reason is StopReason.STOP_AFTER_FAILURES
        async with Ledger(made.path, clock=made.clock) as ledger:
            key = await ledger.batch("b")
            assert key is not None
            await ledger.retry(key, states=[JobState.FAILED])
        await again(made)
        assert server.stats["kickoffs"] == 11
    assert (await made.counts()).pending == 9


async def test_none_turns_it_off(tmp_path: Path) -> None:
    async with CrewServer(serving(fail_rate=1.0)) as server:
        made = bench(tmp_path, server, retry=ONCE, stop_after_failures=None)
        await made.take_in(jobs(30))
        await made.run()
        assert server.stats["kickoffs"] == 30
        assert made.stop.reason is None


@pytest.mark.parametrize(
    ("limit", "least", "most"),
    [
        (FailureLimit(count=15), 15, 19),
        (FailureLimit(share=Decimal("0.5")), 10, 14),
        (FailureLimit(in_a_row=4, count=15), 4, 5),
        (FailureLimit(in_a_row=20, count=3), 3, 7),
    ],
)
async def test_the_first_rule_that_is_met_stops_the_run(
    tmp_path: Path, limit: FailureLimit, least: int, most: int
) -> None:
    async with CrewServer(serving(fail_rate=1.0)) as server:
        made = bench(tmp_path, server, retry=ONCE, stop_after_failures=limit)
        await made.take_in(jobs(50))
        await made.run()
        assert least <= server.stats["kickoffs"] <= most
    assert made.stop.reason is StopReason.STOP_AFTER_FAILURES


async def test_a_probe_that_the_server_refuses_does_not_count(tmp_path: Path) -> None:
    async with (
        CrewServer(serving(fail_rate=1.0)) as failing,
        CrewServer(serving(), faults=Faults(kickoff=[422])) as healthy,
    ):
        made = bench(tmp_path, failing, retry=ONCE)
        await made.take_in(jobs(15))
        await made.run()
        await again(made, healthy)
        assert healthy.stats["kickoffs"] == 4
    counts = await made.counts()
    assert (counts.succeeded, counts.failed) == (4, 11)


async def test_a_canary_and_a_budget_hold_as_well(tmp_path: Path) -> None:
    async with CrewServer(serving(fail_rate=1.0)) as server:
        made = bench(tmp_path, server, retry=ONCE, canary=Canary(jobs=4))
        await made.take_in(jobs(20))
        await made.run()
        assert (server.stats["kickoffs"], made.stop.reason) == (4, StopReason.CANARY)
        await again(made, canary=None, max_kickoffs=MaxKickoffs(run=3))
        assert (server.stats["kickoffs"], made.stop.reason) == (7, StopReason.LIMIT)
        await again(made, max_kickoffs=None)
        assert (server.stats["kickoffs"], made.stop.reason) == (10, StopReason.STOP_AFTER_FAILURES)
        made.stop = Stop()
        await made.run(limit=0)  # --watch-only starts no probe either
        assert (server.stats["kickoffs"], made.stop.reason) == (10, StopReason.LIMIT)


async def test_a_healthy_crew_with_scattered_failures_is_not_stopped(tmp_path: Path) -> None:
    async with CrewServer(serving(fail_rate=0.3)) as server:
        made = bench(tmp_path, server, retry=ONCE)
        await made.take_in(jobs(80))
        await made.run()
        assert server.stats["kickoffs"] == 80
    assert made.stop.reason is None


async def test_a_permanent_reason_is_not_retried(tmp_path: Path) -> None:
    for never, kickoffs in (("no way to * could",), 2), (("another reason",), 6), (("no way", "!rehearsed"), 6):
        async with CrewServer(serving(fail_rate=1.0)) as server:
            folder = tmp_path / never[-1].strip("!")
            folder.mkdir()
            made = bench(folder, server, retry=RetrySettings(backoff=0.01, max=0.01, never=never))
            await made.take_in(jobs(2))
            await made.run()
            assert server.stats["kickoffs"] == kickoffs
        assert (await made.counts()).failed == 2


async def test_fingerprints_are_written_and_reset_with_their_reasons(tmp_path: Path) -> None:
    async with CrewServer(serving(fail_rate=1.0)) as failing, CrewServer(serving()) as healthy:
        made = bench(tmp_path, failing, retry=RetrySettings(attempts=2, backoff=0.01, max=0.01))
        await made.take_in(jobs(3))
        await made.run()
        rows = ledger_rows(made.path, "SELECT reason, reason_fingerprint FROM jobs")
        rows += ledger_rows(made.path, "SELECT reason, reason_fingerprint FROM attempt_history")
        assert len(rows) == 9
        assert all(fingerprint == reason_fingerprint(reason) for reason, fingerprint in rows)
        assert len({fingerprint for _, fingerprint in rows}) == 1
        async with Ledger(made.path, clock=made.clock) as ledger:
            key = await ledger.batch("b")
            assert key is not None
            await ledger.retry(key, states=[JobState.FAILED], job_ids=["job-0"])
        given = jobs(2)
        given[1].inputs["changed"] = "yes"
        await made.take_in(given)
        query = "SELECT job_id, state, reason, reason_fingerprint IS NULL FROM jobs ORDER BY job_id LIMIT 2"
        assert ledger_rows(made.path, query) == [("job-0", "pending", None, 1), ("job-1", "pending", None, 1)]
        await again(made, healthy)
    query = "SELECT state, reason, reason_fingerprint FROM jobs WHERE present ORDER BY job_id"
    assert ledger_rows(made.path, query) == [("succeeded", None, None)] * 2
    ended = "SELECT reason, reason_fingerprint FROM attempts WHERE state = 'succeeded'"
    assert ledger_rows(made.path, ended) == [(None, None)] * 2


async def test_an_execution_that_is_attached_has_no_reason_any_more(tmp_path: Path) -> None:
    async with CrewServer(serving(fail_rate=1.0)) as server:
        made = bench(tmp_path, server, retry=ONCE)
        await made.take_in(jobs(1))
        await made.run()
    async with Ledger(made.path, clock=made.clock) as ledger:
        key = await ledger.batch("b")
        assert key is not None
        run_id = await ledger.open_run(key.id, pid=1, host="h", version="v", kind="attach")
        await ledger.attach(key, run_id, [(Location("ids.csv", 2), "job-0", "another-id")])
    query = "SELECT state, reason, reason_fingerprint FROM jobs"
    assert ledger_rows(made.path, query) == [("open", None, None)]


async def test_a_kickoff_in_doubt_may_have_cost_as_much_as_another(tmp_path: Path) -> None:
    faults = Faults(kickoff=["drop_after_accept"])
    async with CrewServer(serving(idempotency=False), faults=faults) as server:
        made = bench(tmp_path, server)
        await made.take_in(jobs(3))
        result = await made.run()
        assert server.stats["kickoffs"] == 4
    assert (result.by_crew["default"], result.in_doubt["default"]) == (3, 1)

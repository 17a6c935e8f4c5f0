"""Retries and new jobs of one crew, with the real engine, ledger and server."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from engine_bench import bench, jobs, serving

from batchcrew.base.clock import SystemClock, to_text
from batchcrew.config.settings import RetrySettings
from batchcrew.engine import retry
from batchcrew.engine.limits.retry_budget import A_MINUTE
from batchcrew.ledger import BatchLock, Ledger
from batchcrew.model.attempt import AttemptState, Outcome
from batchcrew.model.events import RetriesHeldBack
from batchcrew.model.job import JobState
from batchcrew.model.views import DueRetries
from batchcrew.reports.as_json import status_json
from batchcrew.reports.tables import render_status
from batchcrew.server import CrewServer, Spread

AGAIN = RetrySettings(attempts=2, backoff=0.001, on=("crew_error",))
RETRY = Outcome(attempt_state=AttemptState.FAILED, job_state=JobState.PENDING, reason="r", retry_in=0.0)


def numbers_in_order(path: Path) -> list[int]:
    """The numbers of the batch's attempts, in the order in which they were claimed."""
    connection = sqlite3.connect(path)
    try:
        return [number for (number,) in connection.execute("SELECT number FROM attempts ORDER BY rowid")]
    finally:
        connection.close()


async def test_new_jobs_come_before_the_retries_for_which_there_is_no_budget(tmp_path: Path) -> None:
    async with Ledger(tmp_path / "ledger.db", clock=SystemClock()) as ledger:
        staged = await ledger.stage("b", jobs(8))
        key = await ledger.ingest("b", jobfile="j", digest="d", columns=staged.plan.columns)
        run_id = await ledger.open_run(key.id, pid=1, host="h", version="v")
        for attempt in (await ledger.claim(key, run_id, crew="default", limit=4)).attempts:
            await ledger.ended(attempt, RETRY)
        held = await ledger.claim(key, run_id, crew="default", limit=3, retries=1)
        assert [each.job_id for each in held.attempts] == ["job-0", "job-4", "job-5"]
        assert (held.retries, held.retries_held_back) == (1, True)
        rest = await ledger.claim(key, run_id, crew="default", limit=9, retries=1)
        assert [each.job_id for each in rest.attempts] == ["job-1", "job-6", "job-7", "job-2", "job-3"]
        assert (rest.retries, rest.retries_held_back) == (3, False)


async def test_the_status_of_a_running_batch_shows_the_retries_that_wait(tmp_path: Path) -> None:
    path, clock = tmp_path / "ledger.db", SystemClock()
    async with Ledger(path, clock=clock) as ledger:
        staged = await ledger.stage("b", jobs(5))
        key = await ledger.ingest("b", jobfile="j", digest="d", columns=staged.plan.columns)
        run_id = await ledger.open_run(key.id, pid=1, host="h", version="v")
        for attempt in (await ledger.claim(key, run_id, crew="default", limit=3)).attempts:
            later = RETRY if attempt.job_id != "job-0" else replace(RETRY, retry_in=3600.0)
            await ledger.ended(attempt, later)
        assert (await ledger.status(key)).due_retries == ()
        async with BatchLock(path, "b", since=to_text(clock.now())):
            status = await ledger.status(key)
    assert status.due_retries == (DueRetries(crew="default", retries=2, new_jobs=2),)
    assert "  retries: crew default has 2 that are due, and 2 new jobs; new jobs" in render_status(status, clock.now())
    assert status_json(status)["due_retries"] == [{"crew": "default", "retries": 2, "new_jobs": 2}]


async def test_a_slot_is_never_left_unused_for_the_budget(tmp_path: Path) -> None:
    async with CrewServer(serving(execution_time=Spread(0.0), fail_rate=1.0)) as server:
        made = bench(tmp_path, server, concurrency=12, retry=AGAIN, stop_after_failures=None)
        await made.take_in(jobs(12))
        await made.run()
        assert server.stats["kickoffs"] == 24
    assert (await made.counts()).failed == 12


@pytest.mark.parametrize("single_pass", [False, True])
async def test_failing_executions_do_not_drown_new_jobs(tmp_path: Path, single_pass: bool) -> None:
    number = 30
    async with CrewServer(serving(execution_time=Spread(0.0), fail_rate=1.0)) as server:
        made = bench(tmp_path, server, concurrency=5, retry=AGAIN, stop_after_failures=None)
        await made.take_in(jobs(number))
        await (made.tick_to_the_end() if single_pass else made.run())
    order = numbers_in_order(made.path)
    assert (len(order), order.count(2)) == (2 * number, number)
    before_the_last_new_job = order[: len(order) - order[::-1].index(1)]
    assert before_the_last_new_job.count(2) <= A_MINUTE + len(before_the_last_new_job) / 5
    if not single_pass:
        assert len(made.of(RetriesHeldBack)) == 1


def test_a_refused_kickoff_is_retried_at_once() -> None:
    outcome = retry.refused("429")
    assert (outcome.attempt_state, outcome.job_state, outcome.retry_in) == (
        AttemptState.REJECTED,
        JobState.PENDING,
        0.0,
    )

"""Kickoffs that are answered with a success code and an error, or a login page, in place of a kickoff id."""

from pathlib import Path
from typing import Any

import pytest
from engine_bench import Bench, Faults, bench, jobs, serving

from batchcrew.config.settings import RetrySettings
from batchcrew.engine import Stop
from batchcrew.model.job import JobState
from batchcrew.model.run import StopReason
from batchcrew.server import CrewServer
from batchcrew.server.faults import Fault

ERROR = Fault(status=200, body='{"error": "Insufficient credits"}')
LOGIN = Fault(status=200, body='<html><title>Sign in</title><input type="password"></html>')
UNCERTAIN = Fault(status=200, started=True, body='{"error": "Task timed out after 30 seconds"}')
SOON = RetrySettings(attempts=3, backoff=0.01, max=0.01)


async def attempts_of(made: Bench, job_id: str) -> list[str]:
    return [attempt.state.value for attempt in (await made.job(job_id)).attempts]


@pytest.mark.parametrize("answer", [ERROR, LOGIN])
@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
async def test_three_in_a_row_stop_the_crew_and_no_job_fails(tmp_path: Path, answer: Fault, delivery: Any) -> None:
    async with CrewServer(serving(idempotency=False), faults=Faults(kickoff=[answer] * 3)) as server:
        made = bench(tmp_path, server, delivery=delivery, concurrency=1, retry=SOON)
        await made.take_in(jobs(10))
        result = await made.run()
        assert made.stop.reason is StopReason.CREW_UNUSABLE
        assert (result.kickoffs, server.stats["kickoffs"]) == (0, 0)
        assert (await made.counts()).pending == 10
        made.stop = Stop()
        await made.run()
        assert (server.stats["kickoffs"], server.stats["max_kickoffs_per_job"]) == (10, 1)
    counts = await made.counts()
    assert (counts.succeeded, counts.possible_duplicates) == (10, 0)


async def test_a_single_one_is_retried_also_at_most_once(tmp_path: Path) -> None:
    faults = Faults(kickoff=[ERROR, 200, LOGIN])
    async with CrewServer(serving(idempotency=False), faults=faults) as server:
        made = bench(tmp_path, server, delivery="at_most_once", concurrency=1, retry=SOON)
        await made.take_in(jobs(3))
        await made.run()
        assert (server.stats["kickoffs"], server.stats["max_kickoffs_per_job"]) == (3, 1)
    counts = await made.counts()
    assert (counts.succeeded, counts.possible_duplicates) == (3, 0)


async def test_it_uses_up_an_attempt_so_that_one_job_does_not_retry_forever(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(kickoff=[ERROR, 200])) as server:
        made = bench(tmp_path, server, concurrency=1, retry=RetrySettings(attempts=1))
        await made.take_in(jobs(2))
        await made.run()
    first, second = await made.rows()
    assert (first.state, first.attempts_used, second.state) == (JobState.FAILED, 1, JobState.SUCCEEDED)
    assert "Insufficient credits" in (first.reason or "")
    assert await attempts_of(made, "job-0") == ["rejected"]


async def test_an_error_that_may_come_after_the_start_is_in_doubt(tmp_path: Path) -> None:
    async with CrewServer(serving(idempotency=False), faults=Faults(kickoff=[UNCERTAIN])) as server:
        made = bench(tmp_path, server, delivery="at_most_once", concurrency=1)
        await made.take_in(jobs(1))
        await made.run()
        assert server.stats["kickoffs"] == 1
    assert (await made.counts()).held == 1


async def test_a_key_that_was_sent_before_is_not_given_up_for_an_error(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(kickoff=["drop_after_accept", ERROR])) as server:
        made = bench(tmp_path, server, delivery="at_most_once", concurrency=1)
        await made.take_in(jobs(1))
        await made.run()
        assert server.stats["kickoffs"] == 1
    assert await attempts_of(made, "job-0") == ["succeeded"]

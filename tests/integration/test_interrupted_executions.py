"""Executions that end with the run that serves their crew: no failure, no doubt, no attempt used, started again."""

import json
from pathlib import Path

import pytest
from engine_bench import Bench, bench, jobs, serving
from pydantic import SecretStr

from batchcrew.base.serving import INTERRUPTED
from batchcrew.config.crews import ServedCrew, ServeSettings
from batchcrew.config.settings import Delivery, RetrySettings
from batchcrew.engine import Stop
from batchcrew.engine.draining import UNKNOWN_SECONDS
from batchcrew.model.attempt import AttemptState
from batchcrew.model.job import JobState
from batchcrew.server import CrewServer, Faults, Spread
from batchcrew.server.faults import Fault

HOURS = Spread(36_000.0)
TOKEN = "of-both-servers"
ONCE = RetrySettings(attempts=1)


async def interrupted_run(path: Path, *, delivery: Delivery) -> Bench:
    """Kick off three executions of a crew that the run serves, and end the run with its server."""
    async with CrewServer(serving(execution_time=HOURS, token=TOKEN)) as server:
        made = bench(path, server, concurrency=3, delivery=delivery, retry=ONCE)
        crew = ServedCrew(serve=ServeSettings(target="a:b"), token=SecretStr(server.token))
        made.crews, made.urls = {"default": crew}, {"default": server.url}
        await made.take_in(jobs(5))
        made.stop_after_kickoffs = 3
        result = await made.run()
        assert result.kickoffs == 3
        assert (await made.counts()).open == 3
    made.stop, made.stop_after_kickoffs = Stop(), None
    return made


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
@pytest.mark.parametrize("keeps", ["with state", "without state"])
async def test_interrupted_executions_start_again_at_once(tmp_path: Path, delivery: Delivery, keeps: str) -> None:
    made = await interrupted_run(tmp_path, delivery=delivery)
    said = Fault(status=200, body=json.dumps({"status": "error", "error": INTERRUPTED}))
    faults = Faults(status=[said] * 3) if keeps == "with state" else None
    async with CrewServer(serving(token=TOKEN), faults=faults) as server:
        made.urls = {"default": server.url}
        result = await made.run()
        assert (result.interrupted, sorted(result.interrupted_jobs)) == (3, ["job-0", "job-1", "job-2"])
        assert server.stats["kickoffs"] == 5, "each job once; the executions that were interrupted ran elsewhere"
    counts = await made.counts()
    assert (counts.succeeded, counts.total) == (5, 5)
    for row in await made.rows():
        assert (row.attempts_used, row.possible_duplicate) == (1, False)
    first = (await made.job("job-0")).attempts
    assert [attempt.state for attempt in first] == [AttemptState.CANCELLED, AttemptState.SUCCEEDED]
    assert first[0].reason == "interrupted: the execution ended with the run that served its crew"


async def test_a_deployed_crew_that_forgets_an_execution_is_another_case(tmp_path: Path) -> None:
    """Only a run that served the crew knows that the execution has ended."""
    async with CrewServer(
        serving(token=TOKEN),
        faults=Faults(status=[Fault(status=200, body=json.dumps({"status": "error", "error": INTERRUPTED}))]),
    ) as server:
        made = bench(tmp_path, server, concurrency=1, retry=ONCE)
        await made.take_in(jobs(1))
        result = await made.run()
    assert (result.interrupted, (await made.counts()).failed) == (0, 1)


@pytest.mark.parametrize("drain", [None, 60.0, 0.0])
async def test_max_runtime_waits_for_executions_that_end_with_the_run(tmp_path: Path, drain: float | None) -> None:
    async with CrewServer(serving(execution_time=Spread(0.2), token=TOKEN)) as server:
        made = bench(tmp_path, server, concurrency=2, max_runtime=0.05)
        crew = ServedCrew(serve=ServeSettings(target="a:b", drain=drain), token=SecretStr(server.token))
        made.crews, made.urls = {"default": crew}, {"default": server.url}
        await made.take_in(jobs(200))
        result = await made.run()
        counts = await made.counts()
        assert counts.left, "it stopped at max_runtime"
        if drain == 0.0:
            assert counts.open == result.kickoffs - counts.succeeded
        else:
            assert (counts.open, counts.succeeded) == (0, result.kickoffs)
    assert UNKNOWN_SECONDS == 60.0
    assert all(row.state in {JobState.SUCCEEDED, JobState.PENDING, JobState.OPEN} for row in await made.rows())

"""The crew's server is unreachable or gives invalid answers: no paid execution is given up."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from engine_bench import Bench, Faults, bench, jobs, serving

from batchcrew.config.settings import BreakerSettings, PollSettings
from batchcrew.engine import Stop
from batchcrew.model.attempt import AttemptState
from batchcrew.model.job import JobState
from batchcrew.model.run import StopReason
from batchcrew.server import CrewServer, Spread
from batchcrew.server.faults import Fault, Route

pytestmark = pytest.mark.crash  # takes long

How = Literal["run", "ticks", "a run that begins after the deadline"]
HOWS: tuple[How, ...] = ("run", "ticks", "a run that begins after the deadline")
AT_ONCE = Spread(0.0)
"""An execution time: it has ended before the first poll."""
FOREVER = Spread(3600.0)
OVERDUE = 0.001
"""A timeout that is over before the first poll."""
PATIENT = BreakerSettings(failures=1000, rate=Decimal(1), sample=10_000)
QUICK = PollSettings(initial=0.005, factor=1.5, max=0.02, settle=0)
OUTAGES: dict[str, int | str | Fault] = {
    "502": 502,
    "503": Fault(status=503),
    "no answer": "drop_before_accept",
    "a login page": Fault(status=200, body="<html><title>Sign in</title></html>"),
    "an error object in a 200": Fault(status=200, body='{"error": "upstream is restarting"}'),
    "half of the answer": Fault(status=200, body='{"status": "comp'),
}


def says(**answer: Any) -> Fault:
    return Fault(status=200, body=json.dumps(answer))


class Polls(Faults):
    """The same answer to every poll; a run leaves once it has had a few of them."""

    def __init__(self, *script: Fault, last: Fault) -> None:
        super().__init__(status=script)
        self._last = last
        self._polls = 0
        self.stop = Stop()

    def next(self, route: Route) -> Fault | None:
        if route == "kickoff":
            return None
        self._polls += 1
        if self._polls % 4 == 0:  # the run has read the answers to the polls before
            self.stop.request(StopReason.SIGNAL, "stopped by a test", leave=True)
        return super().next(route) or self._last

    async def run(self, made: Bench) -> None:
        """Run until a few polls have been answered."""
        made.stop = self.stop = Stop()
        await made.run()


async def to_the_end(made: Bench, how: How) -> None:
    if how == "ticks":
        await made.tick_to_the_end()
        return
    if how != "run":
        made.stop_after_kickoffs = 1
        await made.run()
        assert (await made.counts()).open == 1
        made.stop, made.stop_after_kickoffs = Stop(), None
    await made.run()


async def attempts_of(made: Bench, job_id: str = "job-0") -> list[AttemptState]:
    return [attempt.state for attempt in (await made.job(job_id)).attempts]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
async def test_an_execution_that_ended_in_an_outage_past_its_deadline_counts_as_finished(
    tmp_path: Path, outage: int | str | Fault, how: How
) -> None:
    async with CrewServer(serving(execution_time=AT_ONCE), faults=Faults(status=[outage] * 12)) as server:
        made = bench(tmp_path, server, timeout=OVERDUE, poll=QUICK, breaker=PATIENT)
        await made.take_in(jobs(1))
        await to_the_end(made, how)
        assert server.stats["kickoffs"] == 1
    assert await attempts_of(made) == [AttemptState.SUCCEEDED]


@pytest.mark.parametrize("how", HOWS)
async def test_it_is_overdue_once_the_crew_says_that_it_still_runs(tmp_path: Path, how: How) -> None:
    async with CrewServer(serving(execution_time=FOREVER), faults=Faults(status=[502] * 5)) as server:
        made = bench(tmp_path, server, timeout=OVERDUE, poll=QUICK, breaker=PATIENT)
        await made.take_in(jobs(1))
        await to_the_end(made, how)
    assert await attempts_of(made) == [AttemptState.TIMED_OUT]
    (row,) = await made.rows()
    assert "last status 'running'" in (row.reason or "")


@pytest.mark.parametrize("on", ["api", "crew_error"])
@pytest.mark.parametrize("limit", [None, 0])
async def test_a_lasting_outage_ends_the_run_and_leaves_the_attempt_open(
    tmp_path: Path, on: Any, limit: int | None
) -> None:
    """Also where the breaker does not count it (`on`), and where nothing may start (`--watch-only`)."""
    breaker = BreakerSettings(failures=3, pause=0.05, give_up=0.3, on=(on,))
    async with CrewServer(serving(execution_time=AT_ONCE), faults=Faults(status=[502] * 10_000)) as server:
        made = bench(tmp_path, server, timeout=OVERDUE, poll=QUICK, breaker=breaker)
        await made.take_in(jobs(1))
        made.stop_after_kickoffs = 1
        await made.run()
        made.stop, made.stop_after_kickoffs = Stop(), None
        await made.run(limit=limit)
        assert made.stop.reason is StopReason.CREW_UNUSABLE
        assert "502 Bad Gateway" in made.stop.detail
    assert await attempts_of(made) == [AttemptState.KICKED_OFF]


async def test_ticks_also_give_up_after_a_lasting_outage(tmp_path: Path) -> None:
    breaker = BreakerSettings(failures=1000, rate=Decimal(1), sample=10_000, give_up=0.3)
    async with CrewServer(serving(execution_time=AT_ONCE), faults=Faults(status=[502] * 10_000)) as server:
        made = bench(tmp_path, server, timeout=OVERDUE, poll=QUICK, breaker=breaker)
        await made.take_in(jobs(1))
        await made.tick_to_the_end()
        assert made.stop.reason is StopReason.CREW_UNUSABLE
    assert await attempts_of(made) == [AttemptState.KICKED_OFF]


async def test_max_runtime_ends_a_run_during_an_outage(tmp_path: Path) -> None:
    async with CrewServer(serving(execution_time=AT_ONCE), faults=Faults(status=[502] * 10_000)) as server:
        made = bench(tmp_path, server, timeout=OVERDUE, poll=QUICK, breaker=PATIENT)
        await made.take_in(jobs(1))
        made.stop_after_kickoffs = 1
        await made.run()
        made.stop, made.stop_after_kickoffs = Stop(), None
        made.settings = made.settings.model_copy(update={"max_runtime": 0.3})
        await made.run()
    assert made.stop.reason is StopReason.MAX_RUNTIME
    assert await attempts_of(made) == [AttemptState.KICKED_OFF]


@pytest.mark.parametrize("code", [401, 403])
async def test_a_401_past_the_deadline_stops_the_run_and_the_attempt_stays(tmp_path: Path, code: int) -> None:
    async with CrewServer(serving(execution_time=AT_ONCE), faults=Faults(status=[code])) as server:
        made = bench(tmp_path, server, timeout=OVERDUE, poll=QUICK)
        await made.take_in(jobs(1))
        await made.run()
        assert made.stop.reason is StopReason.CREW_UNUSABLE
    assert await attempts_of(made) == [AttemptState.KICKED_OFF]


EMPTY = [
    says(status="completed", result=None),
    says(status="completed"),
    says(status="completed", result={"output": "", "tasks": []}),
    says(state="SUCCESS", result="", result_json=None),
]


@pytest.mark.parametrize("how", HOWS)
async def test_completed_without_an_output_is_polled_again(tmp_path: Path, how: How) -> None:
    """Also past the deadline: an execution that is completed is not "still running"."""
    async with CrewServer(serving(execution_time=AT_ONCE), faults=Faults(status=EMPTY)) as server:
        made = bench(tmp_path, server, timeout=OVERDUE, poll=QUICK.model_copy(update={"settle": 3600.0}))
        await made.take_in(jobs(1))
        await to_the_end(made, how)
    (row,) = await made.rows()
    assert row.state is JobState.SUCCEEDED
    assert "demo crew" in (row.output or "")


@pytest.mark.parametrize("how", HOWS)
async def test_an_output_that_does_not_come_is_waited_for_as_long_as_the_file_says(tmp_path: Path, how: How) -> None:
    async with CrewServer(serving(execution_time=AT_ONCE), faults=Faults(status=EMPTY[:1] * 10_000)) as server:
        made = bench(tmp_path, server, poll=QUICK.model_copy(update={"settle": 0.3}))
        await made.take_in(jobs(1))
        began = made.clock.monotonic()
        await to_the_end(made, how)
        assert made.clock.monotonic() - began >= 0.3
        assert server.stats["kickoffs"] == 1
    (row,) = await made.rows()
    assert (row.state, row.output) == (JobState.SUCCEEDED, None)


async def test_settle_0_takes_the_first_answer(tmp_path: Path) -> None:
    async with CrewServer(serving(execution_time=AT_ONCE), faults=Faults(status=EMPTY)) as server:
        made = bench(tmp_path, server, poll=QUICK)
        await made.take_in(jobs(1))
        await made.run()
    (row,) = await made.rows()
    assert (row.state, row.output) == (JobState.SUCCEEDED, None)


@pytest.mark.parametrize("word", ["cancelled", "REVOKED", "timed out"])
async def test_a_final_word_that_does_not_mean_success_fails_the_job(tmp_path: Path, word: str) -> None:
    answer = says(state=word, error="over budget")
    async with CrewServer(serving(execution_time=FOREVER), faults=Faults(status=[answer] * 3)) as server:
        made = bench(tmp_path, server, poll=QUICK)
        await made.take_in(jobs(1))
        await made.run()
        assert server.stats["kickoffs"] == 3  # `retry` counts it as a crew_error
    (row,) = await made.rows()
    assert (row.state, row.reason) == (JobState.FAILED, f"{word}: over budget")


@pytest.mark.parametrize("how", ["run", "ticks"])
async def test_a_lasting_status_word_is_shown_and_appears_in_the_reason(tmp_path: Path, how: How) -> None:
    warming = says(status="warming up")
    polls = Polls(last=warming)
    async with CrewServer(serving(execution_time=FOREVER), faults=polls) as server:
        made = bench(tmp_path, server, timeout=600, poll=QUICK)
        await made.take_in(jobs(1))
        await polls.run(made)
        (flight,) = (await made.status()).in_flight
        assert (flight.status_word, flight.unclear_answer) == ("warming up", None)
        (attempt,) = (await made.job("job-0")).attempts
        assert attempt.status_word == "warming up"
        made.stop, made.settings = Stop(), made.settings.model_copy(update={"timeout": OVERDUE})
        await (made.run() if how == "run" else made.tick_to_the_end())
    (row,) = await made.rows()
    assert "last status 'warming up'" in (row.reason or "")


@pytest.mark.parametrize("how", ["run", "ticks"])
async def test_an_unreadable_answer_that_lasts_is_shown_until_a_clear_one_comes(tmp_path: Path, how: How) -> None:
    nonsense = Fault(status=200, body="<html><title>Sign in</title></html>")
    polls = Polls(says(status="warming up"), *[nonsense] * 8, last=says(status="running"))
    async with CrewServer(serving(execution_time=FOREVER), faults=polls) as server:
        made = bench(tmp_path, server, poll=QUICK, breaker=PATIENT)
        await made.take_in(jobs(1))
        shown: list[tuple[str | None, str | None]] = []
        while not shown or shown[-1] != ("running", None):
            made.stop = Stop()
            await (polls.run(made) if how == "run" else made.run(once=True))
            (flight,) = (await made.status()).in_flight
            shown.append((flight.status_word, flight.unclear_answer))
    if how == "ticks":  # one poll each: every state is seen
        assert any(word == "warming up" and "Sign in" in (unclear or "") for word, unclear in shown)
    else:
        assert shown[-1] == ("running", None)

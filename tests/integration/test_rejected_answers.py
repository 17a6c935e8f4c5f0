"""Rejected answers in runs, ticks and rechecks: what is kept, stopped and retried."""

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from engine_bench import SOON, Bench, Faults, bench, jobs, serving
from test_recheck import look_again, overdue

from batchcrew.config.limits import Canary, FailureLimit
from batchcrew.config.settings import RetrySettings
from batchcrew.engine import Stop
from batchcrew.jobfile.answer_rules import Contains, JobFileRules, MinLength, NotEmpty, Rule
from batchcrew.ledger import Ledger
from batchcrew.model.attempt import AttemptState
from batchcrew.model.events import AttemptEnded
from batchcrew.model.exit_codes import ExitCode
from batchcrew.model.job import JobState, Location
from batchcrew.model.run import StopReason
from batchcrew.reports.rechecks import Finding
from batchcrew.server import CrewServer, Spread
from batchcrew.server.faults import Fault

SILENT = Fault(status=200, body='{"status": "completed", "result": null}')
SORRY = Fault(status=200, body=json.dumps({"status": "completed", "result": "I'm sorry, I cannot help with that."}))
NOTHING = JobFileRules([Contains("what no answer contains")])
ON_REJECTED = RetrySettings(attempts=3, backoff=SOON.backoff, max=SOON.max, on=("crew_error", "rejected"))


def ruled(folder: Path, server: CrewServer, *rules: Rule, **settings: Any) -> Bench:
    made = bench(folder, server, **settings)
    made.rules = JobFileRules(rules) if rules else JobFileRules()
    return made


def column(path: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return [row[0] for row in connection.execute(query)]
    finally:
        connection.close()


@pytest.mark.parametrize(("once", "dialect"), [(False, "guide"), (True, "guide"), (False, "live")])
async def test_a_rejected_answer_fails_its_job_and_keeps_all_that_was_paid_for(
    tmp_path: Path, once: bool, dialect: str
) -> None:
    async with CrewServer(serving(execution_time=Spread(0.0), dialect=dialect)) as server:
        made = ruled(tmp_path, server, MinLength(1_000_000), stop_after_failures=None)
        await made.take_in(jobs(3))
        await (made.tick_to_the_end() if once else made.run())
        assert server.stats["kickoffs"] == 3
    detail = await made.job("job-0")
    (attempt,) = detail.attempts
    assert (detail.state, attempt.state) == (JobState.FAILED, AttemptState.FAILED)
    assert attempt.reason is not None
    assert attempt.reason.startswith("answer rejected: shorter than min_length (")
    assert attempt.output
    assert attempt.tasks if dialect == "guide" else attempt.token_usage
    assert [bool(row.output) and row.state is JobState.FAILED for row in await made.rows()] == [True] * 3
    (rule,) = set(column(made.path, "SELECT answer_rejected FROM attempts"))
    assert attempt.reason == f"answer rejected: {rule}"
    assert column(made.path, "SELECT count(output) FROM results WHERE state = 'failed'") == [3]


async def test_an_empty_answer_is_rejected_once_it_has_settled(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(status=[SILENT])) as server:
        made = ruled(tmp_path, server, poll={"initial": 0.01, "max": 0.05, "settle": 0.0})
        await made.take_in(jobs(1))
        await made.run()
        assert server.stats["kickoffs"] == 1
    assert (await made.job("job-0")).attempts[0].reason == "answer rejected: it is empty"


async def test_a_rejected_answer_is_retried_only_where_the_file_says_so(tmp_path: Path) -> None:
    for retry, kickoffs in ((SOON, 2), (ON_REJECTED, 6)):
        folder = tmp_path / str(kickoffs)
        folder.mkdir()
        async with CrewServer(serving()) as server:
            made = bench(folder, server, retry=retry)
            made.rules = NOTHING
            await made.take_in(jobs(2))
            await made.run()
            assert server.stats["kickoffs"] == kickoffs
        assert (await made.counts()).failed == 2


async def test_a_retried_answer_that_is_accepted_succeeds(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(status=[SORRY])) as server:
        made = ruled(tmp_path, server, NotEmpty(), MinLength(100), retry=ON_REJECTED, concurrency=1)
        await made.take_in(jobs(1))
        await made.run()
        assert server.stats["kickoffs"] == 2
    detail = await made.job("job-0")
    assert detail.state is JobState.SUCCEEDED
    assert [attempt.state for attempt in detail.attempts] == [AttemptState.FAILED, AttemptState.SUCCEEDED]


async def test_rejected_answers_fail_the_canary(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server, canary=Canary(jobs=4))
        made.rules = NOTHING
        await made.take_in(jobs(10))
        await made.run()
        assert server.stats["kickoffs"] == 4
    assert made.stop.reason is StopReason.CANARY


@pytest.mark.parametrize(("limit", "kickoffs"), [({"in_a_row": 3}, 3), ({"count": 4}, 4)])
async def test_rejected_answers_stop_the_run(tmp_path: Path, limit: Mapping[str, Any], kickoffs: int) -> None:
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server, stop_after_failures=FailureLimit(**limit), concurrency=1)
        made.rules = NOTHING
        await made.take_in(jobs(10))
        await made.run()
        assert server.stats["kickoffs"] == kickoffs
    assert made.stop.reason is StopReason.STOP_AFTER_FAILURES
    assert (await made.counts()).failed == kickoffs


async def test_a_run_without_rules_counts_every_answer(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(status=[SORRY])) as server:
        made = bench(tmp_path, server)
        await made.take_in(jobs(1))
        await made.run()
    assert (await made.counts()).succeeded == 1


async def test_answers_that_look_like_none_are_counted_with_an_example(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(status=[SORRY, SORRY])) as server:
        made = ruled(tmp_path, server, concurrency=1)
        await made.take_in(jobs(3))
        result = await made.run()
    assert (result.lookalikes, result.lookalike_example) == (2, ("job-0", "an apology"))
    assert (await made.counts()).succeeded == 3


async def test_a_rule_sees_the_row_and_the_inputs_that_were_sent(tmp_path: Path) -> None:
    seen: list[tuple[str, dict[str, Any], dict[str, Any]]] = []

    class Sees(Rule):
        def rejects(self, answer: Any) -> str | None:
            answered = answer.answered
            seen.append((answered.job_id, dict(answered.row), dict(answered.inputs)))
            return None

    async with CrewServer(serving()) as server:
        made = ruled(tmp_path, server, Sees())
        assert isinstance(made.rules, JobFileRules)
        made.rules.needs_row = True
        await made.take_in(jobs(1))
        await made.run()
    assert seen == [("job-0", {"id": "job-0"}, {**jobs(1)[0].inputs})]


async def test_a_large_answer_is_judged_outside_the_loop_and_kept(tmp_path: Path) -> None:
    text = "x" * 2_000_000
    large = Fault(status=200, body=json.dumps({"status": "completed", "result": text}))
    async with CrewServer(serving(), faults=Faults(status=[large] * 2)) as server:
        made = ruled(tmp_path, server, MinLength(2_000_001), concurrency=2)
        await made.take_in(jobs(2))
        await made.run()
    assert {row.output for row in await made.rows()} == {text}
    assert (await made.counts()).failed == 2


async def test_a_recheck_judges_as_a_run_does(tmp_path: Path) -> None:
    async with overdue(tmp_path, SORRY, SORRY, number=2) as (made, server):
        path = tmp_path / "jobs.yaml"
        rules = "accept: {contains: Itinerary, expression: \"row.id == 'job-0' and inputs.age == '35'\"}\n"
        path.write_text(path.read_text() + rules)
        result, looks = await look_again(made)
        assert (result.exit_code, result.found) == (ExitCode.JOBS_FAILED, {Finding.FAILED: 2})
        assert {look.detail for look in looks} == {"answer rejected: does not contain: Itinerary"}
        assert server.stats["kickoffs"] == 2
    (attempt,) = (await made.job("job-0")).attempts
    assert (attempt.state, attempt.output) == (AttemptState.FAILED, "I'm sorry, I cannot help with that.")
    assert column(made.path, "SELECT DISTINCT answer_rejected FROM attempts") == ["does not contain: Itinerary"]


async def test_an_attached_execution_is_judged_too(tmp_path: Path) -> None:
    """The rejected answer of an attempt that is watched again is forgotten, and judged again when it ends."""
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server)
        made.rules = NOTHING
        await made.take_in(jobs(1))
        await made.run()
        kickoff_id = (await made.job("job-0")).attempts[0].kickoff_id
        assert kickoff_id is not None
        async with Ledger(made.path, clock=made.clock) as ledger:
            key = await ledger.batch("b")
            assert key is not None
            run_id = await ledger.open_run(key.id, pid=1, host="h", version="v", kind="attach")
            await ledger.attach(key, run_id, [(Location("x"), "job-0", kickoff_id)])
        assert column(made.path, "SELECT answer_rejected FROM attempts") == [None]
        made.stop, made.rules = Stop(), JobFileRules()
        await made.run()
        assert server.stats["kickoffs"] == 1
    (ended,) = made.of(AttemptEnded)
    assert ended.outcome.job_state is JobState.SUCCEEDED


async def test_a_kickoff_that_is_answered_with_its_result_is_judged(tmp_path: Path) -> None:
    answer = Fault(status=200, started=True, body=json.dumps({"result": "too short"}))
    async with CrewServer(serving(), faults=Faults(kickoff=[answer])) as server:
        made = ruled(tmp_path, server, MinLength(1_000))
        await made.take_in(jobs(1))
        await made.run()
        assert server.stats["kickoffs"] == 1
    (row,) = await made.rows()
    assert (row.state, row.output) == (JobState.FAILED, "too short")
    assert (row.reason or "").startswith("answer rejected: shorter than min_length (")

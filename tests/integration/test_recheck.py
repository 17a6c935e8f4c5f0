"""Executions are looked at again, and watched where they were started: kickoffs are counted at the real server."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from engine_bench import Bench, Faults, RateClock, bench, jobs, serving
from pydantic import SecretStr

from batchcrew.app.adopt import attach
from batchcrew.app.ledger_location import recorded_as
from batchcrew.app.recheck import RecheckContext, RecheckRequest, recheck, recorded_source
from batchcrew.app.run import RunRequest, run_batch
from batchcrew.app.wiring import Source
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import CrewUnusable, JobFileError, NotInLedger
from batchcrew.config.crews import RemoteCrew
from batchcrew.config.settings import PollSettings, RetrySettings
from batchcrew.engine import RunEnvironment, Stop
from batchcrew.jobfile import JobFileOptions
from batchcrew.ledger import Ledger, RecordedJobFile
from batchcrew.model.attempt import AttemptState
from batchcrew.model.events import KickedOff, Warned
from batchcrew.model.exit_codes import ExitCode
from batchcrew.model.job import JobState
from batchcrew.model.run import StopReason
from batchcrew.reports.rechecks import Finding, Look, RecheckResult
from batchcrew.server import CrewServer, Spread
from batchcrew.server.faults import Fault

pytestmark = pytest.mark.crash  # takes long

RUNNING = Fault(status=200, body='{"status": "running"}')
NOT_FOUND = Fault(status=404, body='{"error": "not found"}')
CANCELLED = Fault(status=200, body='{"status": "cancelled"}')
EMPTY = Fault(status=200, body='{"status": "completed", "result": null}')
JOB_FILE = """
batch: b
crew: {{url: "{url}", token: "{token}"}}
run: {{poll: {{initial: 5ms, max: 20ms, settle: 0}}}}
jobs: [{{id: job-0}}]
"""


@asynccontextmanager
async def overdue(
    folder: Path, *later: Any, number: int = 1, attempts: int = 1, **settings: Any
) -> AsyncIterator[tuple[Bench, CrewServer]]:
    """Run jobs whose executions all time out while they are running; then the server answers with `later`."""
    script = [RUNNING] * number * attempts
    async with CrewServer(serving(execution_time=Spread(0.0)), faults=Faults(status=[*script, *later])) as server:
        retry = RetrySettings(attempts=attempts, backoff=0.01, max=0.01, on=("timeout",))
        many = {"stop_after_failures": None}  # all of them time out alike
        made = bench(folder, server, **{"timeout": 0.001, "retry": retry, **many, **settings})
        made.crews = {"default": RemoteCrew(url=server.url, token=SecretStr(server.token))}
        write(folder, server)
        await made.take_in(jobs(number))
        await made.run()
        assert (await made.counts()).failed == number
        assert server.stats["kickoffs"] == number * attempts
        yield made, server


def write(folder: Path, server: CrewServer, *, url: str | None = None, token: str | None = None) -> Path:
    path = folder / "jobs.yaml"
    path.write_text(JOB_FILE.format(url=url or server.url, token=token or server.token), encoding="utf-8")
    return path


async def look_again(made: Bench, *job_ids: str, **source: Any) -> tuple[RecheckResult, list[Look]]:
    looks: list[Look] = []
    where = Source(path=made.path.with_name("jobs.yaml"), environ={}, today=date(2026, 1, 1), **source)
    async with Ledger(made.path, clock=made.clock) as ledger:
        key = await ledger.batch("b")
        assert key is not None
        context = RecheckContext(
            stop=Stop(),
            clock=RateClock(50),
            rng=random.Random(1),
            report=looks.append,
            warn=lambda message: None,
        )
        result = await recheck(RecheckRequest(key, job_ids, where), context, ledger=ledger)
    return result, looks


async def attempts_of(made: Bench, job_id: str = "job-0") -> list[AttemptState]:
    return [attempt.state for attempt in (await made.job(job_id)).attempts]


async def test_a_finished_execution_is_taken_and_nothing_is_paid(tmp_path: Path) -> None:
    async with overdue(tmp_path, number=25) as (made, server):
        result, looks = await look_again(made)
        assert (result.exit_code, result.found) == (ExitCode.SUCCEEDED, {Finding.SUCCEEDED: 25})
        assert len(looks) == 25
        rows = await made.rows()
        assert all(row.state is JobState.SUCCEEDED and row.output and row.reason is None for row in rows)
        result, looks = await look_again(made)  # nothing is left to check
        assert (result.exit_code, looks) == (ExitCode.SUCCEEDED, [])
        await made.run()
        assert server.stats["kickoffs"] == 25
    detail = await made.job("job-0")
    assert detail.attempts[0].tasks
    assert detail.attempts[0].reason is None


async def test_only_the_named_jobs_are_looked_at(tmp_path: Path) -> None:
    async with overdue(tmp_path, number=3) as (made, _):
        result, looks = await look_again(made, "job-1")
        assert (result.exit_code, [look.attempt.job_id for look in looks]) == (ExitCode.JOBS_FAILED, ["job-1"])
        with pytest.raises(NotInLedger):
            await look_again(made, "nobody")
    assert (await made.counts()).succeeded == 1


async def test_a_failure_is_taken_with_its_reason(tmp_path: Path) -> None:
    async with overdue(tmp_path, CANCELLED) as (made, server):
        result, (look,) = await look_again(made)
        assert (result.exit_code, look.finding) == (ExitCode.JOBS_FAILED, Finding.FAILED)
        assert server.stats["kickoffs"] == 1
    (row,) = await made.rows()
    assert (row.state, (row.reason or "").split()[0]) == (JobState.FAILED, "cancelled")
    assert await attempts_of(made) == [AttemptState.FAILED]


@pytest.mark.parametrize(("answer", "finding"), [(RUNNING, Finding.RUNNING), (NOT_FOUND, Finding.UNKNOWN)])
async def test_an_execution_that_has_not_ended_is_reported_and_left_unchanged(
    tmp_path: Path, answer: Fault, finding: Finding
) -> None:
    async with overdue(tmp_path, answer, answer) as (made, _):
        before = await made.job("job-0")
        result, (look,) = await look_again(made)
        assert (result.exit_code, look.finding) == (ExitCode.JOBS_FAILED, finding)
        assert await made.job("job-0") == before


async def test_a_lasting_outage_exits_with_5_and_a_brief_one_does_not(tmp_path: Path) -> None:
    async with overdue(tmp_path, *[502] * 3, 502, "drop_before_accept") as (made, _):
        result, (look,) = await look_again(made)
        assert (result.exit_code, look.finding) == (ExitCode.CREW_UNUSABLE, Finding.UNCLEAR)
        assert "502 Bad Gateway" in (look.detail or "")
        assert await attempts_of(made) == [AttemptState.TIMED_OUT]
        result, _ = await look_again(made)
        assert result.exit_code is ExitCode.SUCCEEDED


async def test_an_unreachable_server_is_not_polled_for_every_job(tmp_path: Path) -> None:
    async with overdue(tmp_path, number=60) as (made, _):
        pass
    result, looks = await look_again(made)
    assert result.exit_code is ExitCode.CREW_UNUSABLE
    assert len(looks) == 60
    assert sum("not polled" in (look.detail or "") for look in looks) >= 30


async def test_an_output_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    async with overdue(tmp_path, EMPTY, EMPTY) as (made, server):
        write(tmp_path, server).write_text(
            JOB_FILE.format(url=server.url, token=server.token).replace("settle: 0", "settle: 1h"), encoding="utf-8"
        )
        await look_again(made)
    (row,) = await made.rows()
    assert row.output


async def test_an_earlier_attempt_that_succeeded_gives_its_result(tmp_path: Path) -> None:
    """Two executions of one job timed out, and were paid for: the first had succeeded, the second had not."""
    async with overdue(tmp_path, NOT_FOUND, NOT_FOUND, attempts=2) as (made, server):
        kickoff_ids = [attempt.kickoff_id for attempt in (await made.job("job-0")).attempts]
        _, looks = await look_again(made)
        assert [(look.attempt.kickoff_id, look.finding) for look in looks] == [
            (kickoff_ids[1], Finding.UNKNOWN),
            (kickoff_ids[0], Finding.SUCCEEDED),
        ]
        assert server.stats["kickoffs"] == 2
    (row,) = await made.rows()
    assert (row.state, row.kickoff_id) == (JobState.SUCCEEDED, kickoff_ids[0])
    assert row.output
    assert (await made.counts()).possible_duplicates == 1
    assert sorted(await attempts_of(made)) == [AttemptState.SUCCEEDED, AttemptState.TIMED_OUT]


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
async def test_a_lost_execution_that_is_found_again_ends_its_held_or_pending_job(tmp_path: Path, delivery: Any) -> None:
    retry = RetrySettings(backoff=3600.0, max=3600.0)
    faults = Faults(status=[NOT_FOUND] * 1000)
    async with CrewServer(serving(execution_time=Spread(0.0)), faults=faults) as server:
        made = bench(tmp_path, server, delivery=delivery, retry=retry, max_runtime=600.0, poll=QUICK)
        made.clock = RateClock(500)
        made.crews = {"default": RemoteCrew(url=server.url, token=SecretStr(server.token))}
        write(tmp_path, server)
        await made.take_in(jobs(1))
        await made.run()
        assert await attempts_of(made) == [AttemptState.LOST]
        counts = await made.counts()
        assert (counts.pending, counts.held) == ((1, 0) if delivery == "at_least_once" else (0, 1))
        faults._script["status"].clear()
        result, _ = await look_again(made)
        assert result.exit_code is ExitCode.SUCCEEDED
        made.stop = Stop()
        await made.run()
        assert server.stats["kickoffs"] == 1


QUICK = PollSettings(initial=20.0, factor=1.0, max=20.0, settle=0)


async def test_a_held_job_without_an_id_cannot_be_looked_at_and_is_counted(tmp_path: Path) -> None:
    faults = Faults(kickoff=["drop_after_accept"])
    async with CrewServer(serving(idempotency=False), faults=faults) as server:
        made = bench(tmp_path, server, delivery="at_most_once")
        write(tmp_path, server)
        await made.take_in(jobs(1))
        await made.run()
        result, looks = await look_again(made)
    assert (result.without_id, looks, result.exit_code) == (1, [], ExitCode.JOBS_FAILED)


async def test_a_token_that_is_refused_is_exit_5_and_token_file_gives_another(tmp_path: Path) -> None:
    async with overdue(tmp_path) as (made, server):
        write(tmp_path, server, token="of-yesterday")
        with pytest.raises(CrewUnusable):
            await look_again(made)
        result, _ = await look_again(made, options=JobFileOptions(crew_token=server.token))
        assert result.exit_code is ExitCode.SUCCEEDED


async def test_it_is_polled_where_it_was_started_unless_crew_url_says_otherwise(tmp_path: Path) -> None:
    async with overdue(tmp_path, number=2) as (made, server), CrewServer(serving(token=server.token)) as other:
        write(tmp_path, other)
        _, (look,) = await look_again(made, "job-0", options=JobFileOptions(crew_url=other.url))
        assert look.finding is Finding.UNKNOWN
        result, _ = await look_again(made)
        assert result.found == {Finding.SUCCEEDED: 2}


async def test_a_recheck_is_recorded_as_a_separate_kind_of_run(tmp_path: Path) -> None:
    async with overdue(tmp_path) as (made, _):
        await look_again(made)
        async with Ledger(made.path, clock=made.clock) as ledger:
            rows = await ledger._reader.execute_fetchall("SELECT kind, kickoffs, exit_code FROM runs ORDER BY rowid")
    assert [tuple(row) for row in rows][-1] == ("recheck", 0, 0)


async def test_the_job_file_is_found_from_any_folder(tmp_path: Path) -> None:
    async with Ledger(tmp_path / "l.db", clock=SystemClock()) as ledger:
        staged = await ledger.stage("b", jobs(1))
        given = str(tmp_path / "jobs.yaml")
        key = await ledger.ingest("b", jobfile=given, digest="d", columns=staged.plan.columns)
    assert key.jobfile_path == given
    source, ledger_path = Source(path=Path(), environ={}, today=date(2026, 1, 1)), tmp_path / "l.db"
    old = RecordedJobFile("folder/jobs.yaml", None, None)  # ingested by an earlier batchcrew
    assert (await recorded_source("b", source, old, ledger_path)).path == Path("folder/jobs.yaml")
    recorded = await asyncio.to_thread(recorded_as, tmp_path / "jobs.yaml", ledger_path, None)
    (tmp_path / "jobs.yaml").touch()
    assert (await recorded_source("b", source, recorded, ledger_path)).path == tmp_path / "jobs.yaml"
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "jobs.yaml").rename(moved / "jobs.yaml")
    assert (await recorded_source("b", source, recorded, moved / "l.db")).path == moved / "jobs.yaml"


async def attach_again(made: Bench, job_id: str, kickoff_id: str) -> None:
    async with Ledger(made.path, clock=made.clock) as ledger:
        key = await ledger.batch("b")
        assert key is not None
        await attach(key, job_id, kickoff_id, ledger=ledger, clock=made.clock)


@pytest.mark.parametrize("which", [0, 1])
async def test_attach_accepts_an_id_of_the_same_job_and_the_next_run_watches_it(tmp_path: Path, which: int) -> None:
    async with overdue(tmp_path, attempts=2) as (made, server):
        kickoff_ids = [attempt.kickoff_id or "" for attempt in (await made.job("job-0")).attempts]
        await attach_again(made, "job-0", kickoff_ids[which])
        assert (await made.counts()).open == 1
        with pytest.raises(JobFileError, match=r"already|nothing to attach"):
            await attach_again(made, "job-0", kickoff_ids[which])
        made.settings = made.settings.model_copy(update={"timeout": 600.0})
        await made.run()
        assert server.stats["kickoffs"] == 2
        (row,) = await made.rows()
        assert (row.state, row.kickoff_id) == (JobState.SUCCEEDED, kickoff_ids[which])
        with pytest.raises(JobFileError, match="there is nothing to attach"):
            await attach_again(made, "job-0", kickoff_ids[which])


async def test_attach_still_refuses_the_id_of_another_job(tmp_path: Path) -> None:
    async with overdue(tmp_path, number=2) as (made, _):
        (attempt,) = (await made.job("job-1")).attempts
        with pytest.raises(JobFileError, match="'job-1'"):
            await attach_again(made, "job-0", attempt.kickoff_id or "")


# Watched where it was started


async def run(
    folder: Path, *, once: bool = False, leave_after: int | None = None, **source: Any
) -> tuple[Any, list[str]]:
    """Run the batch, or stop after `leave_after` kickoffs; returns the result and the warnings."""
    warnings: list[str] = []
    stop, kickoffs = Stop(), 0

    def observe(event: object) -> None:
        nonlocal kickoffs
        if isinstance(event, Warned):
            warnings.append(event.text)
        kickoffs += isinstance(event, KickedOff)
        if kickoffs == leave_after:
            stop.request(StopReason.SIGNAL, "stopped by a test", leave=True)

    request = RunRequest(
        source=Source(path=folder / "jobs.yaml", environ={}, today=date(2026, 1, 1), **source),
        ledger=folder / "ledger.db",
        once=once,
    )
    around = RunEnvironment(stop=stop, clock=SystemClock(), rng=random.Random(1), observe=observe)
    return await run_batch(request, around), warnings


def write_jobs(folder: Path, url: str, token: str, *, crew: str = "crew", run_: str = "", number: int = 3) -> None:
    inputs = {"budget": "1", "interests": "x", "duration": "1 day", "age": "3"}
    name = "main" if crew == "crews" else None
    document = {
        "batch": "b",
        crew: {name: {"url": url, "token": token}} if name else {"url": url, "token": token},
        "run": {"poll": {"initial": 0.01, "max": 0.05}, **json.loads(run_ or "{}")},
        "jobs": [{"id": f"job-{n}", "inputs": inputs} for n in range(number)],
    }
    (folder / "jobs.yaml").write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize("once", [False, True])
async def test_an_execution_is_watched_at_the_address_where_it_was_started(tmp_path: Path, once: bool) -> None:
    faults = Faults(status=[RUNNING] * 100_000)
    async with (
        CrewServer(serving(execution_time=Spread(0.0)), faults=faults) as old,
        CrewServer(serving(token=old.token, execution_time=Spread(0.0))) as new,
    ):
        write_jobs(tmp_path, old.url, old.token, run_='{"concurrency": 2}')
        result, _ = await run(tmp_path, leave_after=2)
        assert result.counts.open == 2
        write_jobs(tmp_path, new.url, new.token)
        faults._script["status"].clear()
        _, warnings = await run(tmp_path, once=once)
        left = once
        while left:
            result, more = await run(tmp_path, once=True)
            warnings += more
            left = bool(result.counts.left)
        assert (old.stats["kickoffs"], new.stats["kickoffs"]) == (2, 1)
    (_,) = [each for each in warnings if old.url in each and new.url in each]  # one, not one per execution
    async with Ledger(tmp_path / "ledger.db", clock=SystemClock()) as ledger:
        key = await ledger.batch("b")
        assert key is not None
        assert (await ledger.counts(key)).succeeded == 3


@pytest.mark.parametrize("gone", [True, False])
async def test_a_former_address_that_is_gone_or_refuses_the_token_does_not_hold_the_batch_up(
    tmp_path: Path, gone: bool
) -> None:
    async with AsyncExitStack() as stack:
        faults = Faults(status=[RUNNING] * 100_000)
        old = await stack.enter_async_context(CrewServer(serving(execution_time=Spread(0.0)), faults=faults))
        write_jobs(tmp_path, old.url, old.token, run_='{"concurrency": 2}')
        await run(tmp_path, leave_after=2)
        url, token = old.url, old.token
        if gone:
            await stack.aclose()
        async with CrewServer(serving(execution_time=Spread(0.0), token=token if gone else None)) as new:
            write_jobs(tmp_path, new.url, new.token, run_='{"breaker": {"give_up": 0.2}}', number=6)
            result, warnings = await run(tmp_path)
            assert new.stats["kickoffs"] == 4  # those that were not started at the old one
    assert result.stopped is StopReason.CREW_UNUSABLE
    assert url in (result.stop_detail or "")
    assert (result.counts.succeeded, result.counts.open, result.counts.failed) == (4, 2, 0)
    (warning,) = [warning for warning in warnings if "--watch-only" in warning]
    jobfile, ledger = tmp_path / "jobs.yaml", tmp_path / "ledger.db"
    command = f"batchcrew run {jobfile} --crew-url {url} --watch-only --token-file TOKEN_FILE --ledger {ledger}"
    assert command in warning


async def test_each_change_of_an_address_is_reported_once(tmp_path: Path) -> None:
    """Also where the addresses differ in their port only."""
    faults = Faults(status=[RUNNING] * 100_000)
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(CrewServer(serving(), faults=faults))
        others = [await stack.enter_async_context(CrewServer(serving(token=old.token))) for _ in range(2)]
        write_jobs(tmp_path, old.url, old.token, run_='{"max_runtime": 0.3}', number=1)
        await run(tmp_path)
        for other in others:
            write_jobs(tmp_path, other.url, old.token, number=1)
            for expected in (1, 0, 0):
                _, warnings = await run(tmp_path, once=True)
                assert len([each for each in warnings if other.url in each]) == expected


async def test_a_crew_that_was_renamed_is_watched_at_its_address_and_a_removed_one_is_left(tmp_path: Path) -> None:
    faults = Faults(status=[RUNNING] * 100_000)
    async with CrewServer(serving(execution_time=Spread(0.0)), faults=faults) as server:
        write_jobs(tmp_path, server.url, server.token, run_='{"concurrency": 2}')
        await run(tmp_path, leave_after=2)
        faults._script["status"].clear()
        async with CrewServer(serving(execution_time=Spread(0.0))) as stranger:
            write_jobs(tmp_path, stranger.url, stranger.token, crew="crews")
            result, warnings = await run(tmp_path)
            assert result.counts.open == 2
            assert any("not watched" in warning for warning in warnings)
            assert stranger.stats["kickoffs"] == 1
        write_jobs(tmp_path, server.url, server.token, crew="crews")
        _, warnings = await run(tmp_path)
        assert not any("not watched" in warning for warning in warnings)
        assert server.stats["kickoffs"] == 2
    async with Ledger(tmp_path / "ledger.db", clock=SystemClock()) as ledger:
        key = await ledger.batch("b")
        assert key is not None
        assert (await ledger.counts(key)).open == 0


async def test_a_kickoff_whose_answer_was_lost_is_not_sent_again_to_another_address(tmp_path: Path) -> None:
    """The embedded server honours the key, but another server does not know it: it would be paid for twice."""
    async with CrewServer(serving()) as old, CrewServer(serving(token=old.token)) as new:
        made = bench(tmp_path, new, delivery="at_most_once")
        await made.take_in(jobs(1))
        async with Ledger(made.path, clock=made.clock) as ledger:
            key = await ledger.batch("b")
            assert key is not None
            run_id = await ledger.open_run(key.id, pid=1, host="h", version="v", urls={"default": old.url})
            await ledger.claim(key, run_id, crew="default", limit=1)
        await made.run()
        assert new.stats["kickoff_requests"] == 0
    assert await attempts_of(made) == [AttemptState.IN_DOUBT]
    assert (await made.counts()).held == 1

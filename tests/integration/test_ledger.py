"""The ledger on a real SQLite file: transitions, invariants, ingesting a file, and reading back."""

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from manual_clock import ManualClock

from batchcrew.base.clock import to_text
from batchcrew.base.errors import BatchBusy, LedgerError, LedgerTooNew, NotInLedger
from batchcrew.base.reasons import reason_fingerprint
from batchcrew.ledger import BatchKey, BatchLock, Duplicate, Ledger, migrations, schema
from batchcrew.model.attempt import Attempt, AttemptState, Outcome, Progress
from batchcrew.model.execution import Execution, ExecutionState, TaskResult
from batchcrew.model.job import Job, JobState, Location
from batchcrew.model.run import Plan


def job(job_id: str, *, crew: str = "default", **inputs: Any) -> Job:
    return Job(
        job_id=job_id,
        crew=crew,
        inputs=inputs,
        meta={},
        row={"id": job_id, **inputs},
        where=Location("jobs.csv", 2),
    )


DONE = Execution(
    state=ExecutionState.SUCCEEDED,
    word="completed",
    output="an answer",
    result_json={"n": [1, 2**80]},
    tasks=(TaskResult(task_id="t1", output="o", agent="a", execution_time=1.5),),
    execution_time=2.5,
    token_usage={"total_tokens": 3},
    answer='{"status": "completed"}',
)
SUCCEEDED = Outcome(attempt_state=AttemptState.SUCCEEDED, job_state=JobState.SUCCEEDED, execution=DONE)
FAILED = Outcome(attempt_state=AttemptState.FAILED, job_state=JobState.FAILED, reason="no luck")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def ledger(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Ledger]:
    async with Ledger(tmp_path / "ledger.db", clock=clock, uptime=lambda: None) as opened:
        yield opened


async def taken_in(ledger: Ledger, jobs: Iterable[Job], *, batch: str = "b") -> BatchKey:
    staged = await ledger.stage(batch, jobs)
    assert not staged.duplicates
    return await ledger.ingest(batch, jobfile="jobs.yaml", digest="d", columns=staged.plan.columns)


async def again(ledger: Ledger, jobs: Iterable[Job], clock: ManualClock) -> Plan:
    """Another run takes the file in."""
    assert ledger.path is not None
    async with Ledger(ledger.path, clock=clock) as other:
        staged = await other.stage("b", jobs)
        await other.ingest("b", jobfile="jobs.yaml", digest="d2", columns=staged.plan.columns)
        return staged.plan


async def started(ledger: Ledger, key: BatchKey, limit: int = 10, crew: str = "default") -> list[Attempt]:
    run_id = await ledger.open_run(key.id, pid=1, host="h", version="v")
    return (await ledger.claim(key, run_id, crew=crew, limit=limit)).attempts


async def test_a_job_goes_from_pending_to_its_results(ledger: Ledger, clock: ManualClock) -> None:
    key = await taken_in(ledger, [job("a", city="Tokyo"), job("b")])
    first, second = await started(ledger, key)
    assert (first.job_id, first.number, first.attempts_used, first.inputs) == ("a", 1, 1, {"city": "Tokyo"})
    assert (await ledger.counts(key)).open == 2
    await ledger.kicked_off(first, "k-1")
    clock.advance(30)
    await asyncio.gather(ledger.ended(first, SUCCEEDED), ledger.ended(second, FAILED))
    counts = await ledger.counts(key)
    assert (counts.succeeded, counts.failed, counts.left) == (1, 1, 0)
    rows = [row async for row in ledger.results(key)]
    assert [row.job_id for row in rows] == ["a", "b"]
    assert (rows[0].output, rows[0].result_json, rows[0].reason) == ("an answer", {"n": [1, 2**80]}, None)
    assert (rows[0].kickoff_id, rows[0].execution_time, rows[0].attempts_used) == ("k-1", 2.5, 1)
    assert (rows[1].state, rows[1].reason) == (JobState.FAILED, "no luck")
    detail = await ledger.job(key, "a")
    assert detail.attempts[0].tasks == DONE.tasks
    assert detail.attempts[0].answer == DONE.answer
    assert detail.attempts[0].token_usage == {"total_tokens": 3}


async def test_the_execution_time_is_measured_when_the_crew_reports_none(ledger: Ledger, clock: ManualClock) -> None:
    key = await taken_in(ledger, [job("a")])
    (attempt,) = await started(ledger, key)
    await ledger.kicked_off(attempt, "k")
    clock.advance(12.5)
    await ledger.ended(attempt, FAILED)
    assert [row.execution_time async for row in ledger.results(key)] == [12.5]


async def test_jobs_are_claimed_in_the_files_order_by_crew_and_never_twice(ledger: Ledger) -> None:
    key = await taken_in(ledger, [job(f"j{n}", crew="x" if n % 2 else "y") for n in range(10)])
    assert await ledger.pending_crews(key) == {"x": 5, "y": 5}
    run_id = await ledger.open_run(key.id, pid=1, host="h", version="v")
    claims = await asyncio.gather(*(ledger.claim(key, run_id, crew="x", limit=2) for _ in range(4)))
    assert [attempt.job_id for claim in claims for attempt in claim.attempts] == ["j1", "j3", "j5", "j7", "j9"]


async def test_a_retry_waits_for_its_time_and_then_goes_first(ledger: Ledger, clock: ManualClock) -> None:
    key = await taken_in(ledger, [job("a"), job("b"), job("c")])
    (attempt,) = await started(ledger, key, limit=1)
    again_in_10 = Outcome(attempt_state=AttemptState.FAILED, job_state=JobState.PENDING, reason="r", retry_in=10.0)
    await ledger.ended(attempt, again_in_10)
    assert [each.job_id for each in await started(ledger, key, limit=1)] == ["b"]
    clock.advance(10)
    (retried,) = await started(ledger, key, limit=1)
    assert (retried.job_id, retried.number, retried.attempts_used) == ("a", 2, 2)
    assert await ledger.next_start(key, "default") == ""
    await started(ledger, key, limit=1)
    assert await ledger.next_start(key, "default") is None
    await ledger.ended(retried, again_in_10)
    assert await ledger.next_start(key, "default") == to_text(clock.now() + timedelta(seconds=10))


async def test_a_rejected_attempt_uses_up_none_of_the_jobs_attempts(ledger: Ledger) -> None:
    key = await taken_in(ledger, [job("a")])
    (attempt,) = await started(ledger, key)
    rejected = Outcome(attempt_state=AttemptState.REJECTED, job_state=JobState.PENDING, reason="429")
    await ledger.ended(attempt, rejected)
    (second,) = await started(ledger, key)
    assert (second.number, second.attempts_used) == (2, 1)


async def test_open_attempts_can_be_resumed(ledger: Ledger) -> None:
    key = await taken_in(ledger, [job("a"), job("b"), job("c")])
    first, second, third = await started(ledger, key)
    await ledger.kicked_off(second, "k-2")
    await ledger.ended(third, FAILED)
    opened = await ledger.open_attempts(key)
    assert [(state, each.job_id, each.kickoff_id) for state, each in opened] == [
        (AttemptState.INTENDED, "a", None),
        (AttemptState.KICKED_OFF, "b", "k-2"),
    ]
    assert opened[0][1].attempt_id == first.attempt_id


async def test_a_transition_from_the_wrong_state_is_refused_and_nothing_of_its_group_happens(ledger: Ledger) -> None:
    key = await taken_in(ledger, [job("a"), job("b")])
    first, second = await started(ledger, key)
    await ledger.ended(first, FAILED)
    results = await asyncio.gather(
        ledger.ended(second, SUCCEEDED), ledger.ended(first, SUCCEEDED), return_exceptions=True
    )
    assert all(isinstance(result, LedgerError) for result in results)
    assert (await ledger.counts(key)).open == 1
    with pytest.raises(LedgerError):  # the writer has failed: a run cannot continue with it
        await ledger.ended(second, SUCCEEDED)


async def test_many_transitions_share_commits(ledger: Ledger, tmp_path: Path) -> None:
    key = await taken_in(ledger, [job(f"j{n}") for n in range(100)])
    attempts = await started(ledger, key, limit=100)
    await asyncio.gather(*(ledger.kicked_off(each, f"k{each.job_id}") for each in attempts))
    assert len(await ledger.open_attempts(key)) == 100
    assert len({attempt.kickoff_id for _, attempt in await ledger.open_attempts(key)}) == 100


async def test_at_most_one_attempt_of_a_job_is_open(ledger: Ledger, tmp_path: Path) -> None:
    key = await taken_in(ledger, [job("a")])
    (attempt,) = await started(ledger, key)
    connection = sqlite3.connect(tmp_path / "ledger.db")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(
            "INSERT INTO attempts (id, job, number, run_id, state, intended_at) SELECT 'x', job, 2, run_id, 'intended',"
            " intended_at FROM attempts WHERE id = ?",
            (attempt.attempt_id,),
        )
    connection.close()


async def test_progress_is_seen_from_outside(ledger: Ledger) -> None:
    key = await taken_in(ledger, [job("a")])
    (attempt,) = await started(ledger, key)
    await ledger.kicked_off(attempt, "k")
    ledger.progressed(
        attempt, Progress(status_word="warming up", current_task="research", completed_tasks=1, total_tasks=2)
    )
    ledger.progressed(attempt, Progress(unclear_answer="502 Bad Gateway"))  # by a run that has seen nothing else yet
    await ledger.open_run(key.id, pid=1, host="h", version="v")  # the next commit
    (flight,) = (await ledger.status(key)).in_flight
    assert (flight.current_task, flight.completed_tasks, flight.total_tasks) == ("research", 1, 2)
    assert (flight.status_word, flight.unclear_answer) == ("warming up", "502 Bad Gateway")
    (shown,) = (await ledger.job(key, "a")).attempts
    assert (shown.status_word, shown.unclear_answer) == ("warming up", "502 Bad Gateway")
    ledger.progressed(attempt, Progress(status_word="running"))
    await ledger.open_run(key.id, pid=1, host="h", version="v")
    (flight,) = (await ledger.status(key)).in_flight
    assert (flight.status_word, flight.current_task, flight.unclear_answer) == ("running", None, None)


async def test_a_changed_job_keeps_its_answer_and_a_gone_one_is_left_alone(ledger: Ledger, clock: ManualClock) -> None:
    jobs = [job("a", n=1), job("b", n=1), job("c", n=3), job("d", n=1)]
    key = await taken_in(ledger, jobs)
    attempts = await started(ledger, key, limit=3)
    for attempt in attempts:
        await ledger.ended(attempt, SUCCEEDED)
    plan = await again(ledger, [job("e"), job("d", n=2), job("b", n=2), job("a", n=1)], clock)
    assert (plan.total, plan.new, plan.changed, plan.stale, plan.again, plan.unchanged, plan.removed) == (
        4,
        1,
        2,
        1,
        1,
        1,
        1,
    )
    assert plan.stale_jobs == ("b",)
    counts = await ledger.counts(key)
    assert (counts.pending, counts.succeeded, counts.stale, counts.removed) == (2, 1, 1, 1)
    assert [row.job_id async for row in ledger.results(key)] == ["e", "d", "b", "a"]
    assert [row.job_id async for row in ledger.results(key, with_removed=True)] == ["e", "d", "b", "a", "c"]
    stale = next(row for row in [row async for row in ledger.results(key)] if row.job_id == "b")
    assert (stale.output, stale.stale_output, stale.stale_inputs) == (None, "an answer", {"n": 1})
    claimed = await started(ledger, key)
    assert [(each.job_id, each.inputs) for each in claimed] == [("e", {}), ("d", {"n": 2})]
    assert await ledger.rerun_stale(key) == 1
    (rerun,) = await started(ledger, key)
    assert (rerun.job_id, rerun.inputs, rerun.attempts_used) == ("b", {"n": 2}, 1)


async def test_a_job_that_changes_while_in_progress_has_a_stale_answer(ledger: Ledger, clock: ManualClock) -> None:
    key = await taken_in(ledger, [job("a", n=1)])
    (attempt,) = await started(ledger, key)
    await ledger.kicked_off(attempt, "k")
    plan = await again(ledger, [job("a", n=2)], clock)
    assert (plan.changed, plan.running) == (1, 1)
    ((_, left),) = await ledger.open_attempts(key)
    assert (left.inputs, left.outdated) == ({"n": 1}, True)
    assert (await ledger.job(key, "a")).inputs == {"n": 2}
    await ledger.ended(left, replace(SUCCEEDED, job_state=JobState.STALE))
    assert (await ledger.counts(key)).stale == 1
    plan = await again(ledger, [job("a", n=1)], clock)
    assert (plan.restored, plan.changed) == (1, 0)
    assert (await ledger.counts(key)).succeeded == 1


async def test_duplicate_ids_are_found_with_both_places(ledger: Ledger) -> None:
    jobs = [job("a"), job("b"), job("a")]
    jobs[2].where = Location("jobs.csv", 9)
    staged = await ledger.stage("b", jobs)
    assert staged.duplicates == (Duplicate("a", Location("jobs.csv", 2), Location("jobs.csv", 9), identical=False),)


async def test_possible_duplicates_are_counted(ledger: Ledger) -> None:
    key = await taken_in(ledger, [job("a"), job("b"), job("c")])
    doubt = Outcome(attempt_state=AttemptState.IN_DOUBT, job_state=JobState.PENDING, reason="lost")
    for attempt in await started(ledger, key):
        await ledger.ended(attempt, doubt)
    assert (await ledger.counts(key)).possible_duplicates == 0
    first, second, third = await started(ledger, key)
    await ledger.kicked_off(first, "k")
    await ledger.ended(second, Outcome(attempt_state=AttemptState.REJECTED, job_state=JobState.PENDING, reason="429"))
    assert (await ledger.counts(key)).possible_duplicates == 1
    assert await ledger.duplicates(key) == ("a",)
    assert [row.possible_duplicate async for row in ledger.results(key)] == [True, False, False]
    del third


async def test_retry_puts_ended_jobs_back_with_their_full_allowance(ledger: Ledger) -> None:
    key = await taken_in(ledger, [job("a"), job("b"), job("c")])
    first, second, third = await started(ledger, key)
    await ledger.ended(first, FAILED)
    await ledger.ended(second, Outcome(attempt_state=AttemptState.IN_DOUBT, job_state=JobState.HELD, reason="d"))
    await ledger.ended(third, FAILED)
    assert await ledger.retry(key, states=[JobState.FAILED], job_ids=["a", "b"]) == 1
    assert await ledger.retry(key, states=[JobState.HELD]) == 1
    assert [(each.job_id, each.attempts_used) for each in await started(ledger, key)] == [("a", 1), ("b", 1)]
    with pytest.raises(NotInLedger, match="job 'nobody' not found"):
        await ledger.retry(key, states=[JobState.FAILED], job_ids=["c", "nobody"])
    assert (await ledger.counts(key)).failed == 1


async def test_text_that_no_database_holds_is_kept_as_well_as_it_can_be(ledger: Ledger) -> None:
    key = await taken_in(ledger, [job("a")])
    (attempt,) = await started(ledger, key)
    hostile = Execution(
        state=ExecutionState.SUCCEEDED, word="ok", output="nul \0 and surrogate \ud800" + "x" * 5_000_000, answer="{}"
    )
    await ledger.ended(
        attempt, Outcome(attempt_state=AttemptState.SUCCEEDED, job_state=JobState.SUCCEEDED, execution=hostile)
    )
    (row,) = [row async for row in ledger.results(key)]
    assert row.output is not None
    assert row.output.startswith("nul \0 and surrogate ?")
    assert len(row.output) > 5_000_000


async def test_results_are_read_a_page_at_a_time(ledger: Ledger) -> None:
    key = await taken_in(ledger, [job(f"j{n}", n=n) for n in range(1234)])
    assert [row.job_id async for row in ledger.results(key)] == [f"j{n}" for n in range(1234)]


async def test_columns_are_those_of_all_rows_in_order(ledger: Ledger) -> None:
    staged = await ledger.stage("b", [job("a", x=1), job("b", y=1), job("c", x=1, z=2)])
    assert staged.plan.columns == ("id", "x", "y", "z")


async def test_a_new_ledger_is_its_owners_alone_and_durable(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "new" / "ledger.db"
    async with Ledger(path, clock=clock) as ledger:
        await taken_in(ledger, [job("a")])
        assert ledger._write is not None
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            rows = list(await ledger._write.execute_fetchall(f"PRAGMA {pragma}"))
            assert rows[0][0] == value
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_views_need_no_manual(ledger: Ledger, tmp_path: Path) -> None:
    key = await taken_in(ledger, [job("a"), job("b")])
    first, second = await started(ledger, key)
    await ledger.kicked_off(first, "k")
    await ledger.ended(first, SUCCEEDED)
    await ledger.ended(second, FAILED)
    connection = sqlite3.connect(tmp_path / "ledger.db")
    assert connection.execute("SELECT job_id, state, output, error FROM results").fetchall() == [
        ("a", "succeeded", "an answer", None),
        ("b", "failed", None, "no luck"),
    ]
    assert connection.execute("SELECT job_id, reason FROM failures").fetchall() == [("b", "no luck")]
    history = connection.execute("SELECT job_id, number, state FROM attempt_history ORDER BY job_id").fetchall()
    assert history == [("a", 1, "succeeded"), ("b", 1, "failed")]
    connection.close()


async def test_a_newer_ledger_is_refused_and_left_as_it_is(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "ledger.db"
    async with Ledger(path, clock=clock):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LedgerTooNew, match="later batchcrew"):
        async with Ledger(path, clock=clock):
            pass


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be read as one" * 40, b"\0" * 4096])
async def test_a_file_that_is_not_a_ledger_is_reported_plainly(
    tmp_path: Path, clock: ManualClock, content: bytes
) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"ledger|SQLite"):
        async with Ledger(path, clock=clock):
            pass


async def test_a_strangers_database_is_not_touched(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    connection.close()
    with pytest.raises(LedgerError, match="another program"):
        async with Ledger(path, clock=clock):
            pass
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("mine",)]
    connection.close()


async def test_two_first_runs_at_once_make_one_ledger(tmp_path: Path, clock: ManualClock) -> None:
    async def make(batch: str) -> None:
        async with Ledger(tmp_path / "ledger.db", clock=clock) as ledger:
            await taken_in(ledger, [job("a")], batch=batch)

    await asyncio.gather(*(make(f"b{n}") for n in range(6)))
    async with Ledger(tmp_path / "ledger.db", clock=clock) as ledger:
        assert len(await ledger.batches()) == 6


async def test_a_batch_is_held_by_one_run(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "ledger.db"
    async with Ledger(path, clock=clock) as ledger:
        await taken_in(ledger, [job("a")])
        async with BatchLock(path, "b", since="2026-01-01T00:00:00Z"):
            assert [line.running for line in await ledger.batches()] == [True]
            with pytest.raises(BatchBusy, match=r"pid \d+ on .* since 2026-01-01"):
                async with BatchLock(path, "b", since="later"):
                    pass
            async with BatchLock(path, "other", since="now"):
                pass
        assert [line.running for line in await ledger.batches()] == [False]


async def test_a_ledger_of_the_first_version_is_brought_up_and_keeps_its_jobs(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old = sqlite3.connect(path)
    old.executescript(migrations.MIGRATIONS[0])
    old.executescript(f"PRAGMA application_id = {schema.APPLICATION_ID}; PRAGMA user_version = 1;")
    old.executescript(
        "INSERT INTO batches (id, batch, jobfile, created_at) VALUES (1, 'b', 'j', '2026-01-01T00:00:00.000Z');"
        "INSERT INTO runs (id, batch_id, started_at, pid, host, version)"
        " VALUES ('r', 1, '2026-01-01T00:00:00.000Z', 1, 'h', '0');"
        "INSERT INTO jobs (batch_id, job_id, crew, position, state, attempts, charged, fingerprint, inputs, meta, row,"
        " source, updated_at) VALUES (1, 'a', 'default', 0, 'open', 1, 1, 'f', '{}', '{}', '{}', 'f:1', '');"
        "INSERT INTO attempts (id, job, number, run_id, state, kickoff_id, intended_at, kicked_off_at)"
        " VALUES ('r-1', 1, 1, 'r', 'kicked_off', 'k', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z');"
    )
    old.close()
    async with Ledger(path, clock=ManualClock()) as ledger:
        key = await ledger.batch("b")
        assert key is not None
        ((state, attempt),) = await ledger.open_attempts(key)
        assert (state, attempt.kickoff_id, attempt.watch) == (AttemptState.KICKED_OFF, "k", None)
        assert await ledger.throttle_states(key) == {}
        await ledger.open_run(key.id, pid=1, host="h", version="v")
        await ledger.ended(attempt, SUCCEEDED)
        assert (await ledger.counts(key)).succeeded == 1


async def test_a_ledger_of_version_4_is_brought_up_with_its_answers(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as old:
        old.create_function("reason_fingerprint_of", 1, reason_fingerprint)
        for script in migrations.MIGRATIONS[:4]:
            old.executescript(script)
        old.executescript(f"PRAGMA application_id = {schema.APPLICATION_ID}; PRAGMA user_version = 4;")
        old.executescript(
            "INSERT INTO batches (id, batch, jobfile, created_at) VALUES (1, 'b', 'j', '2026-01-01T00:00:00.000Z');"
            "INSERT INTO runs (id, batch_id, started_at, pid, host, version)"
            " VALUES ('r', 1, '2026-01-01T00:00:00.000Z', 1, 'h', '0');"
            "INSERT INTO jobs (batch_id, job_id, crew, position, state, attempts, charged, inputs, meta, row, source,"
            " updated_at) VALUES (1, 'a', 'default', 0, 'succeeded', 1, 1, '{}', '{}', '{}', 'f:1', '');"
            "INSERT INTO attempts (id, job, number, run_id, state, kickoff_id, intended_at)"
            " VALUES ('r-1', 1, 1, 'r', 'succeeded', 'k', '2026-01-01T00:00:00.000Z');"
        )
    async with Ledger(path, clock=ManualClock()) as ledger:
        key = await ledger.batch("b")
        assert key is not None
        assert (await ledger.counts(key)).succeeded == 1
        assert await ledger.without_output(key) == (1, ("a",))

"""The spill file: kickoff ids that the ledger could not take."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from manual_clock import ManualClock

from batchcrew.base.errors import LedgerError, NotRecorded
from batchcrew.ledger import BatchKey, Ledger
from batchcrew.ledger.naming import LONGEST_SUFFIX_BYTES
from batchcrew.ledger.spill import HEADER, SpilledKickoff, SpillFile, read_spilled, spill_path
from batchcrew.model.attempt import Attempt, AttemptState, Outcome
from batchcrew.model.job import Job, JobState, Location


def kickoff(number: int, size: int = 36) -> SpilledKickoff:
    return SpilledKickoff(attempt=f"run-{number:06}", kickoff_id=str(number) * size, at="2026-01-01T00:00:00.000Z")


@pytest.fixture
def ledger_path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def spill(ledger_path: Path) -> Path:
    return spill_path(ledger_path, "b")


def spilled(path: Path, kickoffs: Iterable[SpilledKickoff]) -> Path:
    file = SpillFile(path, "b")
    file.reserve(10)
    assert all(file.add(each) for each in kickoffs)
    file.close()
    return file.path


def test_spilled_kickoffs_are_read_back_and_the_file_never_grows(ledger_path: Path) -> None:
    file = SpillFile(ledger_path, "b")
    file.reserve(10)
    size = file.path.stat().st_size
    kickoffs = [kickoff(number) for number in range(50)]
    assert all(file.add(each) for each in kickoffs)
    assert file.path.stat().st_size == size
    assert read_spilled(file.path) == kickoffs  # durable before it is closed
    file.close()
    assert read_spilled(file.path) == kickoffs
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_not_needed_is_removed(ledger_path: Path) -> None:
    assert not spilled(ledger_path, []).exists()


def test_a_full_file_refuses_records_and_keeps_the_earlier_ones(ledger_path: Path) -> None:
    file = SpillFile(ledger_path, "b")
    file.reserve(1)
    taken = [each for number in range(200) if file.add(each := kickoff(number % 10, 1000))]
    file.close()
    assert 40 < len(taken) < 200
    assert read_spilled(file.path) == taken


def test_a_torn_record_is_left_out(ledger_path: Path) -> None:
    path = spilled(ledger_path, [kickoff(1), kickoff(2)])
    data = bytearray(path.read_bytes())
    end = data.rstrip(b"\0")
    data[len(end) - 5 : len(end)] = b"\0" * 5
    path.write_bytes(data)
    assert read_spilled(path) == [kickoff(1)]


@pytest.mark.parametrize("content", [b"", b"\0" * 100, HEADER[:7] + b"\0" * 50, HEADER + b"\0" * 50])
def test_a_file_whose_run_died_before_it_wrote_is_empty(ledger_path: Path, content: bytes) -> None:
    path = spill_path(ledger_path, "b")
    path.write_bytes(content)
    assert read_spilled(path) == []


def test_a_file_of_a_later_version_is_kept(ledger_path: Path) -> None:
    path = spill_path(ledger_path, "b")
    path.write_bytes(b"batchcrew-spill 2\nsomething\n")
    with pytest.raises(LedgerError, match="later batchcrew"):
        read_spilled(path)
    assert path.exists()


def test_a_spill_file_that_cannot_be_reserved_is_reported(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be reserved"):
        SpillFile(tmp_path / "missing" / "ledger.db", "b").reserve(1)


@pytest.fixture
async def ledger(ledger_path: Path) -> AsyncIterator[Ledger]:
    async with Ledger(ledger_path, clock=ManualClock(), uptime=lambda: None) as opened:
        yield opened


async def intended(ledger: Ledger) -> tuple[BatchKey, list[Attempt]]:
    rows = [Job(job_id=name, crew="default", inputs={}, meta={}, row={}, where=Location("f", 1)) for name in ("a", "b")]
    await ledger.stage("b", rows)
    key = await ledger.ingest("b", jobfile="jobs.yaml", digest="d", columns=())
    run_id = await ledger.open_run(key.id, pid=1, host="h", version="v")
    await ledger.reserve_spill(key, 2)
    return key, (await ledger.claim(key, run_id, crew="default", limit=2)).attempts


async def test_an_id_that_the_ledger_cannot_take_is_recorded_by_the_next_run(
    ledger: Ledger, ledger_path: Path, spill: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, (first, second) = await intended(ledger)

    async def full(*_: object) -> None:
        raise LedgerError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(ledger._writing, "change", full)
        with pytest.raises(NotRecorded) as error:
            await ledger.kicked_off(first, "k-1")
    assert error.value.spilled
    async with Ledger(ledger_path, clock=ManualClock(), uptime=lambda: None) as other:
        await other.open_run(key.id, pid=2, host="h", version="v")
        assert other.recovered == 1
        found = {attempt.job_id: (state, attempt.kickoff_id) for state, attempt in await other.open_attempts(key)}
    assert found == {"a": (AttemptState.KICKED_OFF, "k-1"), "b": (AttemptState.INTENDED, None)}
    assert not await asyncio.to_thread(spill.exists)
    assert second.kickoff_id is None


@pytest.mark.parametrize("state", [JobState.HELD, JobState.PENDING, JobState.FAILED])
async def test_an_id_that_is_read_after_its_attempt_was_in_doubt_reopens_it(
    ledger: Ledger, ledger_path: Path, state: JobState
) -> None:
    key, (first, second) = await intended(ledger)
    for attempt in (first, second):
        await ledger.ended(attempt, Outcome(attempt_state=AttemptState.IN_DOUBT, job_state=state, reason="no answer"))
    assert ledger._spill is not None
    assert ledger._spill.add(SpilledKickoff(attempt=first.attempt_id, kickoff_id="k-1", at=first.intended_at))
    async with Ledger(ledger_path, clock=ManualClock(), uptime=lambda: None) as other:
        await other.open_run(key.id, pid=2, host="h", version="v")
        assert other.recovered == 1
        opened = [(found, attempt.kickoff_id) for found, attempt in await other.open_attempts(key)]
        assert opened == [(AttemptState.KICKED_OFF, "k-1")]


async def test_an_id_that_is_known_already_changes_nothing(ledger: Ledger, ledger_path: Path) -> None:
    key, (first, _) = await intended(ledger)
    await ledger.kicked_off(first, "k-1")
    await ledger.ended(first, Outcome(attempt_state=AttemptState.SUCCEEDED, job_state=JobState.SUCCEEDED))
    assert ledger._spill is not None
    assert ledger._spill.add(SpilledKickoff(attempt=first.attempt_id, kickoff_id="k-1", at=first.intended_at))
    assert ledger._spill.add(SpilledKickoff(attempt="gone", kickoff_id="k-2", at=first.intended_at))
    async with Ledger(ledger_path, clock=ManualClock(), uptime=lambda: None) as other:
        await other.open_run(key.id, pid=2, host="h", version="v")
        assert other.recovered == 0
        assert (await other.counts(key)).succeeded == 1


def test_no_file_next_to_a_ledger_has_a_longer_name_than_is_checked(ledger_path: Path) -> None:
    longest = len(spill_path(ledger_path, "b").name) - len(ledger_path.name)
    assert longest == LONGEST_SUFFIX_BYTES
    assert max(map(len, ("-wal", "-shm", "-journal", ".locks"))) < longest

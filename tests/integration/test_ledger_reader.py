"""Reading a ledger without writing: how the file is opened, and that no file is left behind."""

import ast
import asyncio
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import aiosqlite
import pytest
from manual_clock import ManualClock

from batchcrew.base.errors import LedgerError, LedgerTooNew, LedgerTooOld, NotInLedger
from batchcrew.ledger import Ledger, LedgerReader
from batchcrew.ledger.reader import Access
from batchcrew.model.job import Job, Location

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "fixtures" / "ledger_v2" / "results" / "batchcrew.db"


def jobs(*names: str) -> list[Job]:
    return [Job(job_id=name, crew="default", inputs={}, meta={}, row={}, where=Location("f", 1)) for name in names]


async def add(path: Path, batch: str, *names: str) -> None:
    async with Ledger(path, clock=ManualClock()) as ledger:
        await ledger.stage(batch, jobs(*names))
        await ledger.ingest(batch, jobfile="jobs.yaml", digest=batch, columns=())


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    made = tmp_path / "ledger.db"
    await add(made, "first", "a", "b")
    return made


def reader(path: Path) -> LedgerReader:
    return LedgerReader(path, clock=ManualClock())


async def batches(opened: LedgerReader) -> list[str]:
    return sorted(line.batch for line in await opened.batches())


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_a_ledger_at_rest_is_read_and_left_as_it_is(path: Path) -> None:
    before = digests(path.parent)
    async with reader(path) as opened:
        assert await batches(opened) == ["first"]
        key = await opened.batch("first")
        assert key is not None
        assert (await opened.counts(key)).pending == 2
        assert [row.job_id async for row in opened.results(key)] == ["a", "b"]
        assert opened._access is Access.IMMUTABLE
    assert digests(path.parent) == before


async def test_a_reader_cannot_write(path: Path) -> None:
    async with reader(path) as opened:
        with pytest.raises(LedgerError):
            await opened._query(lambda connection: connection.execute_fetchall("DELETE FROM jobs"))
    async with Ledger(path, clock=ManualClock()), reader(path) as opened:
        assert opened._access is Access.SHARED
        with pytest.raises(LedgerError):
            await opened._query(lambda connection: connection.execute_fetchall("DELETE FROM jobs"))
    assert not any("write" in name or name in {"claim", "ingest", "_writing"} for name in dir(LedgerReader))


async def test_a_file_that_changes_after_it_was_opened_is_opened_again(path: Path) -> None:
    async with reader(path) as opened:
        assert await batches(opened) == ["first"]
        await add(path, "second", "c")
        assert await batches(opened) == ["first", "second"]


async def test_a_query_during_a_change_of_the_file_is_repeated(path: Path) -> None:
    calls = 0

    async def query(connection: aiosqlite.Connection) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            await add(path, "second", "c")
        return len(list(await connection.execute_fetchall("SELECT id FROM batches")))

    async with reader(path) as opened:
        assert await opened._query(query) == 2
    assert calls == 2


async def test_a_long_export_of_a_file_that_changes_has_each_job_once(path: Path) -> None:
    await add(path, "long", *(f"job-{number:04}" for number in range(500)))
    async with reader(path) as opened:
        key = await opened.batch("long")
        assert key is not None
        seen = []
        async for row in opened.results(key):
            seen.append(row.job_id)
            if len(seen) == 250:
                await add(path, "meanwhile", "x")
    assert seen == [f"job-{number:04}" for number in range(500)]


def copy_of(path: Path, target: Path) -> None:
    """Copy by another process: this one would drop its own locks."""
    target.parent.mkdir()
    script = "import sys, shutil; [shutil.copyfile(sys.argv[1] + s, sys.argv[2] + s) for s in ('', '-wal')]"
    subprocess.run([sys.executable, "-c", script, str(path), str(target)], check=True)


@pytest.fixture
async def crashed(tmp_path: Path, path: Path) -> Path:
    """What a killed run leaves: the file, and a WAL that holds its last commits, but no `-shm`."""
    target = tmp_path / "crashed" / "ledger.db"
    async with Ledger(path, clock=ManualClock()) as ledger:
        await ledger.stage("second", jobs("c"))
        await ledger.ingest("second", jobfile="jobs.yaml", digest="d", columns=())
        await asyncio.to_thread(copy_of, path, target)
    return target


async def test_the_wal_of_a_killed_run_is_read(crashed: Path) -> None:
    async with reader(crashed) as opened:
        assert opened._access is Access.SHARED
        assert await batches(opened) == ["first", "second"]
    async with Ledger(crashed, clock=ManualClock()) as ledger:
        assert len(await ledger.batches()) == 2


@pytest.fixture
def another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as another user than the owner of the files."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)


@pytest.mark.usefixtures("another_user")
async def test_another_users_crashed_ledger_is_read_from_a_copy_and_no_file_is_left(crashed: Path) -> None:
    before = digests(crashed.parent)
    async with reader(crashed) as opened:
        assert opened._access is Access.COPY
        assert await batches(opened) == ["first", "second"]
    assert digests(crashed.parent) == before


@pytest.mark.usefixtures("another_user")
async def test_another_users_ledger_in_use_is_read_and_no_file_is_left(path: Path) -> None:
    async with Ledger(path, clock=ManualClock()) as ledger:
        await ledger.stage("second", jobs("c"))
        await ledger.ingest("second", jobfile="jobs.yaml", digest="d", columns=())
        names = names_in(path.parent)
        async with reader(path) as opened:
            assert opened._access in {Access.FOREIGN, Access.COPY}
            assert await batches(opened) == ["first", "second"]
        assert names_in(path.parent) == names


def make_read_only(*folders: Path) -> None:
    for folder in folders:
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)


def make_writable(*folders: Path) -> None:
    for folder in reversed(folders):
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a folder read-only")
async def test_a_ledger_on_a_read_only_mount_is_read(path: Path, crashed: Path) -> None:
    folders = (crashed.parent, path.parent)
    await asyncio.to_thread(make_read_only, *folders)
    try:
        async with reader(path) as opened:
            assert await batches(opened) == ["first", "second"]
        async with reader(crashed) as opened:
            assert opened._access is Access.COPY
            assert await batches(opened) == ["first", "second"]
    finally:
        await asyncio.to_thread(make_writable, *folders)


async def test_a_ledger_behind_a_link_is_read(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(path)
    async with Ledger(path, clock=ManualClock()), reader(link) as opened:
        assert opened._access is Access.SHARED
        assert await batches(opened) == ["first"]
    assert names_in(link.parent) == ["link.db"]


async def test_an_older_ledger_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    copy = tmp_path / "ledger.db"
    shutil.copy(OLD, copy)
    before = digests(tmp_path)
    with pytest.raises(LedgerTooOld, match="batchcrew upgrade"):
        async with reader(copy):
            pass
    async with LedgerReader(copy, clock=ManualClock(), any_schema=True) as opened:
        assert opened.version == 2
    assert digests(tmp_path) == before


async def test_what_is_not_a_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotInLedger):
        async with reader(tmp_path / "missing.db"):
            pass
    (tmp_path / "empty.db").touch()
    with pytest.raises(NotInLedger):
        async with reader(tmp_path / "empty.db"):
            pass
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE things (a)")
    connection.close()
    with pytest.raises(LedgerError, match="another program"):
        async with reader(tmp_path / "other.db"):
            pass
    connection = sqlite3.connect(tmp_path / "newer.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LedgerTooNew):
        async with reader(tmp_path / "newer.db"):
            pass
    assert names_in(tmp_path) == ["empty.db", "newer.db", "other.db"]


OPENING = {"open", "touch", "read_bytes", "read_text", "write_bytes", "write_text", "copy", "copyfile", "copy2"}
ALLOWED = {
    "batchcrew/ledger/lock.py",  # the lock of a batch, and who holds it
    "batchcrew/ledger/spill.py",  # kickoff ids that the ledger could not take
    "batchcrew/ledger/upkeep.py",
}


def test_no_module_that_knows_a_database_opens_files_past_sqlite() -> None:
    """Closing a file drops this process's locks on it: SQLite alone opens a database, its WAL and its shared memory."""
    modules = [*(ROOT / "batchcrew" / "ledger").glob("*.py"), ROOT / "batchcrew" / "base" / "sqlite_files.py"]
    modules += [ROOT / "batchcrew" / "server" / name for name in ("demo/store.py", "crews/store.py")]
    found = []
    for module in modules:
        name = str(module.relative_to(ROOT))
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in OPENING and name not in ALLOWED:
                found.append(f"{name}:{node.lineno} {called}")
    assert found == []

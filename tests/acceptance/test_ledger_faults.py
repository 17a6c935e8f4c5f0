"""A ledger that cannot be written, read or understood: a plain message, exit 70, and the next run resumes."""

import json
import os
import re
import shlex
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cli_process import (
    JOB_FILE,
    LONGEST_SECONDS,
    Crew,
    Process,
    ProcessOptions,
    call,
    call_with,
    read_until,
    start,
    wait_until,
    write_trips,
)
from held_crew import HeldCrew

pytestmark = pytest.mark.crash  # starts many processes

JOBS = 30
PROMISE = "the next run resumes the executions in progress"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_trips(tmp_path, JOBS)
    return tmp_path


@pytest.fixture
def crew(folder: Path) -> Iterator[Crew]:
    made = Crew(folder, "--execution-time", "20ms±50%", "--no-idempotency")
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=made.url), encoding="utf-8")
    yield made
    made.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 480 KiB: the ledger's schema and the spill file fit, the answers do not."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=480k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        if os.environ.get("CI"):
            pytest.fail("CI must be able to mount a small disk (root, in its sandbox)")
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def plain(ended: "subprocess.CompletedProcess[str]", words: str) -> None:
    assert ended.returncode == 70, ended.stderr
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def finished(folder: Path, crew: Crew, ledger: str, *, held: int = 0) -> None:
    """The next run ends the batch: no job is lost, none was kicked off twice."""
    ended = call(folder, "run", "jobs.yaml", "--delivery", "at_most_once", "--ledger", ledger, "--json")
    counts = json.loads(ended.stdout)["counts"]
    assert counts["succeeded"] + counts["held"] == JOBS
    assert counts["held"] <= held
    assert crew.stats()["max_kickoffs_per_job"] == 1


def test_a_full_disk(folder: Path, crew: Crew, small_disk: Path) -> None:
    ledger = str(small_disk / "ledger.db")
    run = ("run", "jobs.yaml", "--delivery", "at_most_once", "--ledger", ledger)
    full = call(folder, *run)
    plain(full, "the disk is full: free up space and run the same command again")
    assert PROMISE in full.stderr
    began = crew.stats()["kickoffs"]
    plain(call(folder, *run), ledger)  # it stays full: as plain, and nothing more is paid for
    assert crew.stats()["kickoffs"] == began
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    finished(folder, crew, ledger)


def test_a_backup_to_a_full_disk_names_the_copy(folder: Path, crew: Crew, small_disk: Path) -> None:
    assert call(folder, "run", "jobs.yaml", "--limit", "4").returncode == 3
    (small_disk / "others").write_bytes(bytes(330 * 1024))
    ended = call(folder, "backup", str(small_disk / "copy.db"))
    assert (ended.returncode, str(small_disk / "copy.db") in ended.stderr) == (2, True), ended.stderr
    assert [path.name for path in small_disk.iterdir()] == ["others"]


def test_a_file_that_may_not_grow(folder: Path, crew: Crew) -> None:
    """A quota or `ulimit -f`: the kernel's other way to refuse a write."""
    limit = ProcessOptions(limits={"RLIMIT_FSIZE": (220_000, 220_000)})
    ended = call_with(limit, folder, "run", "jobs.yaml", "--delivery", "at_most_once")
    plain(ended, "results/batchcrew.db")
    assert PROMISE in ended.stderr
    finished(folder, crew, "results/batchcrew.db")


def run_without_room_for_ids(folder: Path, ledger: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Twenty kickoffs leave at once, and the ledger has reached its limit when their ids arrive."""
    write_trips(folder, 40)
    driver = ProcessOptions(script=Path(__file__).with_name("limit_driver.py"))
    arguments = ("run", "jobs.yaml", "--concurrency", "20", "--ledger", ledger)
    ended = call_with(driver, folder, *arguments, **variables)
    assert ended.returncode == 70, ended.stderr
    return ended


def test_ids_that_only_stderr_has_come_with_the_command_that_records_them(folder: Path, held: HeldCrew) -> None:
    ended = run_without_room_for_ids(folder, "a ledger/our own.db", SPILL="full")
    commands = re.findall(r"batchcrew (attach .*)$", ended.stderr, re.MULTILINE)
    assert len(commands) == 20, ended.stderr
    for command in commands:
        attached = call(folder, *shlex.split(command))
        assert attached.returncode == 0, attached.stderr
    held.release()
    assert call(folder, "run", "jobs.yaml", "--ledger", "a ledger/our own.db").returncode == 0
    assert (held.kickoffs, held.stats()["max_kickoffs_per_job"]) == (40, 1)


def test_ids_that_the_ledger_cannot_take_are_resumed_by_the_next_run(folder: Path, held: HeldCrew) -> None:
    ended = run_without_room_for_ids(folder, "results/batchcrew.db")
    assert "it is saved in the spill file next to the ledger" in ended.stderr
    paid = held.kickoffs
    assert paid == 20
    held.release()
    assert call(folder, "run", "jobs.yaml").returncode == 0
    assert (held.kickoffs, held.stats()["max_kickoffs_per_job"]) == (40, 1)


def locked(folder: Path, held: HeldCrew, *options: str) -> tuple[Process, sqlite3.Connection]:
    """A run with executions in progress, and another program that has locked its ledger."""
    run = start(folder, "run", "jobs.yaml", "--delivery", "at_most_once", "--log-format", "json", *options)
    for _ in range(6):
        read_until(run, '"kicked_off"')
    other = sqlite3.connect(folder / "results" / "batchcrew.db", isolation_level=None, timeout=LONGEST_SECONDS)
    other.execute("BEGIN IMMEDIATE")
    held.finish()  # from now on the run has something to write
    return run, other


def test_a_ledger_that_another_program_holds_for_20_seconds(folder: Path, held: HeldCrew) -> None:
    run, other = locked(folder, held)
    _, said = run.communicate()
    other.execute("ROLLBACK")
    other.close()
    assert run.returncode == 70, said
    assert "another program has locked it for over 15 s: close it and run the same command again" in said
    assert PROMISE in said
    held.release()
    assert call(folder, "run", "jobs.yaml", "--delivery", "at_most_once").returncode == 0
    assert held.stats()["max_kickoffs_per_job"] == 1


def test_a_ledger_that_another_program_holds_for_a_moment_is_waited_for(folder: Path, held: HeldCrew) -> None:
    run, other = locked(folder, held)
    seen = held.answers
    wait_until(lambda: held.answers > seen, run)  # the run has read an outcome that it cannot record
    other.execute("ROLLBACK")
    other.close()
    held.release()
    _, said = run.communicate()
    assert run.returncode == 0, said


def test_a_ledger_of_a_later_batchcrew(folder: Path, crew: Crew) -> None:
    assert call(folder, "run", "jobs.yaml", "--limit", "2").returncode == 3
    connection = sqlite3.connect(folder / "results" / "batchcrew.db")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute("PRAGMA user_version = 99")
    for command in (("run", "jobs.yaml"), ("tick", "jobs.yaml"), ("status",), ("export", "jobs")):
        plain(call(folder, *command), "was written by a later batchcrew")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    finished(folder, crew, "results/batchcrew.db")


def no_sqlite(data: bytearray) -> None:
    data[:100] = b"\0" * 100


def torn_pages(data: bytearray) -> None:
    data[4096 : len(data) - 4096] = b"\xa5" * (len(data) - 8192)


@pytest.mark.parametrize("damage", [no_sqlite, torn_pages])
def test_a_damaged_ledger(folder: Path, crew: Crew, damage: Callable[[bytearray], None]) -> None:
    assert call(folder, "run", "jobs.yaml", "--limit", "10").returncode == 3
    ledger = folder / "results" / "batchcrew.db"
    whole = ledger.read_bytes()
    data = bytearray(whole)
    damage(data)
    ledger.write_bytes(data)
    began = crew.stats()["kickoffs"]
    plain(call(folder, "run", "jobs.yaml"), "ledger results/batchcrew.db: ")
    assert crew.stats()["kickoffs"] == began
    ledger.write_bytes(whole)  # the copy that was kept
    finished(folder, crew, "results/batchcrew.db")


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """Make a folder with a ledger read-only."""
    if os.geteuid() == 0:  # permissions do not hold root back; a read-only mount does
        subprocess.run(["mount", "--bind", str(place), str(place)], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
    else:
        place.chmod(0o500)
        (place / "batchcrew.db").chmod(0o400)
    try:
        yield
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", str(place)], check=True)
        else:
            place.chmod(0o700)
            (place / "batchcrew.db").chmod(0o600)


def test_a_read_only_ledger(folder: Path, crew: Crew) -> None:
    assert call(folder, "run", "jobs.yaml", "--limit", "4").returncode == 3
    with read_only(folder / "results"):
        plain(call(folder, "run", "jobs.yaml"), "check the folder's owner and permissions")
    finished(folder, crew, "results/batchcrew.db")


def test_only_runs_promise_that_executions_are_resumed(folder: Path, crew: Crew) -> None:
    assert call(folder, "run", "jobs.yaml", "--limit", "4").returncode == 3
    with read_only(folder / "results"):
        for command in (
            ("vacuum",),
            ("upgrade",),
            ("retry", "jobs"),
            ("recheck", "jobs"),
            ("attach", "jobs", "trip-9", "an-id"),
            ("delete", "jobs", "--yes"),
        ):
            ended = call(folder, *command)
            plain(ended, "permissions")
            assert PROMISE not in ended.stderr
        ended = call(folder, "backup", "results/copy.db")
        assert ended.returncode == 2
        assert re.search("read-only file system|no permission to write in results", ended.stderr), ended.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("run", "jobs.yaml"),
        ("tick", "jobs.yaml"),
        ("retry", "jobs", "trip-0"),
        ("attach", "jobs", "trip-9", "an-id"),
        ("recheck", "jobs"),
    ],
)
def test_a_failed_write_promises_to_resume_only_in_run_and_tick(
    folder: Path, crew: Crew, command: tuple[str, ...]
) -> None:
    assert call(folder, "run", "jobs.yaml", "--limit", "4").returncode == 3
    with closing(sqlite3.connect(folder / "results" / "batchcrew.db")) as connection:
        connection.execute("CREATE TRIGGER no_job BEFORE UPDATE ON jobs BEGIN SELECT raise(ABORT, 'no'); END")
        connection.execute("CREATE TRIGGER no_run BEFORE INSERT ON runs BEGIN SELECT raise(ABORT, 'no'); END")
    ended = call(folder, *command)
    assert ended.returncode == 70
    assert (PROMISE in ended.stderr) == (command[0] in {"run", "tick"}), ended.stderr


def test_a_name_that_is_too_long_is_refused_before_anything_starts(folder: Path, crew: Crew) -> None:
    longest = os.pathconf(folder, "PC_NAME_MAX")
    for length in (longest - 12, longest - 4, longest, longest + 20):
        name = "n" * (length - 3) + ".db"
        for command in (("run", "jobs.yaml"), ("tick", "jobs.yaml"), ("check", "jobs.yaml"), ("status",), ("vacuum",)):
            ended = call(folder, *command, "--ledger", name)
            assert ended.returncode == 2, ended.stderr
            if command[0] in {"run", "tick", "check"}:
                assert f"at most {longest - 23} bytes" in ended.stderr
            assert "Traceback" not in ended.stderr
    assert [path.name for path in folder.iterdir() if path.name.startswith("nnn")] == []
    assert crew.stats()["kickoffs"] == 0
    longest_that_works = folder / ("n" * (longest - 26) + ".db")
    finished(folder, crew, longest_that_works.name)
    renamed = longest_that_works.rename(folder / ("n" * (longest - 7) + ".db"))
    assert call(folder, "status", "--ledger", renamed.name).returncode == 0
    for words in ("vacuum", "delete jobs --yes", "retry jobs trip-0"):
        ended = call(folder, *words.split(), "--ledger", renamed.name)
        assert (ended.returncode, f"at most {longest - 23} bytes" in ended.stderr) == (2, True), ended.stderr


def test_a_path_that_is_too_long_for_sqlite_is_refused(folder: Path, crew: Crew) -> None:
    place = folder.joinpath(*["d" * 200] * 3)
    ended = call(folder, "run", "jobs.yaml", "--ledger", str(place / "l.db"))
    assert (ended.returncode, "path" in ended.stderr) == (2, True), ended.stderr
    assert crew.stats()["kickoffs"] == 0

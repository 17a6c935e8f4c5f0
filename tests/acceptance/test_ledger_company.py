"""Other programs and the ledger: readers, other batches, copies, and the state of SQLite's files meanwhile."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import JOB_FILE, Process, call, environment, start, wait_until, write_trips
from held_crew import HeldCrew

pytestmark = pytest.mark.crash  # several programs at a time, for seconds

LEDGER = "results/batchcrew.db"
IN_PROGRESS = 6
HOLD_A_SNAPSHOT = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN');"
    " print(c.execute('SELECT count(*) FROM jobs').fetchone()[0], flush=True); input()"
)
OPEN_AND_CLOSE = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM jobs'); c.close()"
)


def by_python(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, LEDGER], cwd=folder, check=True)


def by_shell(folder: Path, *options: str) -> None:
    if shutil.which("sqlite3") is None:
        by_python(folder)
        return
    command = ["sqlite3", *options, LEDGER, "SELECT count(*) FROM jobs"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def by_command(folder: Path, *arguments: str) -> None:
    ended = call(folder, *arguments)
    assert ended.returncode in {0, 5}, ended.stderr


READERS: dict[str, Callable[[Path], None]] = {
    "status": lambda folder: by_command(folder, "status"),
    "list": lambda folder: by_command(folder, "list"),
    "failures": lambda folder: by_command(folder, "failures"),
    "show": lambda folder: by_command(folder, "show", "jobs", "trip-0"),
    "runs": lambda folder: by_command(folder, "runs"),
    "export": lambda folder: by_command(folder, "export", "jobs", "-f", "json"),
    "check": lambda folder: by_command(folder, "check", "jobs.yaml", "--offline"),
    "backup": lambda folder: by_command(folder, "backup", "copy.db"),
    "python": by_python,
    "sqlite3": by_shell,
    "sqlite3 -readonly": lambda folder: by_shell(folder, "-readonly"),
}


def in_progress(folder: Path, crew: HeldCrew, kickoffs: int = IN_PROGRESS) -> Process:
    """A run with all its slots in use, each kickoff_id durable."""
    run = start(folder, "run", "jobs.yaml")
    wait_until(lambda: recorded(folder) >= kickoffs, run)
    return run


def recorded(folder: Path, query: str = "SELECT count(*) FROM attempts WHERE state = 'kicked_off'") -> int:
    """Read the ledger in another process, as this one must not open and close a file that it examines."""
    if not (folder / LEDGER).exists():
        return 0
    script = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1], timeout=200).execute(sys.argv[2]).fetchone()[0])"
    read = subprocess.run(
        [sys.executable, "-c", script, LEDGER, query], cwd=folder, capture_output=True, text=True, check=False
    )
    return int(read.stdout) if not read.returncode else 0


def unlinked(process: Process) -> list[str]:
    """Return the deleted files that the process still has open."""
    links = [str(entry.readlink()) for entry in Path(f"/proc/{process.pid}/fd").iterdir() if entry.is_symlink()]
    return [link for link in links if link.endswith(" (deleted)") and "/results/" in link]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux shows what a process has open")
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_leaves_the_wal_to_the_run_and_nothing_is_paid_twice(
    folder: Path, held: HeldCrew, reader: str
) -> None:
    run = in_progress(folder, held)
    inode = (folder / f"{LEDGER}-wal").stat().st_ino
    READERS[reader](folder)
    assert unlinked(run) == []
    assert (folder / f"{LEDGER}-wal").stat().st_ino == inode
    run.kill()
    run.wait()
    held.release()
    assert call(folder, "run", "jobs.yaml").returncode == 0
    assert (held.kickoffs, held.stats()["max_kickoffs_per_job"]) == (40, 1)


def posix_locks(pid: int, path: Path) -> int:
    """How many POSIX locks the kernel knows of a process on a file."""
    found = path.stat()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return sum(f" {pid} {device} " in line for line in lines if "POSIX" in line)


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux lists its locks")
def test_the_kernel_knows_the_locks_of_a_run_and_others_cannot_unlink_its_wal(folder: Path, held: HeldCrew) -> None:
    run = in_progress(folder, held)
    assert posix_locks(run.pid, folder / f"{LEDGER}-shm") >= 1
    # the program that closes a database last removes its WAL, unless a lock shows that another one has it open
    by_python(folder)
    assert (folder / f"{LEDGER}-wal").exists()
    assert unlinked(run) == []
    run.send_signal(signal.SIGTERM)
    assert run.wait() == 3


@pytest.fixture
def neighbour(folder: Path) -> Iterator[HeldCrew]:
    """The crew of another batch in the same ledger; its executions end at once."""
    with HeldCrew() as crew:
        crew.release()
        (folder / "others.yaml").write_text(JOB_FILE.format(url=crew.url), encoding="utf-8")
        yield crew


def integrity(folder: Path) -> str:
    with contextlib.closing(sqlite3.connect(folder / LEDGER)) as connection, connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def succeeded(folder: Path, batch: str) -> int:
    return int(json.loads(call(folder, "status", batch, "--json").stdout)["counts"]["succeeded"])


def test_a_status_and_a_second_batch_lose_nothing_of_either(folder: Path, held: HeldCrew, neighbour: HeldCrew) -> None:
    run = in_progress(folder, held)
    assert call(folder, "status", "jobs").returncode == 0
    assert call(folder, "run", "others.yaml").returncode == 0
    held.release()
    assert run.wait() == 0
    assert (succeeded(folder, "jobs"), succeeded(folder, "others")) == (40, 40)
    assert (held.kickoffs, neighbour.kickoffs) == (40, 40)
    assert integrity(folder) == "ok"


def test_ticks_of_another_batch_and_a_run_share_one_ledger(folder: Path, held: HeldCrew, neighbour: HeldCrew) -> None:
    run = in_progress(folder, held)
    while call(folder, "tick", "others.yaml").returncode != 0:
        assert run.poll() is None
    assert succeeded(folder, "others") == 40
    assert unlinked(run) == []
    run.kill()
    run.wait()
    held.release()
    assert call(folder, "run", "jobs.yaml").returncode == 0
    assert (held.kickoffs, neighbour.kickoffs) == (40, 40)
    assert integrity(folder) == "ok"


def test_after_a_clean_end_one_file_is_everything(folder: Path, held: HeldCrew) -> None:
    held.release()
    assert call(folder, "run", "jobs.yaml").returncode == 0
    assert sorted(file.name for file in (folder / "results").iterdir()) == ["batchcrew.db", "batchcrew.db.locks"]
    (folder / "elsewhere").mkdir()
    shutil.copy(folder / LEDGER, folder / "elsewhere" / "copy.db")
    ended = call(folder / "elsewhere", "status", "jobs", "--ledger", "copy.db", "--json")
    assert json.loads(ended.stdout)["counts"]["succeeded"] == 40
    assert [file.name for file in (folder / "elsewhere").iterdir()] == ["copy.db"]


def test_a_backup_of_a_run_is_complete_and_overwrites_nothing(folder: Path, held: HeldCrew) -> None:
    run = in_progress(folder, held)
    ended = call(folder, "backup", "copy.db")
    assert ended.returncode == 0, ended.stderr
    assert (folder / "copy.db").stat().st_mode & 0o777 == 0o600
    counts = json.loads(call(folder, "status", "jobs", "--ledger", "copy.db", "--json").stdout)["counts"]
    assert (counts["open"], counts["pending"]) == (IN_PROGRESS, 40 - IN_PROGRESS)
    before = (folder / "copy.db").read_bytes()
    again = call(folder, "backup", "copy.db")
    assert (again.returncode, (folder / "copy.db").read_bytes()) == (2, before)
    assert call(folder, "backup", "missing/copy.db").returncode == 2
    assert not [file for file in folder.iterdir() if file.name.startswith(".batchcrew-backup")]
    run.kill()
    run.wait()


def test_a_backup_to_an_odd_place_is_refused_plainly_and_changes_nothing(folder: Path, held: HeldCrew) -> None:
    run = in_progress(folder, held)
    (folder / "a folder").mkdir()
    (folder / "file").write_text("mine", encoding="utf-8")
    (folder / "link").symlink_to("nowhere")
    (folder / "left.db-wal").write_text("of another", encoding="utf-8")
    before = sorted(path.name for path in folder.rglob("*"))
    for target, words in (
        *((path, "already exists") for path in ("file", "link", LEDGER)),
        ("a folder", "is a folder; name a file in it, such as 'a folder/"),
        ("missing/copy.db", "mkdir -p missing"),
        ("file/copy.db", "is not a folder"),
        ("-", "not to stdout"),
        (f"{LEDGER}-journal", "is reserved for a file of the ledger"),
        ("left.db", "left.db-wal is left over from another database"),
        ("n" * 300, "File name too long"),
    ):
        ended = call(folder, "backup", target)
        assert (ended.returncode, words in ended.stderr) == (2, True), (target, ended.stderr)
    assert sorted(path.name for path in folder.rglob("*")) == before
    run.kill()
    run.wait()


def test_the_history_of_a_batch(folder: Path, held: HeldCrew) -> None:
    run = in_progress(folder, held)
    running = json.loads(call(folder, "runs", "jobs", "--json").stdout)
    assert [(line["running"], line["kickoffs"]) for line in running] == [(True, IN_PROGRESS)]
    run.kill()
    run.wait()
    held.release()
    assert call(folder, "run", "jobs.yaml", "--limit", "4").returncode == 3
    assert call(folder, "run", "jobs.yaml").returncode == 0
    lines = json.loads(call(folder, "runs", "--json").stdout)
    told = [(line["kind"], line["kickoffs"], line["exit_code"], line["stopped"], line["running"]) for line in lines]
    assert told == [
        ("run", 40 - IN_PROGRESS - 4, 0, None, False),
        ("run", 4, 3, "limit", False),
        ("run", IN_PROGRESS, None, None, False),
    ]
    text = call(folder, "runs", "jobs").stdout
    assert "killed" in text
    assert len(text.splitlines()) == 4


def test_a_batch_is_deleted_when_you_say_so_and_only_then(folder: Path, held: HeldCrew, neighbour: HeldCrew) -> None:
    held.release()
    assert call(folder, "run", "jobs.yaml").returncode == 0
    assert call(folder, "run", "others.yaml").returncode == 0
    asked = call(folder, "delete", "jobs")  # without a terminal it cannot prompt
    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    assert succeeded(folder, "jobs") == 40
    assert call(folder, "delete", "jobs", "--yes").returncode == 0
    assert call(folder, "status", "jobs").returncode == 2
    assert succeeded(folder, "others") == 40
    before = (folder / LEDGER).stat().st_size
    assert call(folder, "vacuum").returncode == 0
    assert (folder / LEDGER).stat().st_size < before
    assert integrity(folder) == "ok"


@pytest.mark.crash
def test_a_vacuum_while_another_program_reads_says_when_the_file_shrinks(folder: Path, held: HeldCrew) -> None:
    held.release()
    assert call(folder, "run", "jobs.yaml").returncode == 0
    assert call(folder, "delete", "jobs", "--yes").returncode == 0
    before = (folder / LEDGER).stat().st_size
    command = [sys.executable, "-c", HOLD_A_SNAPSHOT, LEDGER]
    reader = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert reader.stdout is not None
    reader.stdout.readline()  # from now on it reads the ledger as it is
    ended = call(folder, "vacuum")
    assert (ended.returncode, "shrinks to" in ended.stdout) == (0, True), ended.stderr
    reader.communicate(b"\n")
    assert call(folder, "vacuum").returncode == 0
    assert (folder / LEDGER).stat().st_size < before
    assert integrity(folder) == "ok"


def delete_at_a_terminal(folder: Path, keys: bytes, *start: str) -> "subprocess.CompletedProcess[bytes]":
    """Call `delete` where a terminal's keyboard sends `keys`; `start` is how Python starts batchcrew."""
    keyboard, terminal = os.openpty()
    os.write(keyboard, keys)
    command = [sys.executable, *start, "delete", "jobs"]
    ended = subprocess.run(command, check=False, cwd=folder, env=environment(), stdin=terminal, capture_output=True)
    os.close(keyboard)
    os.close(terminal)
    return ended


@pytest.mark.parametrize(("keys", "code"), [(b"n\n", 2), (b"\n", 2), (b"\x04", 2), (b"perhaps\nyes\n", 0)])
def test_at_a_terminal_a_batch_is_deleted_only_by_a_yes(folder: Path, held: HeldCrew, keys: bytes, code: int) -> None:
    held.release()
    assert call(folder, "run", "jobs.yaml").returncode == 0
    ended = delete_at_a_terminal(folder, keys, "-m", "batchcrew")
    assert ended.returncode == code, ended.stderr
    assert ended.stderr.endswith(b"batchcrew: nothing was deleted\n") == bool(code)
    assert (call(folder, "status", "jobs").returncode == 0) == bool(code)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_at_the_question_deletes_nothing_and_says_so(folder: Path, held: HeldCrew, name: str) -> None:
    held.release()
    assert call(folder, "run", "jobs.yaml").returncode == 0
    driver = str(Path(__file__).with_name("signal_driver.py"))
    ended = delete_at_a_terminal(folder, b"\x04", driver, "_readline_prompt", name, "--")
    assert ended.returncode == 3, ended.stderr
    assert ended.stderr.splitlines()[-1] == b"batchcrew: interrupted; nothing was deleted"
    assert succeeded(folder, "jobs") == 40


def test_neither_a_running_batch_is_deleted_nor_its_ledger_vacuumed(folder: Path, held: HeldCrew) -> None:
    run = in_progress(folder, held)
    assert call(folder, "delete", "jobs", "--yes").returncode == 4
    assert call(folder, "vacuum").returncode == 4
    held.release()
    assert run.wait() == 0
    assert held.kickoffs == 40


def test_a_deleted_batch_still_counts_for_its_crews_month(folder: Path, held: HeldCrew) -> None:
    held.release()
    limited = JOB_FILE.format(url=held.url).replace('token: "', 'max_kickoffs_per_month: 50, token: "')
    (folder / "jobs.yaml").write_text(limited, encoding="utf-8")
    assert call(folder, "run", "jobs.yaml").returncode == 0
    assert call(folder, "delete", "jobs", "--yes").returncode == 0
    assert call(folder, "run", "jobs.yaml").returncode == 3
    assert held.kickoffs == 50


def test_an_export_does_not_write_over_the_ledger(folder: Path, held: HeldCrew) -> None:
    held.release()
    assert call(folder, "run", "jobs.yaml").returncode == 0
    (folder / "link.db").symlink_to(folder / LEDGER)
    for name in (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", "link.db"):
        assert call(folder, "export", "jobs", "-o", name).returncode == 2
    assert succeeded(folder, "jobs") == 40


def test_status_in_a_loop_does_not_keep_a_run_from_starting(folder: Path, held: HeldCrew) -> None:
    held.release()
    assert call(folder, "run", "jobs.yaml").returncode == 0
    lookers = [start(folder, "status", "jobs") for _ in range(8)]
    assert [call(folder, "run", "jobs.yaml").returncode for _ in range(4)] == [0] * 4
    assert [looker.wait() for looker in lookers] == [0] * 8


def opened_past_sqlite(folder: Path, *commands: tuple[str, ...]) -> list[Any]:
    """For each command its exit code and the database files that it opened; SQLite's own opening is not reported."""
    log = folder / "opened.log"
    driver = str(Path(__file__).with_name("open_driver.py"))
    subprocess.run(
        [sys.executable, driver, str(log), json.dumps(commands)],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_every_command_opens_the_database_through_sqlite_alone(folder: Path, held: HeldCrew) -> None:
    held.release()
    (folder / "ids.csv").write_text("job_id,kickoff_id\n", encoding="utf-8")
    calls: list[tuple[int, tuple[str, ...]]] = [
        (3, ("run", "jobs.yaml", "--limit", "3")),
        (3, ("tick", "jobs.yaml")),
        (0, ("status",)),
        (0, ("list",)),
        (0, ("failures",)),
        (0, ("show", "jobs", "trip-0")),
        (0, ("runs",)),
        (0, ("export", "jobs", "-o", "results.csv")),
        (0, ("check", "jobs.yaml")),
        (0, ("backup", "copy.db")),
        (0, ("upgrade",)),
        (0, ("retry", "jobs")),
        (0, ("retry", "jobs", "--cancel")),
        (3, ("recheck", "jobs")),
        (2, ("attach", "jobs", "trip-0", "some-id")),
        (0, ("run", "jobs.yaml")),
        (0, ("adopt", "jobs.yaml", "--csv", "ids.csv")),
        (0, ("vacuum",)),
        (0, ("delete", "jobs", "--yes")),
    ]
    found = opened_past_sqlite(folder, *(arguments for _, arguments in calls))
    assert found == [[code, []] for code, _ in calls]


def write_embedded(folder: Path) -> None:
    write_trips(folder, 2)
    text = JOB_FILE.replace('token: "${{CREW_TOKEN}}"', "").format(url="embedded")
    (folder / "demo.yaml").write_text(text, encoding="utf-8")


@pytest.mark.crash
def test_the_embedded_crews_state_is_opened_through_sqlite_alone(tmp_path: Path) -> None:
    write_embedded(tmp_path)
    assert opened_past_sqlite(tmp_path, ("run", "demo.yaml")) == [[0, []]]
    assert (tmp_path / "results" / "embedded-crew.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["file:x.db", ":memory:", "a ?#%20.db"])
def test_a_ledger_of_an_odd_name_is_one_file(folder: Path, held: HeldCrew, name: str) -> None:
    held.release()
    assert call(folder, "run", "jobs.yaml", "--limit", "3", "--ledger", name).returncode == 3
    assert call(folder, "run", "jobs.yaml", "--ledger", name).returncode == 0
    counts = json.loads(call(folder, "status", "jobs", "--ledger", name, "--json").stdout)["counts"]
    assert (counts["succeeded"], held.kickoffs) == (40, 40)
    assert (folder / name).stat().st_size > 0
    assert not (folder / "x.db").exists()

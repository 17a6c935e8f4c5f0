"""Killed at every step of a job's way, then run again: nothing lost, nothing paid twice.

Each case is one process that dies at one point (`crash_driver.py`), then the same command until the batch has ended;
the embedded server's own count of kickoffs is compared with the ledger.
"""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from crash_driver import STEPS
from test_cli_run import JOB_FILE, Crew, call, environment, write_trips

pytestmark = pytest.mark.crash

JOBS = 4
DRIVER = str(Path(__file__).with_name("crash_driver.py"))
ONCE = ("ingest", "open_run", "close_run", "keep")
POINTS = [f"{moment}:{step}" for step in STEPS for moment in ("before", "after")]
WAYS = ("idempotent", "at_most_once", "at_least_once", "troubled", "tick")


@dataclass(frozen=True)
class Ledger:
    """The figures of the ledger after the batch has ended."""

    accepted: int
    """Attempts with a kickoff_id."""
    doubted: int
    """Attempts whose answer was lost."""
    repeated: int
    """Of these, those after which their job was kicked off again."""

    @classmethod
    def read(cls, path: Path) -> "Ledger":
        connection = sqlite3.connect(path)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            row = connection.execute(
                "SELECT sum(kickoff_id IS NOT NULL), sum(state = 'in_doubt'), sum(state = 'in_doubt' AND EXISTS ("
                " SELECT 1 FROM attempts AS b WHERE b.job = a.job AND b.number > a.number)) FROM attempts AS a"
            ).fetchone()
        finally:
            connection.close()
        return cls(*row)


@pytest.fixture(scope="module")
def crews(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Crew]]:
    folder = tmp_path_factory.mktemp("crews")
    plain = Crew(folder, "--execution-time", "60ms", "--no-idempotency")
    made = {
        "idempotent": Crew(folder, "--execution-time", "60ms"),
        "troubled": Crew(
            folder, "--execution-time", "60ms", "--no-idempotency", "--fail-rate", "0.4", "--max-running", "1"
        ),
        **dict.fromkeys(("at_most_once", "at_least_once", "tick"), plain),
    }
    yield made
    for crew in set(made.values()):
        crew.stop()


def killed(folder: Path, point: str, times: int, *command: str) -> None:
    """Run a command that dies there."""
    ended = subprocess.run(
        [sys.executable, DRIVER, point, str(times), "--", *command],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def to_the_end(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """The same command until the batch has ended."""
    while True:
        ended = call(folder, *command, "--json")
        if ended.returncode != 3:
            return ended


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_this_point(
    tmp_path: Path, crews: dict[str, Crew], point: str, way: str, record_property: Callable[[str, object], None]
) -> None:
    crew = crews[way]
    before = crew.stats()["kickoffs"]
    write_trips(tmp_path, JOBS)
    (tmp_path / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url), encoding="utf-8")
    delivery = "at_least_once" if way == "at_least_once" else "at_most_once"
    command = ("tick" if way == "tick" else "run", "jobs.yaml", "--delivery", delivery, "--concurrency", "2")
    first_asks = way == "tick" and point.endswith((":ask", ":end"))  # a first tick only starts
    if first_asks:
        assert call(tmp_path, *command).returncode == 3
    once = point.partition(":")[2] in ONCE or (way == "tick" and point.endswith(":intend"))
    killed(tmp_path, point, 1 if once else 2, *command)
    ended = to_the_end(tmp_path, *command)
    counts = json.loads(ended.stdout)["counts"]
    ledger = Ledger.read(tmp_path / "results" / "batchcrew.db")
    kickoffs = crew.stats()["kickoffs"] - before
    lost = JOBS - counts["succeeded"] - counts["failed"] - counts["held"]
    # the server's count against the ledger: each kickoff of a crew is an attempt that the ledger knows
    unknown = max(0, kickoffs - ledger.accepted - ledger.doubted)
    duplicates = unknown + (ledger.repeated if way != "at_least_once" else max(0, kickoffs - JOBS))
    record_property("crash", (way, JOBS, kickoffs, duplicates, counts["held"], lost))
    assert (lost, unknown) == (0, 0)
    assert ledger.accepted <= kickoffs <= ledger.accepted + ledger.doubted
    if way == "at_least_once":
        assert counts["held"] == 0
        assert JOBS <= kickoffs <= JOBS + counts["possible_duplicates"]
    else:
        assert (counts["possible_duplicates"], ledger.repeated) == (0, 0)
        assert counts["held"] == ledger.doubted
    if way == "idempotent":
        assert (counts["held"], kickoffs) == (0, JOBS)
    if way != "troubled":
        assert counts["failed"] == 0
    assert ended.returncode == (1 if counts["held"] or counts["failed"] else 0)


@pytest.mark.parametrize("point", ["before:commit", "after:commit"])
@pytest.mark.parametrize("verb", ["retry", "attach", "adopt"])
def test_a_killed_command_took_effect_completely_or_not_at_all(
    tmp_path: Path, crews: dict[str, Crew], point: str, verb: str, record_property: Callable[[str, object], None]
) -> None:
    crew = crews["at_most_once"]
    write_trips(tmp_path, JOBS)
    (tmp_path / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url), encoding="utf-8")
    run = ("run", "jobs.yaml", "--delivery", "at_most_once", "--concurrency", "1")
    killed(tmp_path, "before:send", 1, *run)
    assert to_the_end(tmp_path, *run).returncode == 1
    found = crew.kickoff()
    (tmp_path / "ids.csv").write_text(f"job_id,kickoff_id\ntrip-0,{found}\n", encoding="utf-8")
    command = {
        "retry": ("retry", "jobs", "--held"),
        "attach": ("attach", "jobs", "trip-0", found),
        "adopt": ("adopt", "jobs.yaml", "--csv", "ids.csv"),
    }[verb]
    before = crew.stats()["kickoffs"]
    transactions = 1 if verb == "retry" else 2  # the others open a run first
    killed(tmp_path, point, transactions, *command)
    call(tmp_path, *command)  # again: it is done, or was done
    ended = to_the_end(tmp_path, *run)
    kickoffs = crew.stats()["kickoffs"] - before
    counts = json.loads(ended.stdout)["counts"]
    record_property("crash", (verb, 1, kickoffs, 0, counts["held"], JOBS - counts["succeeded"]))
    assert ended.returncode == 0
    assert kickoffs == (1 if verb == "retry" else 0)

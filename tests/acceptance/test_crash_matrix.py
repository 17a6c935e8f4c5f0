"""Killed at every step of a job's way, then run again: nothing lost, nothing paid twice.

Each case is one process that dies at one point (`crash_driver.py`), then the same command once more; the
embedded server's own count of kickoffs is compared with the ledger.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash_driver import STEPS
from test_cli_run import JOB_FILE, Crew, call, environment, write_trips

pytestmark = pytest.mark.crash

JOBS = 4
POINTS = [f"{moment}:{step}" for step in STEPS for moment in ("before", "after")]
WAYS = ("idempotent", "at_most_once", "at_least_once")


@pytest.fixture(scope="module")
def crews(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Crew]]:
    folder = tmp_path_factory.mktemp("crews")
    made = {
        True: Crew(folder, "--execution-time", "60ms"),
        False: Crew(folder, "--execution-time", "60ms", "--no-idempotency"),
    }
    yield made
    for crew in made.values():
        crew.stop()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_this_point(
    tmp_path: Path, crews: dict[bool, Crew], point: str, way: str, record_property: Callable[[str, object], None]
) -> None:
    crew = crews[way == "idempotent"]
    before = crew.stats()["kickoffs"]
    write_trips(tmp_path, JOBS)
    (tmp_path / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url), encoding="utf-8")
    delivery = "at_least_once" if way == "at_least_once" else "at_most_once"
    run = ("run", "jobs.yaml", "--delivery", delivery, "--concurrency", "2")
    once = point.partition(":")[2] in {"take_in", "open_run", "close_run"}
    driver = str(Path(__file__).with_name("crash_driver.py"))
    killed = subprocess.run(
        [sys.executable, driver, point, "1" if once else "2", "--", *run],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    again = call(tmp_path, *run, "--json")
    summary = json.loads(again.stdout)
    counts = summary["counts"]
    kickoffs = crew.stats()["kickoffs"] - before
    lost = JOBS - counts["succeeded"] - counts["held"]
    duplicates = max(0, kickoffs - JOBS)
    record_property("crash", (way, JOBS, kickoffs, duplicates, counts["held"], lost))
    assert counts["pending"] == counts["open"] == counts["failed"] == 0
    assert counts["succeeded"] + counts["held"] == JOBS
    if way == "at_least_once":
        assert counts["held"] == 0
        assert JOBS <= kickoffs <= JOBS + counts["possible_duplicates"]
    else:
        assert counts["possible_duplicates"] == 0
        assert JOBS - counts["held"] <= kickoffs <= JOBS
    if way == "idempotent":
        assert (counts["held"], kickoffs) == (0, JOBS)
    assert again.returncode == (1 if counts["held"] else 0)

"""`show` says when an execution in progress is polled next, and why then."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_process import call, start, wait_until, write_trips
from held_crew import HeldCrew

JOB_FILE = """
crew: {{url: "{url}", token: "${{CREW_TOKEN}}"}}
run: {{concurrency: 2, poll: {{initial: 20ms, max: 1h, {poll}}}, timeout: {timeout}}}
jobs: [{{rows: trips.csv}}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_trips(tmp_path, 2)
    return tmp_path


def write(folder: Path, held: HeldCrew, poll: str = "min: 30m", timeout: str = "2h") -> None:
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=held.url, poll=poll, timeout=timeout), encoding="utf-8")


def next_poll(folder: Path) -> dict[str, Any]:
    shown = json.loads(call(folder, "show", "jobs", "trip-1", "--json").stdout)
    due: dict[str, Any] = shown["attempts"][-1]["next_poll"]
    return due


def test_of_a_run_that_watches_and_of_one_that_was_killed(folder: Path, held: HeldCrew) -> None:
    write(folder, held)
    run = start(folder, "run", "jobs.yaml")
    held.wait_for_kickoffs(2, run)
    wait_until(lambda: bool(next_poll(folder)), run)  # the answer to the kickoff may not be recorded yet
    due = next_poll(folder)
    assert 1700 < due["seconds"] <= 1800
    assert due["executions"] == 0
    assert "shorter than 30m 00s" in due["reason"]
    line = next(line for line in call(folder, "show", "jobs", "trip-1").stdout.splitlines() if "next poll" in line)
    assert line.startswith("    next poll: in about ")
    run.kill()
    run.wait()
    due = next_poll(folder)
    assert (due["at"], due["seconds"]) == (None, None)
    assert "next run" in due["reason"]


def test_of_a_batch_of_ticks(folder: Path, held: HeldCrew) -> None:
    write(folder, held, poll="strategy: fixed", timeout="1h")
    assert call(folder, "tick", "jobs.yaml").returncode == 3
    assert next_poll(folder)["at"] is None  # no tick has polled it yet
    ended = call(folder, "tick", "jobs.yaml")
    assert ended.returncode == 3, ended.stderr
    due = next_poll(folder)
    assert due["at"] is not None
    assert "all waits are equal: 0.0s" in due["reason"]

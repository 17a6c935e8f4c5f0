"""Commands that control a batch from another process: a run obeys within two seconds, a tick at its start."""

import json
import subprocess
from pathlib import Path
from typing import Any

from cli_process import Process, call, read_until, start
from held_crew import HeldCrew

MANY = 40
CONCURRENCY = 6


def ask(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    ended = call(folder, *arguments, **variables)
    assert ended.returncode == 0, ended.stderr
    return ended


def running(folder: Path, held: HeldCrew, *arguments: str, kickoffs: int = CONCURRENCY) -> Process:
    run = start(folder, "run", "jobs.yaml", "--log-format", "json", *arguments)
    for _ in range(kickoffs):
        read_until(run, '"kicked_off"')
    return run


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(folder, "status", "jobs", "--json").stdout)
    return found


def test_pause_and_unpause_a_live_run(folder: Path, held: HeldCrew) -> None:
    run = running(folder, held)
    ask(folder, "pause", "jobs", "--reason", "quota")
    read_until(run, '"control"')
    held.finish()
    for _ in range(CONCURRENCY):
        read_until(run, '"attempt_ended"')
    _, said = run.communicate()
    assert run.returncode == 3, said
    assert held.kickoffs == CONCURRENCY
    assert '"stopped": "paused"' in said
    assert "unpause jobs" in said
    again = call(folder, "run", "jobs.yaml", "--json")
    assert (again.returncode, held.kickoffs) == (3, CONCURRENCY)
    ask(folder, "unpause", "jobs")
    held.release()
    assert call(folder, "run", "jobs.yaml").returncode == 0
    stats = held.stats()
    assert (stats["kickoffs"], stats["max_kickoffs_per_job"]) == (MANY, 1)

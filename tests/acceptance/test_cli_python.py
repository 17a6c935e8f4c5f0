"""`serve.python` and `--python`: a project with its own interpreter needs no crewai in batchcrew's environment."""

import csv
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_process import call, start
from project_environment import make_environment

CREW = """
import sys
from crewai import LLM, Agent, Crew, Task

def make(topic):
    guide = Agent("Guide", LLM("fake"))
    return Crew([guide], [Task("{topic} in " + sys.prefix, guide)])
"""
POLL = {"initial": "10ms", "max": "50ms", "settle": "0s"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two projects, and an environment in the first one."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "crew.py").write_text(CREW)
        (tmp_path / name / "pyproject.toml").touch()
    make_environment(tmp_path / "here" / ".venv")
    return tmp_path


def write(folder: Path, **crews: dict[str, Any]) -> None:
    made = {name: {"serve": {"workers": 1, **serve}} for name, serve in crews.items()}
    jobs = [{"id": name, "crew": name, "inputs": {"topic": name}} for name in crews]
    (folder / "jobs.yaml").write_text(json.dumps({"crews": made, "run": {"poll": POLL}, "jobs": jobs}))


def test_a_run_uses_the_environment_of_each_project(folder: Path) -> None:
    make_environment(folder / "other")
    named = {"target": "there/crew.py:make", "python": "other/bin/python"}
    write(folder, found={"target": "here/crew.py:make"}, named=named)
    ran = call(folder, "run", "jobs.yaml", "--ledger", "ledger.db")
    assert ran.returncode == 0, ran.stderr
    rows = csv.DictReader(call(folder, "export", "jobs", "-f", "csv", "--ledger", "ledger.db").stdout.splitlines())
    outputs = {row["job_id"]: row["output"] for row in rows}
    assert outputs["found"] == f"said: found in {folder}/here/.venv"
    assert outputs["named"] == f"said: named in {folder}/other"


@pytest.mark.parametrize("command", ["check", "run"])
def test_an_interpreter_that_cannot_be_used_is_an_error_before_anything_is_paid(folder: Path, command: str) -> None:
    write(folder, first={"target": "here/crew.py:make"}, second={"target": "there/crew.py:make", "python": "nowhere"})
    ended = call(folder, command, "jobs.yaml", "--ledger", "ledger.db")
    assert ended.returncode == 2, ended.stderr
    assert f"invalid python: nowhere ({folder}/nowhere was not found)" in ended.stderr
    assert "serve.python" in ended.stderr


def test_serve_prints_what_it_runs_under(folder: Path) -> None:
    server = start(folder, "serve", "here/crew.py:make", "--port", "0", "--state", ":memory:", "--workers", "1")
    assert server.stdout.readline().startswith("http://")
    server.send_signal(signal.SIGTERM)
    said = server.communicate()[1]
    version = ".".join(map(str, sys.version_info[:3]))
    assert f"workers run under {folder}/here/.venv/bin/python (Python {version}, crewai 0.100.0)" in said


def test_serve_refuses_it_as_well(folder: Path) -> None:
    make_environment(folder / "empty", None)
    ended = call(folder, "serve", "here/crew.py:make", "--port", "0", "--python", "empty")
    assert ended.returncode == 2, ended.stderr
    assert "has no crewai" in ended.stderr
    ended = call(folder, "serve", "demo", "--python", "empty")
    assert ended.returncode == 2
    assert "--python applies to real crews only" in ended.stderr

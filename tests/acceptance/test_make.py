"""`make demo` and `make demo-reset`, as they are called once batchcrew is installed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_process import LONGEST_SECONDS, call, environment

from batchcrew.cli import COMMANDS

ROOT = Path(__file__).parents[2]


def makes_environment() -> dict[str, str]:
    """Return the environment without what a `make` that runs these tests passes on, such as another VENV."""
    passed_on = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "PYTHON", "VENV")
    return {name: value for name, value in environment().items() if name not in passed_on}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Create the files that the Makefile needs to find the .venv of a checkout up to date."""
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs", ignore=shutil.ignore_patterns("travel_crew"))
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    program = binaries / "batchcrew"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m batchcrew "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    (binaries / "pip").touch()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
        os.utime(tmp_path / name, (0, 0))
    os.utime(binaries / "pip", (0, 0))
    (tmp_path / ".venv" / "installed").touch()
    return tmp_path


def test_the_demo_ends_after_ctrl_c_without_an_error_line_of_make(checkout: Path) -> None:
    demo = subprocess.Popen(
        ["make", "demo"],
        cwd=checkout,
        env=makes_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if "start: " in line:
            break
    os.killpg(demo.pid, signal.SIGINT)  # as a terminal does: make, the shell and batchcrew
    rest, _ = demo.communicate(timeout=LONGEST_SECONDS)
    said += rest
    assert demo.returncode == -signal.SIGINT, said  # make's own; a shell shows it as 130
    assert "stopped: by SIGINT" in said
    assert "resume: " in said
    assert "***" not in said
    assert "Error" not in said


@pytest.mark.skipif("delete" not in COMMANDS, reason="batchcrew has no `delete` yet")
def test_the_demo_starts_over_after_demo_reset(checkout: Path) -> None:
    def make(target: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["make", target], cwd=checkout, env=makes_environment(), capture_output=True, text=True, check=False
        )

    assert make("demo-reset").returncode == 0  # there is nothing yet
    for jobfile in ("jobs/demo.yaml", "jobs/trips.csv"):
        watched = call(checkout, "run", jobfile, "--watch-only", "--crew-url", "embedded")
        assert watched.returncode == 3, watched.stderr
    for _ in range(2):
        assert make("demo-reset").returncode == 0
        batches = json.loads(call(checkout, "list", "--json").stdout)
        assert [line["batch"] for line in batches] == ["trips"]

"""Without the extra, a plain message names what to install. These tests run with and without crewai."""

import subprocess
import sys
from pathlib import Path

import pytest
from real_stage import PROJECT, environment

HIDDEN = 'import sys\nsys.modules["crewai"] = None  # it cannot be found in this process and those it starts\n'


@pytest.fixture
def hidden(tmp_path: Path) -> dict[str, str]:
    """An environment of the program in which crewai is not installed."""
    folder = tmp_path / "hidden"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDDEN, encoding="utf-8")
    return environment(PYTHONPATH=str(folder), BATCHCREW_LEDGER=str(tmp_path / "ledger.db"))


@pytest.mark.parametrize(
    "words",
    [
        ["serve", str(PROJECT)],
        pytest.param(["run", str(PROJECT / "trips.yaml")], marks=pytest.mark.crash),
        pytest.param(["check", str(PROJECT / "trips.yaml")], marks=pytest.mark.crash),
    ],
)
def test_it_says_what_to_install(tmp_path: Path, hidden: dict[str, str], words: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "batchcrew", *words],
        check=False,
        cwd=tmp_path,
        env=hidden,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2, ended.stderr
    assert "pip install 'batchcrew[crewai]'" in ended.stderr
    assert "Traceback" not in ended.stderr

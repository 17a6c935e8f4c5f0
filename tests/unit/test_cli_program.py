"""The first words of the commands that batchcrew prints: they start the program again as it was started."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from batchcrew.cli.program import program_name


def executable(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / "batchcrew"
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_on_path_it_is_its_name(tmp_path: Path) -> None:
    ours = executable(tmp_path / "bin")
    link = tmp_path / "link"
    link.symlink_to(ours)
    for found in (ours, link):
        assert program_name(str(ours), ["python"], as_module=False, find=lambda _: str(found)) == "batchcrew"  # noqa: B023


@pytest.mark.parametrize("other", [True, False], ids=["another one is on PATH", "none is on PATH"])
def test_elsewhere_it_is_its_path_as_it_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    executable(tmp_path / "a folder" / "bin")
    found = str(executable(tmp_path / "other")) if other else None
    name = program_name("a folder/bin/batchcrew", ["python"], as_module=False, find=lambda _: found)
    assert name == "'a folder/bin/batchcrew'"


def test_as_a_module_it_is_the_interpreter_as_it_was_called() -> None:
    assert program_name("/x/batchcrew/__main__.py", ["python3", "-m", "batchcrew"], as_module=True) == (
        "python3 -m batchcrew"
    )


def test_inside_another_program_it_is_its_name() -> None:
    assert program_name("pytest", ["pytest"], as_module=False) == "batchcrew"


@pytest.mark.crash  # starts four fresh processes
def test_printed_commands_can_be_called(tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("crew: {url: embedded}\njobs: [{rows: rows.csv}]\n", encoding="utf-8")
    (tmp_path / "rows.csv").write_text("id,budget,interests,duration,age\na,1,x,1 day,3\n", encoding="utf-8")
    plain = {"PATH": "/usr/bin:/bin"}
    script = Path(sys.executable).with_name("batchcrew")
    printed = ""
    for start in ([str(script)], [os.path.relpath(script, tmp_path)], [sys.executable, "-m", "batchcrew"]):
        command = [*start, "run", "jobs.yaml", "--watch-only"]
        ended = subprocess.run(command, cwd=tmp_path, env=plain, capture_output=True, text=True, check=False)
        assert ended.returncode == 3, ended.stderr
        (line,) = (line for line in ended.stderr.splitlines() if line.strip().startswith("resume: "))
        printed = line.partition("resume: ")[2]
        assert shlex.split(printed) == [*start, "run", "jobs.yaml"]
    pasted = ["sh", "-c", f"{printed} --watch-only"]
    assert subprocess.run(pasted, cwd=tmp_path, env=plain, capture_output=True, check=False).returncode == 3

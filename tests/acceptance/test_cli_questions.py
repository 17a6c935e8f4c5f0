"""`batchcrew check` and `run` on rows files that may lie: questions, which stop nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_process import Crew, call

ROWS = "budget,interests,duration,age\nMünchen,x,1 day,3\n"
OFFLINE = {"CREW_URL": "http://127.0.0.1:9"}


def write(folder: Path, url: str, rows: str, more: str = "") -> None:
    crew = f'crew: {{url: "{url}", token: "${{CREW_TOKEN}}"}}\n'
    run = "run: {poll: {initial: 20ms, max: 100ms}}\n"
    (folder / "jobs.yaml").write_text(crew + run + f"jobs: [{{rows: r.csv{more}}}, {{rows: s.yaml}}]\n")
    (folder / "r.csv").write_text(rows, encoding="utf-8")
    (folder / "s.yaml").write_text("- {budget: +100, interests: x, duration: 1 day, age: 3}\n")


def test_check_describes_rows_files_and_questions_them(tmp_path: Path) -> None:
    write(tmp_path, "http://127.0.0.1:9", ROWS, ", encoding: cp1252")
    checked = call(tmp_path, "check", "jobs.yaml", "--offline")
    assert checked.returncode == 0, checked.stderr
    lines = [line.strip() for line in checked.stdout.splitlines()]
    assert any(line.startswith("r.csv: 1 row, cp1252, delimiter ',', 4 columns: budget, interests, ") for line in lines)
    assert any(line.startswith("r.csv:2: 'MÃ¼nchen' (column `budget`) may be 'München'") for line in lines)
    assert any(line.startswith("warning: s.yaml:1:12: +100 is read as the number 100") for line in lines)
    said: dict[str, Any] = json.loads(call(tmp_path, "check", "jobs.yaml", "--offline", "--json").stdout)
    assert [file["rows"] for file in said["rows_files"]] == [1, 1]
    assert said["rows_files"][0]["columns"] == ["budget", "interests", "duration", "age"]
    assert [(question["file"], question["line"]) for question in said["questions"]] == [("r.csv", 2)]


def test_a_run_warns_before_its_first_kickoff_and_is_not_stopped(tmp_path: Path) -> None:
    crew = Crew(tmp_path, "--execution-time", "10ms")
    write(tmp_path, crew.url, ROWS, ", encoding: cp1252")
    ran = call(tmp_path, "run", "jobs.yaml")
    assert ran.returncode == 0, ran.stderr
    for warning in ("r.csv:2: 'MÃ¼nchen'", "s.yaml:1:12: +100 is read as the number 100"):
        assert ran.stderr.index(warning) < ran.stderr.index("start: ")
    assert crew.stats()["kickoffs"] == 2


@pytest.mark.parametrize("command", ["check", "run"])
def test_questions_are_printed_before_the_errors_of_a_wrong_file(tmp_path: Path, command: str) -> None:
    (tmp_path / "r.csv").write_text("email;city\na@example.com;Ulm\nb@example.com;Rome, Italy\n")
    ended = call(tmp_path, command, "r.csv", "--delimiter", ",", **OFFLINE)
    assert ended.returncode == 2
    question = ended.stderr.index("r.csv:1: the delimiter ',' gives 1 column")
    assert question < ended.stderr.index("r.csv:3: 2 cells ")


def test_a_plain_file_is_not_questioned(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(ROWS, encoding="utf-8")
    checked = call(tmp_path, "check", "r.csv", "--offline", **OFFLINE)
    assert checked.returncode == 0, checked.stderr
    assert "question" not in checked.stdout
    assert json.loads(call(tmp_path, "check", "r.csv", "--offline", "--json", **OFFLINE).stdout)["questions"] == []


def test_hostile_cells_reach_the_terminal_escaped(tmp_path: Path) -> None:
    hostile = "\x1b[2J\x9b31m\u202eMÃ¼ller"
    (tmp_path / "r.csv").write_text(f"a\x1b]0;x\x07,b\n{hostile},y\n", encoding="utf-8")
    for arguments in (["check", "r.csv", "--offline"], ["check", "r.csv", "--offline", "--json"]):
        checked = call(tmp_path, *arguments, **OFFLINE)
        assert checked.returncode == 0, checked.stderr
        assert "question" in checked.stdout
        for character in "\x1b\x9b\x07\u202e":
            assert character not in checked.stdout


@pytest.mark.parametrize("command", ["run", "tick"])
def test_the_json_of_a_run_carries_its_warnings_once(tmp_path: Path, command: str) -> None:
    crew = Crew(tmp_path, "--execution-time", "10ms")
    write(tmp_path, crew.url, ROWS, ", encoding: cp1252")
    ran = call(tmp_path, command, "jobs.yaml", "--json", "--ping", "http://127.0.0.1:9/none")
    warnings = json.loads(ran.stdout)["warnings"]
    for part in ("r.csv:2: 'MÃ¼nchen'", "s.yaml:1:12: +100", "--ping"):
        assert any(part in warning for warning in warnings), (part, warnings)
    assert len(set(warnings)) == len(warnings)

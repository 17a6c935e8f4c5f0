"""Identical rows without ids: refused, skipped or numbered; kickoffs are counted at the server."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_process import Crew, call

ROWS = "budget,interests,duration,age\n1,x,1 day,3\n2,x,1 day,3\n1,x,1 day,3\n1,x,1 day,3\n"


def write(folder: Path, url: str, more: str = "", rows: str = ROWS) -> None:
    crew = f'crew: {{url: "{url}", token: "${{CREW_TOKEN}}"}}\n'
    run = "run: {poll: {initial: 20ms, max: 100ms}}\n"
    (folder / "jobs.yaml").write_text(crew + run + f"jobs: [{{rows: r.csv{more}}}]\n")
    (folder / "r.csv").write_text(rows)


def test_identical_rows_are_an_error_by_default(tmp_path: Path) -> None:
    crew = Crew(tmp_path, "--execution-time", "10ms")
    for more in ("", ", duplicates: error"):
        write(tmp_path, crew.url, more)
        ran = call(tmp_path, "run", "jobs.yaml")
        assert ran.returncode == 2
        assert "r.csv:4: rows 2 and 4 are identical" in ran.stderr
        assert "duplicates: number" in ran.stderr
    assert crew.stats()["kickoffs"] == 0


@pytest.mark.parametrize(("policy", "kickoffs"), [("skip", 2), ("number", 4)])
def test_identical_rows_are_skipped_or_numbered(tmp_path: Path, policy: str, kickoffs: int) -> None:
    crew = Crew(tmp_path, "--execution-time", "10ms")
    write(tmp_path, crew.url, f", duplicates: {policy}")
    checked = call(tmp_path, "check", "jobs.yaml", "--json")
    plan: dict[str, Any] = json.loads(checked.stdout)
    assert plan["to_kick_off"] == kickoffs
    ran = call(tmp_path, "run", "jobs.yaml")
    assert ran.returncode == 0, ran.stderr
    assert ("2 rows are skipped" in ran.stderr) == (policy == "skip")
    assert crew.stats()["kickoffs"] == kickoffs
    # the other order gives the same jobs
    header, *lines = ROWS.splitlines(keepends=True)
    write(tmp_path, crew.url, f", duplicates: {policy}", header + "".join(reversed(lines)))
    assert call(tmp_path, "run", "jobs.yaml").returncode == 0
    assert crew.stats()["kickoffs"] == kickoffs


def test_two_rows_with_one_id_are_an_error_whatever_duplicates_says(tmp_path: Path) -> None:
    for policy in ("skip", "number"):
        write(tmp_path, "http://127.0.0.1:9", f", duplicates: {policy}", "id,a\n1,x\n1,x\n")
        ran = call(tmp_path, "run", "jobs.yaml")
        assert ran.returncode == 2
        assert "duplicate job id '1'" in ran.stderr

"""The same mistake in many lines of a file: one problem, which counts them."""

import json
from datetime import date
from pathlib import Path

import pytest

from batchcrew.base.errors import Problem
from batchcrew.jobfile import load_jobfile
from batchcrew.jobfile.problems import MOST_ALIKE, Problems


def problem(line: int, message: str = "m", file: str = "r.csv") -> Problem:
    return Problem(file=file, line=line, message=message)


def test_a_few_of_the_same_are_reported_one_by_one() -> None:
    problems = Problems()
    for line in range(1, MOST_ALIKE + 1):
        problems.add(problem(line))
    assert [one.line for one in problems] == [1, 2, 3]


def test_more_are_one_that_names_the_first_lines() -> None:
    problems = Problems()
    for line in range(1, 31):
        problems.add(problem(line, f"{line} is wrong"), kind="# is wrong")
        problems.add(problem(line, "m", "other.csv"))
    assert len(problems) == 2
    assert [one.message for one in problems] == [
        "1 is wrong (30 times: lines 1, 2, 3 …)",
        "m (30 times: lines 1, 2, 3 …)",
    ]
    assert not problems.full


@pytest.mark.parametrize("template", ["{{ zzz }}", "{{ a | int }}"])
def test_a_template_that_fails_in_every_row_fails_once(tmp_path: Path, template: str) -> None:
    (tmp_path / "r.jsonl").write_text("".join(json.dumps({"a": f"n{n}"}) + "\n" for n in range(30)))
    (tmp_path / "j.yaml").write_text(
        f'crew: {{url: "http://127.0.0.1:9", token: x}}\njobs: [{{rows: r.jsonl, inputs: {{c: "{template}"}}}}]\n'
    )
    problems = Problems()
    assert not list(load_jobfile(tmp_path / "j.yaml", environ={}, today=date(2026, 1, 1)).jobs(problems))
    assert [(one.line, "30 times" in one.message) for one in problems] == [(1, True)]

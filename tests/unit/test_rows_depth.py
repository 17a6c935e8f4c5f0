"""Values that are nested too deeply are mistakes with their line and column, in every reader."""

from datetime import date
from pathlib import Path

import pytest

from batchcrew.base.errors import JobFileError
from batchcrew.jobfile import load_jobfile
from batchcrew.jobfile.answer_json import NOT_JSON, json_of
from batchcrew.jobfile.depth import MAX_ROW_DEPTH
from batchcrew.jobfile.problems import Problems
from batchcrew.model.execution import Execution, ExecutionState

HEAD = "batch: x\ncrew: {url: embedded}\n"
DEPTHS = [500, 2_000, 100_000]
OBJECTS = pytest.mark.parametrize(("begin", "end"), [('{"a": ', "}"), ("[", "]")], ids=["objects", "lists"])


def places(path: Path) -> list[tuple[str, int, int, str]]:
    """Return the problems of a job file and its rows."""
    problems = Problems()
    try:
        list(load_jobfile(path, environ={}, today=date(2026, 1, 31)).jobs(problems))
        problems.raise_if_any()
    except JobFileError as error:
        return [(Path(one.file).name, one.line, one.column, one.message) for one in error.problems]
    return []


@pytest.mark.parametrize("depth", DEPTHS)
@OBJECTS
@pytest.mark.parametrize(
    ("name", "before", "after", "limit"),
    [
        ("r.jsonl", '{"b": 1}\n{"text": "[[[{{{", "b": ', "}\n", MAX_ROW_DEPTH),
        ("r.json", '[{"b": 1},\n {"text": "[[[{{{", "b": ', "}]\n", MAX_ROW_DEPTH),
        ("r.yaml", '- {b: 1}\n- {"text": "[[[{{{", "b": ', "}\n", 49),
    ],
)
def test_a_deep_row(
    tmp_path: Path, depth: int, begin: str, end: str, name: str, before: str, after: str, limit: int
) -> None:
    (tmp_path / name).write_text(before + begin * depth + "1" + end * depth + after, encoding="utf-8")
    (tmp_path / "x.yaml").write_text(f"{HEAD}jobs: [{{rows: {name}}}]\n", encoding="utf-8")
    column = len(before.split("\n")[1]) + len(begin) * (limit - 1) + 1
    [(file, line, found, message)] = places(tmp_path / "x.yaml")
    assert (file, line, found) == (name, 2, column)
    assert message.startswith("nested deeper than ")


@pytest.mark.parametrize("depth", DEPTHS)
@OBJECTS
def test_a_deep_inline_value(tmp_path: Path, depth: int, begin: str, end: str) -> None:
    value = begin * depth + "1" + end * depth
    (tmp_path / "x.yaml").write_text(f'{HEAD}jobs:\n- inputs: {{"b": {value}}}\n', encoding="utf-8")
    [(_, line, column, message)] = places(tmp_path / "x.yaml")
    assert line == 4
    assert column > 1
    assert message == "nested deeper than 50 levels"


@pytest.mark.parametrize("depth", DEPTHS)
@OBJECTS
def test_a_deep_json_job_file(tmp_path: Path, depth: int, begin: str, end: str) -> None:
    value = begin * depth + "1" + end * depth
    text = '{"batch": "x", "crew": {"url": "embedded"},\n "jobs": [{"inputs": {"b": ' + value + "}}]}"
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    [(_, line, column, message)] = places(tmp_path / "x.json")
    assert line == 2
    assert column > 1
    assert message == "nested deeper than 50 levels"


def test_a_row_at_the_limit_is_read(tmp_path: Path) -> None:
    depth = MAX_ROW_DEPTH - 1
    row = '{"b": ' + "[" * depth + "]" * depth + "}"
    (tmp_path / "x.yaml").write_text(f"{HEAD}jobs: [{{rows: r.jsonl}}, {{rows: r.json}}]\n", encoding="utf-8")
    (tmp_path / "r.jsonl").write_text(f"{row}\n", encoding="utf-8")
    (tmp_path / "r.json").write_text(f"[{row}]\n", encoding="utf-8")
    assert places(tmp_path / "x.yaml") == []


@pytest.mark.parametrize("depth", DEPTHS)
@OBJECTS
def test_deep_json_in_an_answer_does_not_count_as_json(depth: int, begin: str, end: str) -> None:
    text = f"```json\n{begin * depth}1{end * depth}\n```"
    execution = Execution(state=ExecutionState.SUCCEEDED, word="completed", output=text)
    assert json_of(execution) is NOT_JSON

"""Rows files that are still being written are refused."""

import os
from pathlib import Path
from typing import Any

import pytest

from batchcrew.jobfile import Problems
from batchcrew.jobfile.rows.rows_file import RowsFile
from batchcrew.jobfile.rows.unfinished import CHANGED, CUT


def read(path: Path, **options: Any) -> list[str]:
    problems = Problems()
    list(RowsFile(path=path, name=path.name, **options).read(problems))
    return [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("r.csv", "id,a,b\n1,2,3\n2,3", 3),
        ("r.csv", 'id,a,b\n1,2,3\n2,"an open\nquote', 3),
        ("r.tsv", "id\ta\tb\n1\t2\t3\n2\t3", 3),
        ("r.jsonl", '{"id": 1}\n{"id": ', 2),
    ],
)
def test_a_file_that_ends_inside_a_row_is_refused(tmp_path: Path, name: str, content: str, line: int) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert f"{name}:{line}: {CUT}" in read(path)


def test_utf_16_that_ends_inside_a_row_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes("id,a\n1,2\n2".encode("utf-16"))
    assert f"r.csv:3: {CUT}" in read(path, encoding="utf-16")
    path.write_bytes("id,a\n1,2\n2,3\n".encode("utf-16"))
    assert read(path, encoding="utf-16") == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("r.csv", "id,a\n1,2\n2,3"), ("r.csv", 'id,a\n1,2\n2,"x"'), ("r.jsonl", '{"id": 1}\n{"id": 2}')],
)
def test_a_complete_last_row_needs_no_line_end(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert read(path) == []


@pytest.mark.parametrize("content", ["id,a,b\n1,2\n2,3,4", "id,a,b\n1,2,3\n2,3\n"])
def test_a_short_row_elsewhere_is_not_called_unfinished(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(content)
    (message,) = read(path)
    assert CUT not in message


@pytest.mark.parametrize("change", ["append", "replace", "rewrite"])
@pytest.mark.parametrize(
    ("name", "content"),
    [("r.csv", "id,a\n1,2\n2,3\n"), ("r.jsonl", '{"id":1}\n{"id":2}\n'), ("r.json", '[{"id":1},{"id":2}]')],
)
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, name: str, content: str, change: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    problems = Problems()
    rows = RowsFile(path=path, name=name).read(problems)
    next(rows)
    if change == "append":
        with path.open("a") as stream:
            stream.write("\n")
    elif change == "replace":
        (tmp_path / "new").write_text(content)
        (tmp_path / "new").replace(path)
    else:
        os.utime(path, ns=(0, 0))
    list(rows)
    assert f"{name}: {CHANGED}" in [str(problem) for problem in problems]

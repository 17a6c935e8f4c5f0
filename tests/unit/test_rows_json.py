"""JSON lines, and lists in JSON and YAML: values keep their types, and errors are reported with their line."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mistakes import Expected, fits

from batchcrew.jobfile import Problems
from batchcrew.jobfile.rows.rows_file import RowsFile

Rows = list[tuple[int, dict[str, Any]]]


def read(path: Path, content: str | bytes, encoding: str | None = None) -> tuple[Rows, list[str]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    problems = Problems()
    rows = list(RowsFile(path=path, name=path.name, encoding=encoding).read(problems))
    return rows, [str(problem) for problem in problems]


LINES: dict[str, tuple[str | bytes, Rows]] = {
    "types": (
        '{"a": 1, "b": 1.5, "c": null, "d": [true], "e": {"f": "g"}}\n',
        [(1, {"a": 1, "b": 1.5, "c": None, "d": [True], "e": {"f": "g"}})],
    ),
    "blank lines and CRLF": ('\n{"a": 1}\r\n\r\n{"a": 2}', [(2, {"a": 1}), (4, {"a": 2})]),
    "byte order mark": (b'\xef\xbb\xbf{"a": 1}\n', [(1, {"a": 1})]),
    "large integers": (
        '{"a": 123456789012345678901234567890, "b": 18446744073709551616}\n',
        [(1, {"a": 123456789012345678901234567890, "b": 18446744073709551616})],
    ),
    "text like pairs": ('{"a": "\\"b\\": 1, \\"b\\": 2"}\n', [(1, {"a": '"b": 1, "b": 2'})]),
    "the same key in two objects": ('{"a": {"b": 1}, "c": {"b": 2}}\n', [(1, {"a": {"b": 1}, "c": {"b": 2}})]),
}


@pytest.mark.parametrize(("content", "rows"), LINES.values(), ids=LINES)
def test_lines(tmp_path: Path, content: str | bytes, rows: Rows) -> None:
    assert read(tmp_path / "r.jsonl", content) == (rows, [])


WRONG_LINES: dict[str, tuple[str | bytes, int, list[Expected]]] = {
    "empty": ("", 0, ["r.jsonl: the file is empty; each line must be a JSON object"]),
    "blank": ("\n \n", 0, [("r.jsonl", "empty", "JSON object")]),
    "NaN": (
        '{"a": NaN}\n{"a": 1}\n',
        1,
        ["r.jsonl:1:7: not valid JSON: NaN and Infinity do not exist in JSON; write null"],
    ),
    "too large": ('{"a": 1e400}\n', 0, [("r.jsonl:1:7", "too large")]),
    "no objects": (
        '[1]\n"x"\n1\nnull\ntrue\n',
        0,
        [
            f"r.jsonl:{line}: invalid row: {kind} (expected a JSON object)"
            for line, kind in enumerate(["a list", "text", "a number", "null", "true or false"], start=1)
        ],
    ),
    "syntax": (
        '{"a": 1}\n{"a": }\n{"a": 1\n',
        1,
        [
            "r.jsonl:2:7: not valid JSON: unexpected character, expected a JSON value",
            "r.jsonl:3:9: not valid JSON: unexpected end of data",
        ],
    ),
    "key twice": ('{"a": 1, "a": 2}\n', 0, ["r.jsonl:1: duplicate key 'a' in one object"]),
    "key twice with a blank": ('{"a" : 1, "a": 2}\n', 0, [("r.jsonl:1", "key `a`")]),
    "key twice, escaped": ('{"a": 1, "\\u0061": 2}\n', 0, [("r.jsonl:1", "key `a`")]),
    "key twice below": ('{"a": [{"b": 1, "b": 2}]}\n', 0, [("r.jsonl:1", "key `b`")]),
    "half a pair": ('{"a": "\\ud800"}\n', 0, [("r.jsonl:1:8", "surrogate")]),
    "deep": (
        '{"a":' + "[" * 100_000 + "]" * 100_000 + "}\n",
        0,
        [("r.jsonl:1:205", "200 levels")],
    ),
    "latin-1": (
        '{"a": "é"}\n'.encode("latin-1"),
        0,
        [
            "r.jsonl:1: not valid JSON: the line is not UTF-8; set the file's encoding "
            "(`encoding: cp1252`, or --encoding cp1252)"
        ],
    ),
}


@pytest.mark.parametrize(("content", "rows", "messages"), WRONG_LINES.values(), ids=WRONG_LINES)
def test_wrong_lines(tmp_path: Path, content: str | bytes, rows: int, messages: list[Expected]) -> None:
    found, said = read(tmp_path / "r.jsonl", content)
    for text, message in zip(said, messages, strict=True):
        assert fits(text, message)
    assert len(found) == rows


def test_encoding_of_lines(tmp_path: Path) -> None:
    content = '{"a": "é"}\n'.encode("latin-1")
    assert read(tmp_path / "r.ndjson", content, "latin-1") == ([(1, {"a": "é"})], [])
    assert read(tmp_path / "r.ndjson", b'{"a": 1}\n' + content, "ascii")[1][0].startswith("r.ndjson:2: ")


LISTS: dict[str, tuple[str, Rows]] = {
    "lines": ('[{"a": 1},\n {"a": 2}\n]\n', [(1, {"a": 1}), (2, {"a": 2})]),
    "objects over lines": ('\n[\n{"a":\n1},{"a":2}]', [(3, {"a": 1}), (4, {"a": 2})]),
    "large integers": ('[{"a": 123456789012345678901234567890}]', [(1, {"a": 123456789012345678901234567890})]),
}


@pytest.mark.parametrize(("content", "rows"), LISTS.values(), ids=LISTS)
def test_lists(tmp_path: Path, content: str, rows: Rows) -> None:
    assert read(tmp_path / "r.json", content) == (rows, [])


def test_a_list_longer_than_a_chunk(tmp_path: Path) -> None:
    rows = [{"n": number, "text": "é" * (number % 700)} for number in range(1500)]
    found, messages = read(tmp_path / "r.json", json.dumps(rows, indent=1, ensure_ascii=False))
    assert messages == []
    assert [row for _, row in found] == rows


def test_an_object_longer_than_a_chunk(tmp_path: Path) -> None:
    rows = [{"text": "x" * 300_000, "list": list(range(100_000))}]
    assert read(tmp_path / "r.json", json.dumps(rows)) == ([(1, rows[0])], [])


WRONG_LISTS: dict[str, tuple[str | bytes, int, Expected]] = {
    "empty": ("", 0, "r.json:1: invalid rows file (expected a list of objects, as in [{…}, {…}])"),
    "no list": ('{"a": 1}', 0, "r.json:1: invalid rows file (expected a list of objects, as in [{…}, {…}])"),
    "no rows": ("[]", 0, "r.json:1: the list is empty (expected at least one row)"),
    "no object": ('[{"a": 1},\n1]', 1, "r.json:2: invalid row: a number (expected a JSON object)"),
    "no comma": (
        '[{"a": 1}\n {"a": 2}]',
        1,
        "r.json:2: not valid JSON: '{' after a row (expected a comma or ])",
    ),
    "no end": ('[{"a": 1}', 1, "r.json:1: not valid JSON: the end after a row (expected a comma or ])"),
    "more": ('[{"a": 1}]\nx', 1, "r.json:2: not valid JSON: text follows the end of the list"),
    "syntax": ('[{"a": 1},\n{"a": 1,\n "b": }]', 1, "r.json:3:7: not valid JSON: Expecting value"),
    "key twice": ('[{"a": 1, "a": 2}]', 0, "r.json:1: duplicate key 'a' in one object"),
    "NaN": ('[{"a": NaN}]', 0, "r.json:1: NaN does not exist in JSON; write null, or quote it if it is text"),
    "deep": ("[" * 100_000, 0, ("r.json:1:202", "200 levels")),
    "latin-1": (
        '[{"a": "é"}]'.encode("latin-1"),
        0,
        ("r.json:1", "after this line", "not UTF-8"),
    ),
    "long number": (f'[{{"a": {"9" * 5000}}}]', 0, ("r.json:1", "number", "quote it")),
}


@pytest.mark.parametrize(("content", "rows", "message"), WRONG_LISTS.values(), ids=WRONG_LISTS)
def test_wrong_lists(tmp_path: Path, content: str | bytes, rows: int, message: Expected) -> None:
    found, [said] = read(tmp_path / "r.json", content)
    assert fits(said, message)
    assert len(found) == rows


def test_a_mistake_early_in_a_long_list_is_found_where_it_is(tmp_path: Path) -> None:
    content = '[{"a": 1},\n{"a": x},\n' + '{"a": 1},\n' * 100_000 + "{}]"
    [message] = read(tmp_path / "r.json", content)[1]
    assert fits(message, ("r.json:2", "Expecting value"))


def test_yaml_list(tmp_path: Path) -> None:
    assert read(tmp_path / "r.yaml", "- {a: no, b: 1}\n- a: ${X}\n") == (
        [(1, {"a": "no", "b": 1}), (2, {"a": "${X}"})],
        [],
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\n", "r.yaml:1:1: invalid rows file (expected a list of mappings, one per row)"),
        ("- {a: 1}\n- x\n", "r.yaml:2:3: invalid row (expected a mapping, as in `- {email: a@example.com}`)"),
        ("- a: 1\n  a: 2\n", ("r.yaml:2:3", "key `a`", "line 1")),
    ],
)
def test_wrong_yaml_list(tmp_path: Path, content: str, message: Expected) -> None:
    [said] = read(tmp_path / "r.yaml", content)[1]
    assert fits(said, message)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(blacklist_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab:" \\', max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=st.lists(st.dictionaries(st.text('ab:" \\é', max_size=3), JSON, max_size=4), min_size=1, max_size=5))
def test_what_json_writes_is_read_back(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    assert read(tmp_path / "r.jsonl", lines) == (list(enumerate(rows, start=1)), [])
    found, messages = read(tmp_path / "r.json", json.dumps(rows, indent=2))
    assert ([row for _, row in found], messages) == (rows, [])

"""Invalid YAML and JSON, and syntax that job files do not support: one sentence with file:line:column."""

from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from mistakes import Expected, fits

from batchcrew.base.errors import JobFileError
from batchcrew.jobfile import load_jobfile

RIGHT = "crew: {url: embedded}\njobs: [{inputs: {a: 1}}]\n"
CREW, JOBS = RIGHT.splitlines(keepends=True)


def complaints(tmp_path: Path, text: str | bytes, name: str = "x.yaml") -> list[str]:
    """The messages that loading the file gives, without the folder."""
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(JobFileError) as caught:
        load_jobfile(path, environ={}, today=date(2026, 1, 31))
    return [line.replace(f"{tmp_path}/", "") for line in str(caught.value).split("\n")]


SYNTAX: dict[str, tuple[str | bytes, Expected]] = {
    "empty": ("", "x.yaml: the file is empty"),
    "only a comment": ("# nothing\n", "x.yaml: the file contains only comments"),
    "no mapping": (
        "hello\n",
        ("x.yaml:1:1", "`crew:` and `jobs:`", "'hello'"),
    ),
    "a list": (
        "- a: 1\n",
        "x.yaml:1:1: invalid job file: a list (expected a mapping with `crew:` and `jobs:`; "
        "for a list of rows write a job file with `- rows: …`)",
    ),
    "two documents": (RIGHT + "---\na: 1\n", "x.yaml:3:1: a second document begins here (expected one document)"),
    "tab": (
        "crew:\n\turl: embedded\n",
        "x.yaml:2:1: not valid YAML: found character that cannot start any token; indent with spaces, not tabs",
    ),
    "variable in braces": (
        "crew: {url: ${CREW_URL}}\n" + JOBS,
        "x.yaml:1:14: not valid YAML: did not find expected ',' or '}'; inside { } and [ ] put quotes around ${…} "
        'and {{…}}, as in "${CREW_URL}"',
    ),
    "template without quotes": (
        CREW + "jobs:\n  - rows: ok.csv\n    id: {{ name }}\n",
        "x.yaml:4:10: invalid key: a list or mapping (expected text; put quotes around a value that begins with {)",
    ),
    "colon": (
        CREW + "jobs:\n  - id: a: b\n",
        "x.yaml:3:10: not valid YAML: mapping values are not allowed in this context; "
        "a value that contains `: ` needs quotes",
    ),
    "at sign": (
        CREW + "jobs:\n  - id: @x\n",
        ("x.yaml:3:9", "not valid YAML", "%, @ or `"),
    ),
    "tag": (
        CREW + "jobs:\n  - id: !!python/object:os.system x\n",
        "x.yaml:3:9: unknown tag '!!python/object:os.system'; job files do not support tags",
    ),
    "wrong tag": (CREW + "jobs:\n  - id: !!int abc\n", "x.yaml:3:9: invalid value for its tag '!!int': 'abc'"),
    "alias of itself": (CREW + "jobs: &a [*a]\n", "x.yaml:2:11: the alias *a is inside the node that it refers to"),
    "no anchor": (CREW + "jobs: *a\n", "x.yaml:2:7: unknown anchor &a (expected one before the alias)"),
    "merge of a number": (
        CREW + "jobs:\n  - <<: 3\n    id: a\n",
        "x.yaml:3:5: invalid value of << (expected one or several mappings, as in `<<: *base`)",
    ),
    "deep": ("a: " + "[" * 100_000, "x.yaml:1:53: nested deeper than 50 levels"),
    "key twice": (CREW + RIGHT, "x.yaml:2:1: duplicate key 'crew' (first used in line 1)"),
    "infinity": (
        CREW + "jobs:\n  - inputs: {a: .inf}\n",
        "x.yaml:3:17: .inf cannot be sent to a crew: it does not exist in JSON; quote it",
    ),
    "long number": (
        CREW + "jobs:\n  - inputs: {a: " + "9" * 5000 + "}\n",
        "x.yaml:3:17: the number has 5000 digits (at most 4000 are allowed; quote it if it is text)",
    ),
    "control character": (RIGHT + 'batch: "\x01"\n', "x.yaml:3:9: the character '\\x01' is not allowed in a text file"),
    "latin-1": ((RIGHT + "batch: é\n").encode("latin-1"), "x.yaml:3:8: byte 0xe9 is not UTF-8; save the file as UTF-8"),
    "utf-16": (RIGHT.encode("utf-16"), "x.yaml: the text is UTF-16; save it as UTF-8"),
}


@pytest.mark.parametrize(("text", "message"), SYNTAX.values(), ids=SYNTAX)
def test_syntax(tmp_path: Path, text: str | bytes, message: Expected) -> None:
    [said] = complaints(tmp_path, text)
    assert fits(said, message)


JSON: dict[str, tuple[str, Expected]] = {
    "comma": ('{\n "crew": {}\n "jobs": []}', "x.json:3:2: not valid JSON: Expecting ',' delimiter"),
    "key twice": (
        '{"crew": {"url": "embedded", "url": "embedded"},\n"jobs": [{"id": "a"}]}',
        ("x.json:1:30", "`url`", "line 1"),
    ),
    "NaN": (
        '{"crew": {"url": "embedded"},\n "jobs": [{"inputs": {"a": NaN}}]}',
        "x.json:2:28: NaN does not exist in JSON; quote it if it is text",
    ),
    "value": (
        '{"crew": {"url": "embedded"},\n\t"jobs": [{"id": "a"}], "run": {"concurrency": "x"}}',
        ("x.json:2:48", "`run.concurrency`", "'x'"),
    ),
    "deep": ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", ("x.json:1:55", "50 levels")),
    "less deep": ('{"a":' + "[" * 60 + "]" * 60 + "}", ("x.json:1:55", "50 levels")),
    "half a pair": (
        '{"crew": {"url": "embedded"}, "jobs": [{"id": "\\ud800"}]}',
        "x.json:1:47: invalid character: half of a surrogate pair",
    ),
}


@pytest.mark.parametrize(("text", "message"), JSON.values(), ids=JSON)
def test_json(tmp_path: Path, text: str, message: Expected) -> None:
    [said] = complaints(tmp_path, text, "x.json")
    assert fits(said, message)


def test_a_billion_laughs_are_refused_before_they_are_laughed(tmp_path: Path) -> None:
    names = "abcdefghij"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join(f'*{old}' for _ in range(9))}]" for old, new in pairwise(names)]
    text = "\n".join(lines) + "\n" + RIGHT
    assert complaints(tmp_path, text) == ["x.yaml:6:8: the aliases expand to more than 100,000 values; use fewer"]

"""Spreadsheets that are run and exported: the same file comes back, with the answers next to its own columns."""

import csv
import io
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet
import pytest
from cli_process import INPUTS, TOKEN, Crew, ProcessOptions, call, call_with
from plain_crew import PlainCrew
from spreadsheets import SHEETS, records

from batchcrew.base.export_columns import TOKEN_COLUMNS
from batchcrew.base.text import HARMFUL_IN_BLOCK

pytestmark = pytest.mark.crash  # starts many processes

DEMO = """
crew: {{url: embedded}}
run: {{poll: {{initial: 10ms, max: 50ms}}}}
jobs: [{{rows: r.csv, duplicates: number, inputs: {inputs}{entry}}}]
"""
JOBS = """
crew: {{url: "{url}", token: a-token-of-the-tests}}
run: {{poll: {{initial: 10ms, max: 50ms}}, retry: {{attempts: 1}}}}
jobs: [{{rows: {name}{entry}}}]
"""


@pytest.mark.parametrize(("content", "options"), SHEETS.values(), ids=SHEETS)
def test_a_run_and_its_export_keep_the_bytes(tmp_path: Path, content: bytes, options: dict[str, str]) -> None:
    (tmp_path / "r.csv").write_bytes(content)
    entry = "".join(f", {name}: {value}" for name, value in options.items())
    (tmp_path / "jobs.yaml").write_text(DEMO.format(inputs=json.dumps(INPUTS), entry=entry))
    ended = call(tmp_path, "run", "jobs.yaml")
    assert ended.returncode == 0, ended.stderr
    ended = call(tmp_path, "export", "jobs", "-o", "out.csv")
    assert (ended.returncode, "note" in ended.stderr) == (0, False), ended.stderr
    encoding = options.get("encoding", "utf-8-sig")
    text, theirs = (tmp_path / "out.csv").read_bytes().decode(encoding), content.decode(encoding)
    assert (tmp_path / "out.csv").read_bytes()[:3] == content[:3]
    delimiter = max(",;\t|", key=theirs.count)
    ours = records(text, delimiter)
    assert len(ours) == len(records(theirs, delimiter))
    for record, own in zip(ours, records(theirs, delimiter), strict=True):
        assert record == own or record.startswith(own + delimiter)
    assert text.endswith("\n") == theirs.endswith("\n")
    assert text.count("succeeded") == sum(line != "" for line in ours) - 1 - theirs.startswith("sep=")


@pytest.fixture
def crew() -> Iterator[PlainCrew]:
    with PlainCrew(404) as made:
        yield made


def run(folder: Path, crew: PlainCrew, content: bytes, *, name: str = "r.csv", entry: str = "") -> None:
    (folder / name).write_bytes(content)
    (folder / "jobs.yaml").write_text(JOBS.format(url=crew.url, name=name, entry=entry and f", {entry}"))
    ended = call(folder, "run", "jobs.yaml")
    assert ended.returncode in {0, 1}, ended.stderr


def test_an_answer_that_the_encoding_does_not_have_makes_it_utf8(tmp_path: Path, crew: PlainCrew) -> None:
    crew.output = lambda kickoff_id: "東京"  # type: ignore[method-assign]
    run(tmp_path, crew, "id;Stadt\r\n1;Köln\r\n".encode("cp1252"), entry="encoding: cp1252")
    for arguments in (["-o", "out.csv"], []):
        ended = call(tmp_path, "export", "jobs", *arguments)
        assert "cp1252" in ended.stderr
        assert "UTF-8 with a byte order mark" in ended.stderr
    text = (tmp_path / "out.csv").read_bytes().decode("utf-8")
    assert text.startswith("\ufeffid;Stadt;batchcrew_state;")
    assert "\r\n1;Köln;succeeded;1;東京;" in text


def test_an_export_with_every_group_of_columns_saved_over_the_file_costs_nothing(
    tmp_path: Path, crew: PlainCrew
) -> None:
    crew.output = lambda kickoff_id: '{"score": 7, "tags": ["a"]}'  # type: ignore[method-assign]
    run(tmp_path, crew, b'task_id,"note"\na,"x"\nb,"y"\n')
    for _ in range(2):
        ended = call(tmp_path, "export", "jobs", "--flatten", "--tokens", "-o", "r.csv")
        assert ended.returncode == 0, ended.stderr
        assert call(tmp_path, "run", "jobs.yaml").returncode == 0
    assert len(crew.sent) == 2
    header, first, _ = (tmp_path / "r.csv").read_text().splitlines()
    assert header.startswith('task_id,"note",batchcrew_state,')
    assert header.endswith(f",{','.join(TOKEN_COLUMNS)},output.score,output.tags")
    assert first.startswith('a,"x",succeeded,')


def test_files_of_tasks_are_listed_on_request(tmp_path: Path, crew: PlainCrew) -> None:
    crew.extras = {"artifacts": ["/a/report.md", "/a/\x1b[2Jx", 3]}
    run(tmp_path, crew, b"id,n\na,1\nb,2\n")
    crew.extras = {"artifacts": "no list"}
    run(tmp_path, crew, b"id,n\na,1\nb,2\nc,3\n")
    wanted = ["/a/report.md", "/a/\x1b[2Jx"]
    for arguments in (["--artifacts"], ["--attempts", "--artifacts"], ["--columns", "id,batchcrew_artifacts"]):
        lines = call(tmp_path, "export", "jobs", "-f", "jsonl", *arguments).stdout.splitlines()
        rows = {row["id"]: row for row in map(json.loads, lines)}
        assert [rows[name].get("batchcrew_artifacts") for name in "abc"] == [wanted, wanted, None]
    assert "batchcrew_artifacts" not in call(tmp_path, "export", "jobs", "-f", "jsonl").stdout
    shown = call(tmp_path, "show", "jobs", "a").stdout
    assert "/a/report.md" in shown
    assert "\x1b[2J" not in shown
    assert json.loads(call(tmp_path, "show", "jobs", "a", "--json").stdout)["attempts"][0]["artifacts"] == wanted
    assert call(tmp_path, "export", "jobs", "--artifacts", "-o", "r.csv").returncode == 0
    assert call(tmp_path, "run", "jobs.yaml").returncode == 0
    assert len(crew.sent) == 3


HOSTILE = '=HYPERLINK("http://x")|<script>alert(1)</script>\x1b[2J\u202e\0](javascript:x) @all #1 `a` www.x.y'


@pytest.fixture
def hostile(tmp_path: Path, crew: PlainCrew) -> Path:
    """A folder with a batch whose answers are hostile: one of them has 5 MB."""
    # by the inputs: kickoffs of different jobs arrive in any order
    crew.output = lambda kickoff_id: HOSTILE + "x" * (5_000_000 if crew.inputs_of(kickoff_id)["n"] == "long" else 0)  # type: ignore[method-assign]
    crew.error_of = lambda inputs: HOSTILE if inputs["n"] == "fails" else None
    run(tmp_path, crew, b"id,n\n1,long\n2,short\n3,fails\n")
    return tmp_path


def test_hostile_answers_do_nothing_in_any_format(hostile: Path) -> None:
    for suffix in ("csv", "tsv", "jsonl", "json", "md", "parquet"):
        ended = call(hostile, "export", "jobs", "-o", f"out.{suffix}")
        assert ended.returncode == 0, ended.stderr
    clean = HOSTILE.replace("\0", "")
    csv.field_size_limit(max(csv.field_size_limit(), 6_000_000))
    frame = pd.read_csv(hostile / "out.csv", dtype=str)
    assert frame["output"][1] == "'" + clean
    assert len(frame["output"][0]) == len(clean) + 1 + 5_000_000
    assert duckdb.read_csv(str(hostile / "out.csv"), max_line_size=6_000_000).fetchall()[1][4] == "'" + clean
    assert (
        list(csv.reader(io.StringIO((hostile / "out.tsv").read_text(), newline=""), delimiter="\t"))[2][4]
        == "'" + clean
    )
    lines = [json.loads(line) for line in (hostile / "out.jsonl").read_text().splitlines()]
    assert lines[1]["output"] == HOSTILE
    assert json.loads((hostile / "out.json").read_text()) == lines
    table = pyarrow.parquet.read_table(hostile / "out.parquet").to_pylist()
    assert [row["output"] for row in table] == [row["output"] for row in lines]
    shown = (hostile / "out.md").read_text()
    assert HARMFUL_IN_BLOCK.search(shown) is None
    assert "<script" not in shown
    assert "(5,000," not in shown.splitlines()[3]
    assert "more characters)" in shown.splitlines()[2]
    assert {line.count("|") for line in shown.splitlines()} == {12}


@pytest.mark.parametrize("arguments", [["-f", "csv"], ["-f", "tsv"], ["-f", "jsonl"], ["-f", "json"], ["-f", "md"],
                                       ["--encoding", "utf-16"], ["--excel"]])  # fmt: skip
def test_nothing_raw_reaches_a_terminal(hostile: Path, arguments: list[str]) -> None:
    ours, theirs = os.openpty()
    process_options = ProcessOptions(stdout=theirs)
    shown: list[bytes] = []

    def read() -> None:
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                return
            if not part:
                return
            shown.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    ended = call_with(process_options, hostile, "export", "jobs", "--job", "2", "--job", "3", *arguments, TERM="xterm")
    os.close(theirs)
    reader.join()
    os.close(ours)
    assert ended.returncode == 0, ended.stderr
    text = b"".join(shown).decode().replace("\r\n", "\n")
    assert "alert(1)" in text
    assert HARMFUL_IN_BLOCK.search(text) is None


def test_a_binary_format_is_not_written_to_a_terminal(hostile: Path) -> None:
    ours, theirs = os.openpty()
    ended = call_with(ProcessOptions(stdout=theirs), hostile, "export", "jobs", "-f", "parquet")
    os.close(theirs)
    os.close(ours)
    assert ended.returncode == 2
    assert "--output" in ended.stderr


def test_a_ledger_of_an_earlier_version_has_commas_until_the_next_run(tmp_path: Path, crew: PlainCrew) -> None:
    """It has not recorded how the rows file was written."""
    run(tmp_path, crew, b"id;n\r\n1;x\r\n")
    with sqlite3.connect(tmp_path / "results" / "batchcrew.db") as connection:
        connection.execute("DELETE FROM rows_files")
    connection.close()
    assert call(tmp_path, "export", "jobs").stdout.startswith("id,n,batchcrew_state,")
    assert call(tmp_path, "run", "jobs.yaml").returncode == 0  # the file has not changed
    assert call(tmp_path, "export", "jobs").stdout.startswith("id;n;batchcrew_state;")
    assert len(crew.sent) == 1


def test_every_condition(tmp_path: Path, crew: PlainCrew) -> None:
    crew.error_of = lambda inputs: f"no luck {inputs['n']}" if inputs["n"] in "34" else None
    run(tmp_path, crew, b"id,n\na,1\nb,2\nc,3\nd,4\n")

    def ids(*arguments: str) -> list[str]:
        ended = call(tmp_path, "export", "jobs", "--columns", "id", *arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.split()[1:]

    assert ids() == ["a", "b", "c", "d"]
    assert ids("--state", "failed") == ["c", "d"]
    assert ids("--state", "failed", "--state", "succeeded") == ["a", "b", "c", "d"]
    assert ids("--job", "b", "--job", "d") == ["b", "d"]
    assert ids("--reason", "no luck 3") == ["c"]
    (group,) = json.loads(call(tmp_path, "failures", "jobs", "--json").stdout)["groups"]
    assert ids("--fingerprint", group["fingerprint"][:6]) == ["c", "d"]
    assert ids("--since", "1h") == ["a", "b", "c", "d"]
    assert ids("--since", "2100-01-01") == []
    assert call(tmp_path, "export", "jobs", "--job", "nope").returncode == 2


def test_tasks_attempts_and_tokens(tmp_path: Path) -> None:
    served = Crew(tmp_path, "--execution-time", "1ms", "--dialect", "live")
    (tmp_path / "r.csv").write_text("name\nx\ny\n")
    inputs = json.dumps({**INPUTS, "interests": "{{ name }}"})
    (tmp_path / "jobs.yaml").write_text(JOBS.format(url=served.url, name="r.csv", entry=f", inputs: {inputs}"))
    assert call(tmp_path, "run", "jobs.yaml", CREW_TOKEN=TOKEN).returncode == 0
    served.stop()

    def rows(*arguments: str) -> list[dict[str, Any]]:
        ended = call(tmp_path, "export", "jobs", "-f", "jsonl", *arguments)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    attempts = rows("--attempts", "--columns", "name,attempt,attempt_state,attempt_output,total_tokens")
    assert [(row["name"], row["attempt"], row["attempt_state"]) for row in attempts] == [
        ("x", 1, "succeeded"), ("y", 1, "succeeded")]  # fmt: skip
    assert all(row["total_tokens"] > 0 for row in attempts)
    assert all(row["attempt_output"] for row in attempts)
    assert [row["task_id"] for row in rows("--tasks")] == [None, None]  # a job without tasks has one row
    (one, _) = rows("--tokens")
    assert one["total_tokens"] == one["prompt_tokens"] + one["completion_tokens"]


def test_each_task_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("name\nx\ny\n")
    (tmp_path / "jobs.yaml").write_text(DEMO.format(inputs=json.dumps({**INPUTS, "interests": "{{ name }}"}), entry=""))
    assert call(tmp_path, "run", "jobs.yaml").returncode == 0
    lines = call(tmp_path, "export", "jobs", "-f", "jsonl", "--tasks").stdout.splitlines()
    tasks = [json.loads(line) for line in lines]
    assert len(tasks) > 2
    assert {task["name"] for task in tasks} == {"x", "y"}
    assert all(task["task_id"] and task["task_output"] for task in tasks)


REFUSED = {
    "two kinds of rows": (["--tasks", "--attempts"], "cannot be combined"),
    "a delimiter of JSON": (["-f", "json", "--delimiter", ";"], "csv and tsv"),
    "an encoding of parquet": (["-o", "x.parquet", "--encoding", "utf-8"], "csv and tsv"),
    "formulas of Markdown": (["-f", "md", "--formulas", "keep"], "csv and tsv"),
    "Excel and a delimiter": (["--excel", "--delimiter", ";"], "remove --delimiter"),
    "another delimiter of tsv": (["-f", "tsv", "--delimiter", ";"], "-f csv"),
    "a long delimiter": (["--delimiter", ";;"], "one character"),
    "a mark without Unicode": (["--encoding", "cp1252", "--bom"], "Unicode"),
    "an unknown encoding": (["--encoding", "klingon"], "unknown encoding"),
    "a reason of success": (["--state", "succeeded", "--reason", "x*"], "have no reason"),
    "an unknown column": (["--columns", "id,outptu"], "did you mean 'output'"),
    "a column twice": (["--columns", "id,id"], "twice"),
    "no column": (["--columns", ""], "names no column"),
    "columns on several lines": (["--columns", "a\nb"], "--columns"),
    "no time": (["--since", "soon"], "2026-02-03"),
    "no fingerprint": (["--fingerprint", "xyz"], "fingerprint"),
    "the ledger": (["-o", "results/batchcrew.db"], "belongs to the ledger"),
}


def test_what_makes_no_sense_is_refused_with_the_reason(tmp_path: Path, crew: PlainCrew) -> None:
    run(tmp_path, crew, b"id,n\na,1\n")
    for name, (arguments, words) in REFUSED.items():
        ended = call(tmp_path, "export", "jobs", *arguments)
        assert (ended.returncode, words in ended.stderr) == (2, True), (name, ended.stderr)
        assert ended.stdout == ""


def test_the_suffix_of_the_file_names_the_format(tmp_path: Path, crew: PlainCrew) -> None:
    run(tmp_path, crew, b"id\tn\na\t1\n", name="r.tsv")
    for name, begin in (("o.csv", b"id,n,"), ("o.TSV", b"id\tn\t"), ("o.jsonl", b'{"id"'), ("o.md", b"| id | n |"),
                        ("o.parquet", b"PAR1"), ("o.txt", b"id,n,")):  # fmt: skip
        assert call(tmp_path, "export", "jobs", "-o", name).returncode == 0
        assert (tmp_path / name).read_bytes().startswith(begin)
    assert call(tmp_path, "export", "jobs", "-o", "o.csv", BATCHCREW_FORMAT="json").returncode == 0
    assert (tmp_path / "o.csv").read_bytes().startswith(b"id,n,")
    assert call(tmp_path, "export", "jobs", "-f", "json", "-o", "p.csv").returncode == 0
    assert (tmp_path / "p.csv").read_bytes().startswith(b"[")

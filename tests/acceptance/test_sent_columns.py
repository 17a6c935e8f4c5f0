"""Which columns of a rows file a crew is sent: what arrived is read at the crew."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import call
from plain_crew import PlainCrew

pytestmark = pytest.mark.crash  # starts many processes

JOB_FILE = """
crew: {{url: "{url}", token: t}}
run: {{poll: {{initial: 10ms, max: 50ms}}, retry: {{attempts: 1}}}}
jobs: [{{rows: l.csv{entry}}}]
"""
ROWS = "id,topic,size,notes\na,cats,1,x\nb,dogs,2,y\n"


@pytest.fixture
def crew() -> Iterator[PlainCrew]:
    with PlainCrew({"inputs": ["topic"]}) as made:
        yield made


def write(folder: Path, crew: PlainCrew, rows: str = ROWS, entry: str = "") -> None:
    (folder / "l.csv").write_text(rows)
    (folder / "l.yaml").write_text(JOB_FILE.format(url=crew.url, entry=entry and f", {entry}"))


def run(folder: Path, *words: str, code: int = 0) -> str:
    ended = call(folder, "run", "l.yaml", *words)
    assert ended.returncode == code, ended.stderr
    return ended.stderr


def test_only_what_the_crew_lists_is_sent_and_the_rest_is_named_first(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew)
    said = run(tmp_path)
    assert sorted(crew.sent, key=str) == [{"topic": "cats"}, {"topic": "dogs"}]
    lines = said.splitlines()
    named = next(number for number, line in enumerate(lines) if "size, notes" in line)
    assert named < next(number for number, line in enumerate(lines) if "start" in line)
    # columns that are not sent may come, change and go
    write(tmp_path, crew, "id,topic,owner\na,cats,kim\nb,dogs,lee\n")
    run(tmp_path)
    assert len(crew.sent) == 2


@pytest.mark.parametrize(
    ("listed", "sent"),
    [
        ({"inputs": ["topic"], "optional_inputs": ["size"]}, {"topic", "size"}),
        ({"inputs": {"topic": "str", "notes": "str"}}, {"topic", "notes"}),
        ({"inputs": [{"name": "topic"}, {"name": "size", "required": False}]}, {"topic", "size"}),
        ({"inputs": ["topic", "id"]}, {"topic", "id"}),
        ({"inputs": []}, {"topic", "size", "notes"}),
        (404, {"topic", "size", "notes"}),
    ],
)
def test_what_a_crew_lists_decides(tmp_path: Path, listed: Any, sent: set[str]) -> None:
    with PlainCrew(listed) as crew:
        write(tmp_path, crew)
        run(tmp_path)
        assert [set(inputs) for inputs in crew.sent] == [sent, sent]


@pytest.mark.parametrize(
    ("entry", "sent"),
    [
        ("send: all", {"topic", "size", "notes"}),
        ("send: [notes, topic]", {"topic", "notes"}),
        ('inputs: {topic: "{{ topic }}", other: "{{ notes }}"}', {"topic", "other"}),
    ],
)
def test_the_job_file_decides_where_it_says(tmp_path: Path, crew: PlainCrew, entry: str, sent: set[str]) -> None:
    write(tmp_path, crew, entry=entry)
    run(tmp_path)
    assert [set(inputs) for inputs in crew.sent] == [sent, sent]


def test_a_column_that_send_misspells_is_an_error_before_the_crew_is_contacted(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew, entry="send: [topics]")
    assert "topic" in run(tmp_path, code=2)
    assert crew.requests == 0


def test_the_choice_stays_with_the_batch(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew)
    run(tmp_path)
    others: tuple[Any, ...] = (500, {"inputs": ["topic"], "optional_inputs": ["size"]}, {"inputs": []})
    for listed in others:
        crew.inputs = listed
        write(tmp_path, crew, ROWS + f"n{len(crew.sent)},{'fish' * len(crew.sent)},3,z\n")
        run(tmp_path)
    assert all(set(inputs) == {"topic"} for inputs in crew.sent)
    assert len(crew.sent) == 5


def test_a_choice_that_was_never_answered_stays_too(tmp_path: Path) -> None:
    with PlainCrew(404) as crew:
        write(tmp_path, crew)
        run(tmp_path)
        crew.inputs = {"inputs": ["topic"]}
        write(tmp_path, crew, ROWS.replace("id,", "id,"), entry='meta: {again: "yes"}')
        run(tmp_path)
        assert len(crew.sent) == 2


def test_a_wrong_file_is_refused_before_the_crew_is_contacted(tmp_path: Path, crew: PlainCrew) -> None:
    for rows in (ROWS + "a,again,3,z\n", ROWS + "c,short\n", "id,topic\na,\udc80\n"):
        (tmp_path / "l.csv").write_bytes(rows.encode("utf-8", "surrogateescape"))
        (tmp_path / "l.yaml").write_text(JOB_FILE.format(url=crew.url, entry=""))
        for command in ("run", "tick", "check"):
            assert call(tmp_path, command, "l.yaml").returncode == 2
    assert crew.requests == 0


def test_an_unreachable_crew_decides_nothing(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew)
    away = (tmp_path / "l.yaml").read_text()
    (tmp_path / "l.yaml").write_text(away.replace(crew.url, "http://127.0.0.1:9"))
    for _ in range(2):
        assert call(tmp_path, "tick", "l.yaml").returncode in {3, 5}
    assert call(tmp_path, "check", "l.yaml").returncode == 5
    (tmp_path / "l.yaml").write_text(away)
    run(tmp_path)
    assert sorted(crew.sent, key=str) == [{"topic": "cats"}, {"topic": "dogs"}]
    # nothing is left to do: a run would not contact the crew
    (tmp_path / "l.yaml").write_text(away.replace(crew.url, "http://127.0.0.1:9"))
    assert call(tmp_path, "check", "l.yaml").returncode == 0
    run(tmp_path)


def test_failed_and_pending_jobs_that_changed_run_with_their_new_inputs(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew, "id,topic\na,cats\nb,dogs\nc,fish\n")
    crew.failing = True
    run(tmp_path, "--limit", "2", code=3)
    crew.failing = False
    write(tmp_path, crew, "id,topic\na,lions\nb,dogs\nc,sharks\n")
    run(tmp_path, code=1)
    assert sorted(inputs["topic"] for inputs in crew.sent[2:]) == ["lions", "sharks"]
    states = {
        row["id"]: row["batchcrew_state"] for row in json.loads(call(tmp_path, "export", "l", "-f", "json").stdout)
    }
    assert states == {"a": "succeeded", "b": "failed", "c": "succeeded"}


def test_rows_with_ids_never_need_consent_for_being_replaced(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew, "id,topic\n" + "".join(f"a{n},cats {n}\n" for n in range(12)))
    run(tmp_path)
    write(tmp_path, crew, "id,topic\n" + "".join(f"b{n},dogs {n}\n" for n in range(12)))
    run(tmp_path)
    assert len(crew.sent) == 24

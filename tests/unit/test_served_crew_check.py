"""What `check` shows about a served crew, from what its worker said."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from batchcrew.app.served_check import Columns, served_crew_check
from batchcrew.base.crew_details import (
    MAX_ITEMS,
    AgentDetails,
    CrewDetails,
    InputDetails,
    ModelDetails,
    TaskDetails,
    sanitized,
)
from batchcrew.base.text import display_width
from batchcrew.jobfile import load_jobfile
from batchcrew.reports.served_crew import ServedCrewCheck, served_crew_json, served_crew_lines
from batchcrew.server.worker.models import describe_model, host_of, models_of
from batchcrew.server.worker.source_code import _lines
from batchcrew.server.workers.messages import Ready, decode_from_worker, encode

DETAILS = CrewDetails(
    what="crew",
    folder="/srv/trips",
    interpreter="/srv/trips/.venv/bin/python",
    python="3.12.1",
    crewai="1.15.30",
    memory_bytes=175 * 2**20,
    models=(ModelDetails(name="gpt-4o", provider="openai", host="api.openai.com", used_by=("Guide", "manager")),),
    agents=(AgentDetails(role="Guide", model="gpt-4o", tools=("search", "maps")),),
    tasks=(
        TaskDetails(name="plan", agent="Guide", output_file="report.md"),
        TaskDetails(name="review", agent="Guide", human_input=True),
    ),
    inputs=(
        InputDetails(name="place", sources=("task plan",)),
        InputDetails(name="tone", sources=("serve.inputs",)),
    ),
    memory=("crew",),
    verbose=True,
    warnings=("crew.py:9 calls input()",),
)


def checked(
    tmp_path: Path, serve: str = "target: .", details: CrewDetails = DETAILS, rest: str = ""
) -> ServedCrewCheck:
    path = tmp_path / "jobs.yaml"
    path.write_text(f"crew: {{serve: {{{serve}}}}}\n{rest}jobs: [{{inputs: {{place: Rome}}}}]\n", encoding="utf-8")
    jobfile = load_jobfile(path, environ={}, today=date(2026, 1, 31))
    columns = Columns(sent=("place",), not_sent=("budget",))
    return served_crew_check("default", details, columns, jobfile, jobfile.run, tmp_path / "batchcrew.db")


def test_each_fact_is_shown_in_80_columns(tmp_path: Path) -> None:
    found = replace(checked(tmp_path), artifacts="/srv/artifacts", warnings=checked(tmp_path).warnings[:-1])
    lines = list(served_crew_lines(found, 80))  # without this test's own folder: paths are not broken
    assert max(map(display_width, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    for fact in (
        "project: /srv/trips",
        "3.12.1, crewai 1.15.30, /srv/trips/.venv/bin/python",
        "gpt-4o (openai) at api.openai.com: Guide, manager",
        "Guide: tools search, maps",
        "place: row, task plan",
        "isolated: empty for each execution (crew)",
        "human input: review",
        "report.md (task plan) below /srv/artifacts",
        "2 workers, 4 executions in each; 175 MiB",
        "warning: crew.py:9 calls input()",
    ):
        assert fact in text, text


def test_the_json_has_every_fact(tmp_path: Path) -> None:
    found = json.loads(json.dumps(served_crew_json(checked(tmp_path, "target: ., isolation: process"))))
    assert found["models"] == [
        {"name": "gpt-4o", "provider": "openai", "host": "api.openai.com", "used_by": ["Guide", "manager"], "key": "",
         "key_is_set": True}
    ]  # fmt: skip
    assert found["inputs"][0] == {"name": "place", "sources": ["row", "task plan"]}
    assert (found["memory"], found["memory_mode"], found["isolation"]) == (["crew"], "isolated", "process")
    assert (found["memory_bytes"], found["workers"], found["threads"]) == (175 * 2**20, 2, 1)
    assert found["tasks"][1]["human_input"] is True
    assert served_crew_json(None) is None


@pytest.mark.parametrize(
    ("serve", "details", "rest", "named"),
    [
        ("target: ., inputs: {tone: x}", DETAILS, "", "serve.inputs names tone"),
        ("target: .", DETAILS, "", "column budget"),
        ("target: .", DETAILS, "", "task review waits for human input"),
        ("target: .", DETAILS, "", "no one is notified"),
        ("target: ., memory: shared", DETAILS, "", "memory: shared"),
        ("target: .", DETAILS, "", "served-default.log"),
    ],
)
def test_warnings_of_the_job_file(tmp_path: Path, serve: str, details: CrewDetails, rest: str, named: str) -> None:
    assert any(named in one for one in checked(tmp_path, serve, details, rest).warnings)


def test_nothing_is_warned_of_where_nothing_is_wrong(tmp_path: Path) -> None:
    fine = replace(
        DETAILS,
        verbose=False,
        warnings=(),
        tasks=(),
        inputs=(InputDetails(name="tone", sources=("task a", "serve.inputs")),),
    )
    found = checked(tmp_path, "target: ., inputs: {tone: x, year: }", fine).warnings
    assert [one for one in found if "budget" not in one] == []
    assert checked(tmp_path, "target: ., inputs: {tone: x}", replace(fine, open_inputs=True)).warnings == ()


def test_a_receiver_of_notifications_is_enough(tmp_path: Path) -> None:
    rest = "notify: [{url: 'json://localhost'}]\n"
    assert not any("no one" in one for one in checked(tmp_path, rest=rest).warnings)


def test_details_of_a_hostile_project_are_cleaned_and_cut() -> None:
    hostile = replace(
        DETAILS,
        agents=tuple(AgentDetails(role=f"\x1b[2J{number}" + "x" * 9000) for number in range(1000)),
        warnings=("\u202e" + "y" * 9000,),
    )
    found = sanitized(hostile)
    assert len(found.agents) == MAX_ITEMS
    text = f"{found.agents[0].role}{found.warnings[0]}"
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text) < 1000


def test_a_worker_sends_the_details() -> None:
    message = Ready(name="n", what="crew", inputs=(), total=1, events=(), details=DETAILS)
    assert decode_from_worker(encode(message)) == message


def library(name: str, **attributes: Any) -> Any:
    """Return an object whose class looks like one of the library."""
    made = type(name, (), {"__module__": "crewai.llm"})()
    for key, value in attributes.items():
        setattr(made, key, value)
    return made


def test_where_a_model_is_called_and_whether_its_key_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    plain = describe_model("gpt-4o")
    assert (plain.provider, plain.host, plain.key, plain.key_is_set) == (
        "openai", "api.openai.com", "OPENAI_API_KEY", False,
    )  # fmt: skip
    local = describe_model(library("LLM", model="openai/small", base_url="http://u:secret@127.0.0.1:8899/v1?key=x"))
    assert (local.host, local.key) == ("127.0.0.1:8899", "")
    assert describe_model(library("LLM", model="anthropic/claude", api_key="k")).key_is_set
    monkeypatch.setenv("OPENAI_API_BASE", "https://proxy.example.com/v1")
    assert describe_model("gpt-4o").host == "proxy.example.com"
    own = describe_model(SimpleNamespace(model="parrot", base_url="x"))
    assert (own.name, own.provider, own.host, own.key) == ("parrot", "class SimpleNamespace", "", "")
    assert host_of("http://[::1]:1/x") == "[::1]:1"


def test_a_model_is_listed_once_with_its_agents() -> None:
    agents = [SimpleNamespace(role=role, llm="gpt-4o") for role in ("Guide", "Cook")]
    crew = SimpleNamespace(agents=agents, manager_llm="ollama/llama3", tasks=[])
    found = models_of(crew)
    assert [(one.name, one.used_by) for one in found] == [
        ("gpt-4o", ("Guide", "Cook")),
        ("ollama/llama3", ("manager",)),
    ]


def test_calls_of_input_are_found_in_the_code() -> None:
    import ast

    code = 'def f():\n    return input("x")\nif __name__ == "__main__":\n    input("y")\nself.input("z")\n'
    assert list(_lines(ast.parse(code))) == [2]

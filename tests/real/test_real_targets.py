"""Each kind of target with real crewai: its inputs, its results, and that nothing leaks from run to run."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from real_stage import PROJECT, environment, served, workers_of
from test_real_crew import ask, start_run, write_forty

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(300)]
HERE = Path(__file__).parent
KINDS = [
    "crew", "make", "cached", "streaming", "typed", "with_tool", "needs", "nothing",
    "TypedFlow", "PlainFlow", "made_flow", "absent", "formal", "whole", "runs_it", "hides_it", "has_run", "Prepared",
    "StateFlow", "IdleFlow", "UntypedStateFlow", "Plain", "RunsItself",
]  # fmt: skip
USAGE = {
    "total_tokens": 15,
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "cached_prompt_tokens": 0,
    "successful_requests": 1,
}
TOPIC = {"name": "topic", "type": "string", "required": True}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Each kind, run twice in one process."""
    folder = tmp_path_factory.mktemp("kinds")
    command = [sys.executable, str(HERE / "targets_driver.py"), str(folder), *KINDS]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kinds: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return kinds


@pytest.mark.parametrize("kind", ["crew", "make", "cached", "streaming"])
def test_a_crew_is_pristine_each_time(found: dict[str, Any], kind: str) -> None:
    said = found[kind]
    assert (said["what"], said["inputs"], said["total"]) == ("crew", [TOPIC], 1)
    for run, topic in zip(said["runs"], ("salt", "pepper"), strict=True):
        assert (run["output"], run["json"], run["usage"]) == (topic, None, USAGE)
        (task,) = run["tasks"]
        assert (task["task_id"], task["agent"], task["output"]) == ("say", "Parrot", topic)
        assert task["description"] == f"Say: {topic}"
        assert task["execution_time"] > 0
        assert run["steps"] == [{"task_id": "say", "agent": "Parrot", "prompt": f"Say: {topic}", "thought": topic}]
        assert run["events"] == ["crew_kickoff_completed", "task_started"]


def test_typed_output_is_also_json_and_braces_are_not_inputs(found: dict[str, Any]) -> None:
    assert found["typed"]["inputs"] == [TOPIC]
    assert [run["json"] for run in found["typed"]["runs"]] == [{"word": "salt"}, {"word": "pepper"}]
    assert found["typed"]["runs"][0]["tasks"][0]["output_json"] == {"word": "salt"}


def test_a_tool_is_a_step(found: dict[str, Any]) -> None:
    first, last = found["with_tool"]["runs"][0]["steps"]
    assert (first["tool"], first["result"], first["task_id"]) == ("shout", "HEY", "say")
    assert json.loads(first["tool_input"].replace("'", '"')) == {"text": "hey"}
    assert last["thought"] == "salt"
    assert found["with_tool"]["runs"][0]["usage"] == {name: 2 * count for name, count in USAGE.items()}


def test_flows(found: dict[str, Any]) -> None:
    typed = found["TypedFlow"]
    assert (typed["what"], typed["total"]) == ("flow", 2)
    assert typed["inputs"] == [
        {"name": "topic", "type": "string", "required": False},
        {"name": "times", "type": "integer", "required": False},
    ]
    assert [run["json"] for run in typed["runs"]] == [{"said": ["salt"] * 3}, {"said": ["pepper"] * 3}]
    for run in typed["runs"]:
        assert run["usage"] == USAGE
        # crewai calls listeners in its own threads: a method's end may be reported after the next method's start
        methods = [kind for kind in run["kinds"] if kind.startswith("Method")]
        assert sorted(methods) == ["MethodEnded"] * 2 + ["MethodStarted"] * 2
        assert [task["task_id"] for task in run["tasks"]] == ["say"]
    assert found["PlainFlow"]["inputs"] == []
    assert [run["output"] for run in found["PlainFlow"]["runs"]] == ["plain salt", "plain pepper"]


def test_a_target_that_cannot_be_served_is_reported(found: dict[str, Any]) -> None:
    at = "crews_of_all_kinds"
    called = f"{at}:needs(argument='trial'), called to find its inputs, raised AssertionError: trial"
    assert found["needs"]["refused"] == called
    assert found["nothing"]["refused"] == f"{at}:nothing makes str, which is not a crew or a flow"
    assert found["made_flow"]["refused"] == f"{at}:made_flow is an instance of a flow; name its class PlainFlow"
    known = "AskingFlow, IdleFlow, PlainFlow, Prepared, StateFlow, TypedFlow, UntypedStateFlow, crew, flow"
    assert found["absent"]["refused"] == f"{at}:absent: {at} has no absent; it has {known}"


def test_the_parameters_of_a_function_are_inputs(found: dict[str, Any]) -> None:
    assert found["formal"]["inputs"] == [
        {"name": "topic", "type": "string", "required": True},
        {"name": "tone", "type": "string", "required": False},
        {"name": "times", "type": "integer", "required": False},
        {"name": "loud", "type": "boolean", "required": False},
        {"name": "more", "type": "string", "required": True},
    ]
    outputs = [run["output"] for run in found["formal"]["runs"]]
    assert outputs == ["salt CALM CALM CALM end", "pepper CALM CALM CALM end"]
    assert [run["output"] for run in found["whole"]["runs"]] == ["salt", "pepper"]


def test_a_class_whose_method_makes_a_crew_gets_its_arguments_from_the_row(found: dict[str, Any]) -> None:
    inputs = {entry["name"]: entry["required"] for entry in found["Plain"]["inputs"]}
    assert inputs == {"topic": True, "tone": False}
    assert [run["output"] for run in found["Plain"]["runs"]] == ["salt calm", "pepper calm"]


def test_a_class_that_runs_its_crew_is_refused_with_the_cure(found: dict[str, Any]) -> None:
    assert "give it a method crew() that returns its Crew" in found["RunsItself"]["refused"]


@pytest.mark.parametrize("kind", ["runs_it", "hides_it"])
def test_a_function_that_runs_its_crew_is_refused_and_runs_nothing(found: dict[str, Any], kind: str) -> None:
    said = found[kind]["refused"]
    assert "starts a crew while it is loaded" in said
    assert re.search(r"crews_of_all_kinds\.py:\d+ \(.*\.kickoff\(inputs=.*\)\); name a function", said), said


def test_a_crew_that_has_run_is_refused(found: dict[str, Any]) -> None:
    assert "has been run with other inputs already" in found["has_run"]["refused"]


def test_inputs_that_before_kickoff_supplies_are_not_required(found: dict[str, Any]) -> None:
    inputs = {entry["name"]: entry["required"] for entry in found["Prepared"]["inputs"]}
    assert inputs == {"topic": True, "shouted": False, "year": False}
    assert [run["output"] for run in found["Prepared"]["runs"]] == ["SALT 2026", "PEPPER 2026"]


def test_a_flow_that_returns_nothing_answers_with_its_state(found: dict[str, Any]) -> None:
    assert [run["output"] for run in found["StateFlow"]["runs"]] == ["all about salt", "all about pepper"]
    assert found["StateFlow"]["runs"][0]["json"]["notes"] == ["a", "b"]
    assert [run["output"] for run in found["IdleFlow"]["runs"]] == ["", ""]
    assert [run["output"] for run in found["UntypedStateFlow"]["runs"]] == ["oh salt", "oh pepper"]
    assert found["UntypedStateFlow"]["runs"][0]["json"]["count"] == 3


SCRIPT = """
from pathlib import Path
import threading
from crews_of_all_kinds import build

crew = build()
def go():
    try:
        crew.kickoff(inputs={"topic": "paid"})
    except BaseException:
        Path("caught").touch()
{start}
"""


@pytest.mark.parametrize(
    ("start", "line"),
    [
        ('crew.kickoff(inputs={"topic": "paid"})', 'crew.kickoff(inputs={"topic": "paid"})'),
        ("go()", 'crew.kickoff(inputs={"topic": "paid"})'),
        ("t = threading.Thread(target=go); t.start(); t.join()", 'crew.kickoff(inputs={"topic": "paid"})'),
        ('crew.agents[0].kickoff("paid")', 'crew.agents[0].kickoff("paid")'),
        ('crew.agents[0].llm.call([{"role": "user", "content": "paid"}])', "self._emit_call_started_event("),
    ],
)
def test_a_module_that_starts_its_crew_is_refused_while_it_is_loaded(tmp_path: Path, start: str, line: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.replace("{start}", start), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "batchcrew", "serve", "script.py:crew", "--port", "0", "--workers", "1"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(HERE)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    where = f"{HERE}/crews_of_all_kinds.py:" if "_emit" in line else f"{tmp_path}/script.py:"
    assert f"script.py starts a crew while it is loaded: {where}" in done.stderr.replace(":crew", "")
    assert line in done.stderr
    assert "put it under `if __name__" in done.stderr


def test_human_input_is_requested_until_the_answer_is_approved(tmp_path: Path) -> None:
    with served(tmp_path, f"{HERE}/crews_of_all_kinds.py:asking", "--workers", "1") as server:
        kickoff_id = server.kickoff({"topic": "salt"})
        asked = until(server, kickoff_id, "Pending Human Input")
        assert asked["current_task"] == "say"
        word = {"execution_id": kickoff_id, "task_id": "say", "is_approve": False, "human_feedback": "better please"}
        code, answer = server.call("/resume", word)
        assert (code, answer["status"]) == (200, "retrying")
        until(server, kickoff_id, "Pending Human Input")
        code, answer = server.call("/resume", {**word, "is_approve": True})
        assert (code, answer["status"]) == (200, "resumed")
        assert until(server, kickoff_id, "completed")["result"]["output"] == "a better word"


def test_a_flow_requests_human_input(tmp_path: Path) -> None:
    with served(tmp_path, f"{HERE}/crews_of_all_kinds.py:AskingFlow", "--workers", "1") as server:
        kickoff_id = server.kickoff({})
        for task, said in (("write", "quite"), ("ask", "three")):
            while until(server, kickoff_id, "Pending Human Input")["current_task"] != task:
                pass
            word = {"execution_id": kickoff_id, "task_id": task, "is_approve": True, "human_feedback": said}
            assert server.call("/resume", word)[0] == 200
        assert until(server, kickoff_id, "completed")["result"]["output"] == "a draft, quite, three"


def test_a_stopped_run_reports_the_executions_that_it_interrupts(tmp_path: Path) -> None:
    write_forty(tmp_path, str(PROJECT))
    # no execution ends in the time of this test
    run = start_run(tmp_path, tmp_path / "jobs.yaml", OFFLINE_SECONDS="3600")
    while not kicked_off(tmp_path):
        assert run.poll() is None
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=250)
    assert run.returncode == 3, said
    left = len(kicked_off(tmp_path))
    assert f"its end interrupts {left} execution" in said
    assert workers_of(run.pid) == []


def kicked_off(folder: Path) -> list[tuple[Any, ...]]:
    """The attempts in progress; none before the ledger and its tables exist."""
    if not (folder / "ledger.db").exists():
        return []
    try:
        return ask(folder, "SELECT id FROM attempts WHERE state = 'kicked_off'")
    except sqlite3.OperationalError:
        return []


def until(server: Any, kickoff_id: str, word: str) -> Any:
    """Poll until the execution has this status; the time limit of the test ends the wait."""
    while (found := server.status(kickoff_id))["status"] != word:
        assert found["status"] not in {"completed", "error"}, found
    return found

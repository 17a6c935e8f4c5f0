"""Answers of wrappers about executions, as literal payloads: `data`, and dumps of what CrewAI returns."""

import json
from typing import Any

import pytest

from batchcrew.crew import dialect
from batchcrew.model.execution import Execution, ExecutionState, TaskResult

TOKENS = {
    "total_tokens": 30,
    "prompt_tokens": 10,
    "cached_prompt_tokens": 0,
    "completion_tokens": 20,
    "successful_requests": 2,
}
TASKS_OUTPUT = [
    {
        "description": "Find three hotels",
        "name": "research",
        "expected_output": "A list",
        "summary": "Find three hotels...",
        "raw": "three hotels",
        "pydantic": None,
        "json_dict": None,
        "agent": "Researcher",
        "output_format": "raw",
    },
    {"description": "Plan", "name": None, "raw": "", "json_dict": {"days": 7}, "agent": "Planner"},
]
TASKS = (
    TaskResult(task_id="research", output="three hotels", agent="Researcher"),
    TaskResult(task_id="task 2", output="", agent="Planner"),
)
CREW_OUTPUT = {
    "raw": "the plan",
    "pydantic": None,
    "json_dict": {"days": 7},
    "tasks_output": TASKS_OUTPUT,
    "token_usage": TOKENS,
}


def read(payload: Any) -> Execution:
    return dialect.execution(json.dumps(payload).encode())


@pytest.mark.parametrize(
    "payload",
    [
        {"status": "done", **CREW_OUTPUT},
        {"status": "done", "result": CREW_OUTPUT},
        {"status": "done", "output": CREW_OUTPUT},
        {"status": "done", "data": CREW_OUTPUT},
        {"data": {"status": "done", "response": CREW_OUTPUT}},
    ],
)
def test_a_dump_of_crew_output(payload: dict[str, Any]) -> None:
    assert read(payload) == Execution(
        state=ExecutionState.SUCCEEDED,
        word="done",
        output="the plan",
        result_json={"days": 7},
        tasks=TASKS,
        token_usage=TOKENS,
        answer=json.dumps(payload),
    )


@pytest.mark.parametrize(
    ("result", "output", "result_json"),
    [
        ({"raw": "text", "json_dict": None, "tasks_output": []}, "text", None),
        ({"raw": "", "json_dict": {"days": 7}, "tasks_output": []}, '{"days":7}', {"days": 7}),
        ({"raw": "text", "pydantic": {"days": 7}, "json_dict": None}, "text", {"days": 7}),
        ({"raw": '{"days": 7}', "tasks_output": []}, '{"days": 7}', {"days": 7}),
        ({"raw": "", "tasks_output": []}, "", None),
        ({"raw": "text", "score": 3}, '{"raw":"text","score":3}', {"raw": "text", "score": 3}),
        ({"raw": 3}, '{"raw":3}', {"raw": 3}),
    ],
)
def test_the_output_of_a_dump(result: dict[str, Any], output: str, result_json: Any) -> None:
    execution = read({"status": "completed", "result": result})
    assert (execution.output, execution.result_json) == (output, result_json)


@pytest.mark.parametrize(
    ("payload", "state", "output"),
    [
        ({"data": {"status": "completed", "result": "text"}}, ExecutionState.SUCCEEDED, "text"),
        ({"success": True, "data": {"state": "SUCCESS", "output": "text"}}, ExecutionState.SUCCEEDED, "text"),
        ({"status": 200, "data": {"status": "done", "output": "text"}}, ExecutionState.SUCCEEDED, "text"),
        ({"status": "completed", "data": {"output": "text"}}, ExecutionState.SUCCEEDED, "text"),
        ({"status": "completed", "data": {"result": {"output": "text"}}}, ExecutionState.SUCCEEDED, "text"),
        # `success` and `ok` are about the request where the status of the execution is inside
        ({"status": "success", "data": {"status": "running"}}, ExecutionState.RUNNING, None),
        ({"status": "ok", "data": {"status": "failed", "error": "x"}}, ExecutionState.FAILED, None),
        ({"status": "success", "data": {"status": "warming up"}}, ExecutionState.RUNNING, None),
        ({"status": "fetched", "data": {"status": "completed", "raw": "text"}}, ExecutionState.SUCCEEDED, "text"),
        ({"status": "researching", "data": {"status": "ok"}}, ExecutionState.RUNNING, None),
        # the status outside is that of the execution, whatever the crew's own data has
        ({"status": "running", "data": {"status": "completed", "output": "x"}}, ExecutionState.RUNNING, None),
        ({"state": "SUCCESS", "data": {"state": "CA", "output": "text"}}, ExecutionState.SUCCEEDED, "text"),
        ({"status": "success", "data": {"state": "CA", "output": "text"}}, ExecutionState.SUCCEEDED, "text"),
        ({"status": "success", "result": "text", "data": {"status": "pending"}}, ExecutionState.SUCCEEDED, "text"),
        ({"status": "failed", "error": "x", "data": {"status": "completed"}}, ExecutionState.FAILED, None),
        ({"status": "completed", "result": "text", "data": {"output": "x"}}, ExecutionState.SUCCEEDED, "text"),
        ({"status": "completed", "result": "text", "data": ["x"]}, ExecutionState.SUCCEEDED, "text"),
        ({"status": "completed", "data": None}, ExecutionState.SUCCEEDED, None),
    ],
)
def test_a_wrapper_is_unwrapped_in_one_step(payload: dict[str, Any], state: ExecutionState, output: str | None) -> None:
    execution = read(payload)
    assert (execution.state, execution.output) == (state, output)


def test_a_failure_in_a_wrapper() -> None:
    assert read({"message": "OK", "data": {"status": "failed", "error": "no flights"}}).error == "no flights"
    assert read({"error": "no flights", "data": {"status": "failed", "error": None}}).error == "no flights"
    assert read({"status": "failed", "data": {"error": "no flights"}}).error == "no flights"
    assert read({"status": "failed", "data": {"output": "no flights"}}).error == "no flights"


def test_the_tasks_of_a_wrapper_are_next_to_the_result() -> None:
    tasks = [{"name": "research", "output": "found"}]
    for payload in (
        {"data": {"status": "completed", "output": "x", "tasks": tasks}},
        {"data": {"status": "failed", "error": "x", "tasks": tasks}},
    ):
        assert read(payload).tasks == (TaskResult(task_id="research", output="found"),)


def test_the_progress_in_a_wrapper() -> None:
    inside = {"current_task": "research", "progress": {"completed_tasks": 1, "total_tasks": 2}}
    for payload in ({"data": {"status": "running", **inside}}, {"status": "running", "data": inside}):
        execution = read(payload)
        assert (execution.current_task, execution.completed_tasks, execution.total_tasks) == ("research", 1, 2)

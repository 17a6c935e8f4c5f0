"""The answers of deployed crews, as literal payloads."""

import json
from typing import Any

import pytest

from batchcrew.crew import dialect
from batchcrew.crew.payload import NotUnderstood
from batchcrew.model.execution import Execution, ExecutionState, Question, TaskResult


def read(payload: Any) -> Execution:
    return dialect.execution(json.dumps(payload).encode())


# Status words


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("pending", ExecutionState.WAITING),
        ("queued", ExecutionState.WAITING),
        ("running", ExecutionState.RUNNING),
        ("started", ExecutionState.RUNNING),
        ("in progress", ExecutionState.RUNNING),
        ("pending human input", ExecutionState.WAITING_FOR_HUMAN),
        ("pending human feedback", ExecutionState.WAITING_FOR_HUMAN),
        ("awaiting human input", ExecutionState.WAITING_FOR_HUMAN),
        ("awaiting human feedback", ExecutionState.WAITING_FOR_HUMAN),
        ("waiting for human", ExecutionState.WAITING_FOR_HUMAN),
        ("waiting for human input", ExecutionState.WAITING_FOR_HUMAN),
        ("waiting for human feedback", ExecutionState.WAITING_FOR_HUMAN),
        ("completed", ExecutionState.SUCCEEDED),
        ("complete", ExecutionState.SUCCEEDED),
        ("success", ExecutionState.SUCCEEDED),
        ("succeeded", ExecutionState.SUCCEEDED),
        ("done", ExecutionState.SUCCEEDED),
        ("finished", ExecutionState.SUCCEEDED),
        ("ok", ExecutionState.SUCCEEDED),
        ("error", ExecutionState.FAILED),
        ("failed", ExecutionState.FAILED),
        ("failure", ExecutionState.FAILED),
        ("not found", ExecutionState.NOT_FOUND),
    ],
)
def test_a_word_means_the_same_however_it_is_spelt(word: str, state: ExecutionState) -> None:
    for spelt in (word, word.upper(), word.title(), word.replace(" ", "_"), word.replace(" ", "-"), f" {word} "):
        for key in ("status", "state"):
            execution = read({key: spelt})
            assert execution.state is state, spelt
            assert execution.known_word
            assert execution.word == spelt.strip()


def test_state_comes_before_status() -> None:
    assert read({"status": "running", "state": "SUCCESS"}).state is ExecutionState.SUCCEEDED
    assert read({"status": "running", "state": None}).state is ExecutionState.RUNNING
    assert read({"status": "running", "state": {"counter": 3}}).state is ExecutionState.RUNNING


def test_any_other_word_is_running_and_kept_as_it_came() -> None:
    execution = read({"status": "Warming_Up"})
    assert execution.state is ExecutionState.RUNNING
    assert not execution.known_word
    assert execution.word == "Warming_Up"


@pytest.mark.parametrize("status", [None, 3, True, {}, [], "", "  "])
def test_a_status_that_is_not_text_is_not_understood(status: Any) -> None:
    with pytest.raises(NotUnderstood, match="status is not text"):
        read({"status": status})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"<html><title>502 Bad Gateway</title></html>", "502 Bad Gateway"),
        (b"Healthy", "not JSON"),
        (b"[]", "not an object"),
        (b'"running"', "not an object"),
        (b"null", "not an object"),
        (b'{"status": NaN}', "status is not text"),
        (b'{"status": nan}', "not JSON"),
        (b'{"status": "running"', "not JSON"),
        (b'{"status": "run\xffning"}', "not JSON"),  # the client converts Latin-1 first
        (b'{"status":' + b"[" * 5000 + b"]" * 5000 + b"}", "not JSON"),
        (b'{"a": "\\ud83d", "status":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON"),
        (b'{"error": "Internal", "message": "try later"}', "no status: Internal: try later"),
        (b'{"status": "completed", "result":' + b"[" * 300 + b"]" * 300 + b"}", "nested too deep"),
        (b"\x00\x00", "not JSON"),
    ],
)
def test_an_invalid_status_body_is_reported_and_never_a_crash(body: bytes, said: str) -> None:
    with pytest.raises(NotUnderstood, match=said):
        dialect.execution(body)


def test_of_duplicate_keys_the_last_counts() -> None:
    assert dialect.execution(b'{"status": "running", "status": "completed"}').state is ExecutionState.SUCCEEDED


def test_an_emoji_cut_in_two_costs_no_answer() -> None:
    execution = dialect.execution(b'{"status": "completed", "result": "fine \\ud83d"}')
    assert execution.output == "fine ?"
    assert dialect.execution(b'\xef\xbb\xbf{"status": "completed", "result": "BOM"}').output == "BOM"


# Results


def test_the_guides_result() -> None:
    body = b"""{
      "status": "completed",
      "result": {
        "output": "Comprehensive travel itinerary...",
        "tasks": [
          {"task_id": "research_task", "output": "Research findings...", "agent": "Researcher", "execution_time": 45.2},
          {"task_id": "planning_task", "output": "7-day plan...", "agent": "Trip Planner", "execution_time": 62.8}
        ]
      },
      "execution_time": 108.5
    }"""
    execution = dialect.execution(body)
    assert execution == Execution(
        state=ExecutionState.SUCCEEDED,
        word="completed",
        output="Comprehensive travel itinerary...",
        tasks=(
            TaskResult(task_id="research_task", output="Research findings...", agent="Researcher", execution_time=45.2),
            TaskResult(task_id="planning_task", output="7-day plan...", agent="Trip Planner", execution_time=62.8),
        ),
        execution_time=108.5,
        answer=body.decode(),
    )


def test_the_guides_answers_with_a_state_in_addition() -> None:
    ended = {"status": "completed", "state": "SUCCESS", "execution_time": 2.5, "result_json": {"a": 1}}
    tasks = [{"task_id": "plan", "output": "a plan", "agent": "Planner", "execution_time": 1.5}]
    execution = read({**ended, "result": {"output": "a plan", "tasks": tasks}, "token_usage": {"total_tokens": 3}})
    assert (execution.state, execution.output, execution.result_json) == (
        ExecutionState.SUCCEEDED, "a plan", {"a": 1},
    )  # fmt: skip
    assert execution.tasks == (TaskResult(task_id="plan", output="a plan", agent="Planner", execution_time=1.5),)
    failed = read({"status": "error", "state": "FAILED", "error": "no way", "execution_time": 2.5, "tasks": tasks})
    assert (failed.state, failed.error, failed.tasks) == (ExecutionState.FAILED, "no way", execution.tasks)
    progress = {"current_task": "plan", "progress": {"completed_tasks": 1, "total_tasks": 2}}
    assert read({"status": "pending", "state": "PENDING", **progress}).state is ExecutionState.WAITING
    assert read({"status": "running", "state": "STARTED", **progress}).current_task == "plan"
    question = {"task_id": "plan", "agent": "Planner", "output": "a plan"}
    paused = read(
        {"status": "Pending Human Input", "state": "Pending Human Input", **progress, "human_input": question}
    )
    assert paused.state is ExecutionState.WAITING_FOR_HUMAN
    assert paused.question is not None
    assert paused.question.output == "a plan"


def test_a_live_deployments_result() -> None:
    execution = read(
        {
            "state": "SUCCESS",
            "status": "SUCCESS",
            "result": "plain text",
            "result_json": {"days": 7},
            "last_step": {"task": "planning", "output": "x"},
            "token_usage": {"total_tokens": 30, "prompt_tokens": 10, "completion_tokens": 20, "cached": 1},
        }
    )
    assert execution.output == "plain text"
    assert execution.result_json == {"days": 7}
    assert execution.token_usage == {"total_tokens": 30, "prompt_tokens": 10, "completion_tokens": 20, "cached": 1}
    assert execution.current_task is None


@pytest.mark.parametrize(
    ("payload", "output", "result_json"),
    [
        ({"result": "text"}, "text", None),
        ({"result": ""}, "", None),
        ({"result": None}, None, None),
        ({}, None, None),
        ({"result": {"days": [1, 2]}}, '{"days":[1,2]}', {"days": [1, 2]}),
        ({"result": ["a", "b"]}, '["a","b"]', ["a", "b"]),
        ({"result": 42}, "42", 42),
        ({"result": '{"days": 7}'}, '{"days": 7}', {"days": 7}),
        ({"result": "[see below] and so on"}, "[see below] and so on", None),
        ({"result": "7"}, "7", None),
        ({"result": None, "final_output": "late"}, "late", None),
        ({"final_output": {"days": 7}}, '{"days":7}', {"days": 7}),
        ({"result_json": {"days": 7}}, '{"days":7}', {"days": 7}),
        ({"result": None, "result_json": '{"days": 7}'}, '{"days":7}', {"days": 7}),
        ({"result": '{"a": 1}', "result_json": {"b": 2}}, '{"a": 1}', {"b": 2}),
        ({"result": "text", "result_json": None}, "text", None),
        ({"result": {"output": {"days": 7}, "tasks": []}}, '{"days":7}', {"days": 7}),
        ({"result": {"output": "x", "tasks": None}}, "x", None),
        ({"result": {"tasks": []}}, None, None),
        ({"result": {"output": "x", "score": 3}}, "x", {"output": "x", "score": 3}),
        ({"result": "", "output": "text"}, "text", None),
        ({"result": {}, "output": "text"}, "text", None),
        ({"result": "", "output": None}, "", None),
        ({"output": "text"}, "text", None),
        ({"output": {"output": "text", "tasks": []}}, "text", None),
        ({"raw": "text"}, "text", None),
        ({"response": '{"days": 7}'}, '{"days": 7}', {"days": 7}),
        ({"final_output": "final", "output": "partial"}, "final", None),
        ({"last_executed_task": {"output": "text", "name": "plan"}}, "text", None),
        ({"last_executed_task": {"output": {"raw": "text", "agent": "Planner"}}}, "text", None),
        ({"result": {"response": "yes", "score": 3}}, '{"response":"yes","score":3}', {"response": "yes", "score": 3}),
        ({"result": "nul \x00 and \x1b[31m stay"}, "nul \x00 and \x1b[31m stay", None),
    ],
)
def test_the_shapes_of_a_result(payload: dict[str, Any], output: str | None, result_json: Any) -> None:
    execution = read({"status": "completed", **payload})
    assert execution.state is ExecutionState.SUCCEEDED
    assert execution.output == output
    assert execution.result_json == result_json


def test_odd_tasks_are_read_as_far_as_they_go() -> None:
    tasks = [
        {},
        "junk",
        None,
        {"task_id": 7, "output": {"a": 1}, "agent": ["x"], "execution_time": "12.5"},
        {"name": "n"},
    ]
    assert read({"status": "completed", "result": {"output": "x", "tasks": tasks}}).tasks == (
        TaskResult(task_id="task 1"),
        TaskResult(task_id="7", output='{"a":1}', execution_time=12.5),
        TaskResult(task_id="n"),
    )
    assert read({"status": "completed", "result": {"output": "x", "tasks": {"a": 1}}}).tasks == ()


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (108.5, 108.5),
        (3, 3.0),
        ("12.25", 12.25),
        (True, None),
        ("soon", None),
        (-1, None),
        ("nan", None),
        ("inf", None),
        ([], None),
    ],
)
def test_execution_time_is_a_number_or_nothing(time: Any, seconds: float | None) -> None:
    assert read({"status": "completed", "execution_time": time}).execution_time == seconds


def test_execution_time_may_be_in_the_result() -> None:
    assert read({"status": "completed", "result": {"output": "x", "execution_time": 4}}).execution_time == 4.0


@pytest.mark.parametrize("usage", [None, [], {}, "many", 3])
def test_token_usage_that_is_not_an_object_is_none(usage: Any) -> None:
    assert read({"state": "SUCCESS", "token_usage": usage}).token_usage is None


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        ({"usage_metrics": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}, (3, 4, 7)),
        ({"usage": {"input_tokens": 3, "output_tokens": 4}}, (3, 4, None)),
        ({"tokenUsage": {"promptTokens": 3, "completionTokens": 4, "totalTokens": 7}}, (3, 4, 7)),
        ({"result": {"output": "x", "token_usage": {"input": 3, "output": 4, "total": 7}}}, (3, 4, 7)),
        ({"token_usage": {"prompt_tokens": "3", "input_tokens": 3, "completion_tokens": -4}}, (3, -4, None)),
        ({"token_usage": {}, "usage": {"total": 1e308, "prompt": float("nan"), "completion": [1]}}, (None, None, None)),
    ],
    ids=str,
)
def test_counts_of_tokens_under_other_names(answer: dict[str, Any], counts: tuple[Any, ...]) -> None:
    usage = read({"status": "completed", "result": "x", **answer}).token_usage or {}
    assert tuple(usage.get(f"{name}_tokens") for name in ("prompt", "completion", "total")) == counts


def test_cached_tokens_and_requests_under_other_names() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 2}, "successfulRequests": 5}
    usage = read({"status": "completed", "result": "x", "usage": details}).token_usage or {}
    assert (usage["cached_prompt_tokens"], usage["successful_requests"]) == (2, 5)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 2}  # all of it is kept


# Failures


NO_REASON = "the crew reported 'error' without a reason"


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ({"error": "Rate limit of the model"}, "Rate limit of the model"),
        ({"error": {"message": "boom", "type": "ValueError"}}, "boom"),
        ({"error": {"code": 17}}, '{"code":17}'),
        ({"error": None, "error_message": "from error_message"}, "from error_message"),
        ({"message": "from message"}, "from message"),
        ({"result": "Traceback (most recent call last):\n  File x\nKeyError: 'a'"}, None),
        ({"result": {"error": "in the result"}}, "in the result"),
        ({"result": {"output": "from output", "tasks": []}}, "from output"),
        ({"error": "", "result": None}, NO_REASON),
        ({}, NO_REASON),
        ({"error": "\x1b]0;owned\x07red\x1b[31m alert\x00"}, "red alert"),
    ],
)
def test_failure_texts(payload: dict[str, Any], error: str | None) -> None:
    execution = read({"status": "error", **payload})
    assert execution.state is ExecutionState.FAILED
    assert execution.error == (error or "Traceback (most recent call last): File x KeyError: 'a'")
    assert execution.output is None


def test_a_failed_execution_keeps_the_tasks_that_were_done() -> None:
    result = {"output": None, "tasks": [{"task_id": "research", "output": "found"}]}
    execution = read({"status": "failed", "error": "later", "result": result})
    assert execution.tasks == (TaskResult(task_id="research", output="found"),)


def test_a_failure_text_is_bounded_and_the_answer_is_complete() -> None:
    execution = read({"status": "error", "error": "x" * 5_000_000})
    assert execution.error is not None
    assert len(execution.error) == dialect.MAX_ERROR
    assert len(execution.answer) > 5_000_000


# Progress


def test_the_guides_progress() -> None:
    execution = dialect.execution(
        b'{"status": "running", "current_task": "research_task", "progress": {"completed_tasks": 0, "total_tasks": 2}}'
    )
    assert (execution.current_task, execution.completed_tasks, execution.total_tasks) == ("research_task", 0, 2)


@pytest.mark.parametrize(
    ("last_step", "task"),
    [
        ({"task": "planning"}, "planning"),
        ({"agent": "Planner"}, "Planner"),
        ("thinking", "thinking"),
        (None, None),
        ({}, None),
    ],
)
def test_a_live_deployments_last_step(last_step: Any, task: str | None) -> None:
    assert read({"state": "STARTED", "last_step": last_step}).current_task == task


@pytest.mark.parametrize(
    "progress", [None, [], "half", {"completed_tasks": True}, {"completed_tasks": -1}, {"completed_tasks": 0.5}]
)
def test_odd_progress_is_ignored(progress: Any) -> None:
    execution = read({"status": "running", "progress": progress, "current_task": 3.5})
    assert execution.completed_tasks is None
    assert execution.total_tasks is None


def test_names_that_are_shown_are_clean() -> None:
    execution = read({"status": "r\x1b[2Jun", "current_task": "a\x1b[2J\nb" + "c" * 500})
    assert execution.word == "run"
    assert execution.current_task is not None
    assert execution.current_task.startswith("a bccc")
    assert len(execution.current_task) == 200


# Unknown executions


def test_http_404_is_not_found() -> None:
    execution = dialect.not_found(b'{"error": "gone \xff"}')
    assert execution.state is ExecutionState.NOT_FOUND
    assert execution.answer == '{"error": "gone \ufffd"}'


def test_a_text_that_holds_json_nested_too_deep_is_only_a_text() -> None:
    deep = "[" * 300 + "]" * 300
    execution = read({"status": "completed", "result": deep})
    assert (execution.output, execution.result_json) == (deep, None)


def test_a_large_flat_result_does_not_count_as_deep() -> None:
    rows = [{"row": number} for number in range(1000)]
    assert read({"status": "completed", "result": rows}).result_json == rows


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (
            b'{"status": "Pending Human Input", "current_task": "research_task",'
            b' "human_input": {"task_id": "research_task", "agent": "Researcher", "output": "draft"}}',
            Question(task_id="research_task", task="Researcher", output="draft"),
        ),
        (
            b'{"state": "PENDING_HUMAN_INPUT", "task_id": "t-1", "agent": "Writer", "output": "draft"}',
            Question(task_id="t-1", task="Writer", output="draft"),
        ),
        (
            b'{"data": {"status": "awaiting human feedback", "current_task": {"id": 7, "name": "plan"}}}',
            Question(task_id="7", task="plan"),
        ),
        (
            b'{"state": "Pending Human Input", "result": null, "last_step": {"task_id": "t-2", "result": "draft"}}',
            Question(task_id="t-2", output="draft"),
        ),
        (b'{"status": "Pending Human Input"}', Question()),
    ],
)
def test_what_waits_for_human_input(body: bytes, found: Question) -> None:
    seen = dialect.execution(body)
    assert (seen.state, seen.question) == (ExecutionState.WAITING_FOR_HUMAN, found)

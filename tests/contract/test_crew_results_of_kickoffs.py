"""Kickoffs that are answered with the result itself, as literal payloads."""

from typing import Any

import pytest

from batchcrew.crew import dialect
from batchcrew.crew.kickoff_answers import accepted
from batchcrew.crew.kickoff_results import expected_result, unexpected_result
from batchcrew.crew.payload import NotUnderstood
from batchcrew.model.execution import ExecutionState

SUCCEEDED, FAILED = ExecutionState.SUCCEEDED, ExecutionState.FAILED
DUMP = (
    b'{"raw": "Tokyo in May", "pydantic": null, "json_dict": {"city": "Tokyo"},'
    b' "tasks_output": [{"name": "plan", "raw": "a plan", "agent": "Planner"}], "token_usage": {"total_tokens": 7}}'
)

# Without `crew.sync`


@pytest.mark.parametrize(
    ("body", "output"),
    [
        (b'{"result": "Tokyo in May"}', "Tokyo in May"),
        (b'{"status": "completed", "result": "42"}', "42"),
        (b'{"status": "success", "output": "Tokyo in May"}', "Tokyo in May"),
        (b'{"state": "done", "result": {"output": "Tokyo in May", "tasks": []}}', "Tokyo in May"),
        (b'{"success": true, "error": null, "data": {"final_output": "Tokyo in May"}}', "Tokyo in May"),
        (b'{"result": {"city": "Tokyo", "days": 3}}', '{"city":"Tokyo","days":3}'),
        (b'{"finished": true, "response": "It started to rain, and the trip was accepted. ' + b"x" * 200 + b'"}', None),
        (DUMP, "Tokyo in May"),
        (b'{"result": ' + DUMP + b"}", "Tokyo in May"),
    ],
)
def test_a_result_without_an_id_is_the_outcome(body: bytes, output: str | None) -> None:
    found = unexpected_result(body)
    assert found is not None
    assert found.state is SUCCEEDED
    assert found.output if output is None else found.output == output
    assert found.answer == body.decode()
    with pytest.raises(NotUnderstood):
        accepted(body)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"status": "failed", "error": "the model refused"}', "the model refused"),
        (b'{"state": "FAILURE", "result": "no tool"}', "no tool"),
        (b'{"data": {"status": "error", "message": "no tool"}}', "no tool"),
        (b'{"status": "cancelled"}', "cancelled (the crew gave no reason)"),
    ],
)
def test_a_word_for_a_failure_without_an_id_is_the_outcome(body: bytes, error: str) -> None:
    found = unexpected_result(body)
    assert found is not None
    assert (found.state, found.error) == (FAILED, error)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"null",
        b"[]",
        b'"Tokyo in May"',
        b"{}",
        b'{"message": "queued"}',
        b'{"status": "success"}',
        b'{"status": "success", "message": "Crew started"}',
        b'{"status": "running", "result": "so far"}',
        b'{"status": "started", "output": ""}',
        b'{"status": "warming up", "result": "Tokyo"}',
        b'{"result": "Crew started"}',
        b'{"result": "accepted"}',
        b'{"output": "Your request was queued"}',
        b'{"status": "ok", "response": "processing"}',
        b'{"result": "0e984725-c51c-4bf4-9960-e1c80e27aba0"}',
        b'{"status": "success", "result": "run_17"}',
        b'{"result": {"execution_id": "k-1", "status": "queued"}}',
        b'{"id": ["k-1"], "result": "Tokyo in May"}',
        b'{"error": "no tool", "result": "half a plan"}',
        b'{"success": false, "result": "half a plan"}',
        b'{"status": "error", "message": "Task timed out after 30 seconds"}',
        b'{"status": "timeout"}',
        b'{"status": "error", "statusCode": 502, "message": "no answer"}',
        b'{"status": "failed", "id": "k-1"}',
        b"<html><title>Tokyo</title></html>",
    ],
)
def test_what_may_be_about_the_kickoff_is_not_a_result(body: bytes) -> None:
    assert unexpected_result(body) is None


# With `crew.sync`


@pytest.mark.parametrize(
    ("body", "output"),
    [
        (b'{"result": "Crew started"}', "Crew started"),
        (b'{"success": true, "data": {"output": "Tokyo in May"}}', "Tokyo in May"),
        (b'{"id": 17, "summary": "Tokyo in May"}', '{"id":17,"summary":"Tokyo in May"}'),
        (b'{"status": "success", "summary": "Tokyo in May"}', '{"summary":"Tokyo in May"}'),
        (b'{"status": "sunny", "summary": "Tokyo in May"}', '{"summary":"Tokyo in May"}'),
        (b'{"kickoff_id": "k-1", "status": "completed", "result": "Tokyo"}', "Tokyo"),
        (b'["Tokyo", "Kyoto"]', '["Tokyo","Kyoto"]'),
        (b'"Tokyo in May"', "Tokyo in May"),
        (b"17", "17"),
        (b"Tokyo in May\n", "Tokyo in May"),
        (b'{"half": a dict of Python}', '{"half": a dict of Python}'),
        (DUMP, "Tokyo in May"),
    ],
)
def test_the_answer_of_a_synchronous_crew_is_the_result(body: bytes, output: str) -> None:
    found = expected_result(body)
    assert found is not None
    assert (found.state, found.output) == (SUCCEEDED, output)


@pytest.mark.parametrize("body", [b"", b"null", b'""', b"{}", b"[]", b'{"status": "success"}', b'{"result": null}'])
def test_an_empty_answer_of_a_synchronous_crew_is_a_success_without_output(body: bytes) -> None:
    found = expected_result(body)
    assert found is not None
    assert (found.state, found.has_output) == (SUCCEEDED, False)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error": "the model refused"}', "the model refused"),
        (b'{"error": {"message": "no tool", "code": 500}}', "no tool"),
        (b'{"success": false, "message": "no tool"}', "no tool"),
        (b'{"error": "no tool", "result": "half a plan"}', "no tool"),
        (b'{"status": "error", "message": "Task timed out"}', "Task timed out"),
        (b'{"data": {"error": "no tool"}}', "no tool"),
    ],
)
def test_an_error_of_a_synchronous_crew_is_the_executions(body: bytes, error: str) -> None:
    found = expected_result(body)
    assert found is not None
    assert (found.state, found.error) == (FAILED, error)


@pytest.mark.parametrize(
    "body", [b'{"kickoff_id": "k-1"}', b'{"id": "k-1", "status": "queued"}', b'{"kickoff_id": 1, "message": "started"}']
)
def test_a_synchronous_crew_that_answers_with_an_id_after_all_is_watched(body: bytes) -> None:
    assert expected_result(body) is None
    assert accepted(body).kickoff_id in {"k-1", "1"}


@pytest.mark.parametrize("body", [b'{"status": "running"}', b"<html><title>Tokyo</title></html>"])
def test_an_answer_of_a_synchronous_crew_that_is_not_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        expected_result(body)


def test_the_tasks_and_tokens_of_a_result_are_read() -> None:
    for found in (unexpected_result(DUMP), expected_result(DUMP)):
        assert found is not None
        assert found.result_json == {"city": "Tokyo"}
        assert [(task.task_id, task.output, task.agent) for task in found.tasks] == [("plan", "a plan", "Planner")]
        assert found.token_usage == {"total_tokens": 7}


# Where something was found


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"kickoff_id": "k-1"}', "kickoff_id"),
        (b'{"id": "request-9", "data": {"kickoff_id": "k-1"}}', "data.kickoff_id"),
        (b'{"result": {"kickoff_id": 17}}', "result.kickoff_id"),
        (b'{"run_id": "k-1"}', "run_id"),
        (b'"k-1"', "the whole answer"),
    ],
)
def test_where_the_kickoff_id_was(body: bytes, place: str) -> None:
    assert accepted(body).place == place


@pytest.mark.parametrize(
    ("body", "places"),
    [
        (b'{"status": "completed", "result": {"output": "x", "tasks": []}}', ("status", "result.output")),
        (b'{"state": "SUCCESS", "status": "x", "result": "x"}', ("state", "result")),
        (b'{"data": {"status": "done", "response": "x"}}', ("data.status", "data.response")),
        (b'{"status": "success", "data": {"status": "completed", "raw": "x"}}', ("data.status", "data.raw")),
        (b'{"status": "done", "result": ' + DUMP + b"}", ("status", "result.raw")),
        (b'{"status": "done", "result_json": {"a": 1}}', ("status", "result_json")),
        (b'{"status": "done", "last_executed_task": {"output": "x"}}', ("status", "last_executed_task.output")),
        (b'{"state": " running "}', ("state", "")),
        (b'{"status": "failed", "error": "x"}', ("status", "")),
    ],
)
def test_where_the_status_and_the_output_were(body: bytes, places: Any) -> None:
    found = dialect.execution(body)
    assert (found.status_place, found.output_place) == places

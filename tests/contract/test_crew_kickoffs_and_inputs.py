"""Answers to kickoffs and to `GET /inputs`, as literal payloads."""

import json
from typing import Any

import pytest

from batchcrew.crew.input_answers import crew_inputs
from batchcrew.crew.kickoff_answers import kickoff_id, refusal
from batchcrew.crew.payload import NotUnderstood
from batchcrew.model.crew_answers import CrewInput

# Kickoff


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"kickoff_id": "abcd1234-5678-90ef-ghij-klmnopqrstuv"}', "abcd1234-5678-90ef-ghij-klmnopqrstuv"),
        (b'{"kickoff_id": "a/b c?d#%e\xc3\xbc"}', "a/b c?d#%eü"),
        (b'{"kickoff_id": 17, "status": "started"}', "17"),
    ],
)
def test_a_kickoff_id_is_opaque(body: bytes, found: str) -> None:
    assert kickoff_id(body) == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"id": "k-1"}', "k-1"),
        (b'{"id": 17, "message": "The crew was started"}', "17"),
        (b'{"kickoffId": "k-1"}', "k-1"),
        (b'{"execution_id": "k-1", "id": "request-9"}', "k-1"),
        (b'{"job_id": "k-1"}', "k-1"),
        (b'{"run_id": "k-1", "status": "queued"}', "k-1"),
        (b'{"task_id": "k-1"}', "k-1"),
        (b'{"data": {"kickoff_id": "k-1"}}', "k-1"),
        (b'{"id": "request-9", "data": {"kickoff_id": "k-1"}}', "k-1"),
        (b'{"success": true, "error": null, "data": {"id": "k-1"}}', "k-1"),
        (b'{"result": {"kickoff_id": "k-1"}}', "k-1"),
        (b'{"kickoff_id": null, "id": "k-1"}', "k-1"),
        (b'"0e984725-c51c-4bf4-9960-e1c80e27aba0"', "0e984725-c51c-4bf4-9960-e1c80e27aba0"),
        (b'"k-1"\n', "k-1"),
        (b"4711", "4711"),
    ],
)
def test_a_kickoff_id_has_other_names_in_wrappers(body: bytes, found: str) -> None:
    assert kickoff_id(body) == found


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": "Insufficient credits", "id": "request-9"}',
        b'{"id": 1, "jsonrpc": "2.0", "error": {"code": -32000, "message": "no"}}',
        b'{"success": false, "id": "k-1"}',
        b'{"status": "error", "message": "Invalid token", "id": "request-9"}',
        b'{"errors": ["no"], "data": {"id": "k-1"}}',
        b'{"data": {"id": "k-1", "error": "no"}}',
        b'{"data": "k-1"}',
        b'{"id": {"value": "k-1"}}',
        b'{"id": true}',
        b'"OK"',
        b'"Unauthorized"',
        b'"Error 500"',
        b'"<html>1</html>"',
        b'"k/1"',
        b"0",
        b"-1",
        b"1.5",
        b"true",
        b"null",
        b"k-1",
        b'["k-1"]',
        b"<html><title>Sign in 2</title></html>",
    ],
)
def test_an_error_or_a_message_is_not_a_kickoff_id(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        kickoff_id(body)


def test_an_error_next_to_a_kickoff_id_does_not_hide_it() -> None:
    assert kickoff_id(b'{"kickoff_id": "k-1", "error": "the webhook cannot be reached"}') == "k-1"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"error": "Insufficient credits"}', "an error instead of a kickoff_id: Insufficient credits"),
        (b'{"error": {"message": "no such crew", "code": 404}}', "an error instead of a kickoff_id: no such crew"),
        (b'{"error": "Unauthorized", "status": 401}', "an error instead of a kickoff_id: Unauthorized"),
        (b'{"success": false, "message": "quota"}', "an error instead of a kickoff_id: quota"),
        (b'{"errors": [{"message": "no"}], "data": null}', None),
        (
            b"<!doctype html><title>Sign in to Example</title><form>",
            "a web page instead of a kickoff_id: Sign in to Example",
        ),
        (
            b'<html><body>Anmelden <input type="password"></body></html>',
            "a web page instead of a kickoff_id: Anmelden",
        ),
        (b"<html><h1>Access denied</h1></html>", "a web page instead of a kickoff_id: Access denied"),
    ],
)
def test_an_answer_that_refuses_the_kickoff(body: bytes, reason: str | None) -> None:
    found = refusal(body)
    assert found is not None
    assert reason is None or found == reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"<html>",
        b"<html><title>Crew started</title></html>",
        b"<html><title>504 Gateway Time-out</title></html>",
        b"<html><h1>Access denied: upstream did not answer</h1></html>",
        b"{}",
        b'{"message": "queued"}',
        b'{"error": ""}',
        b'{"error": false}',
        b'{"error": "Task timed out after 30.00 seconds"}',
        b'{"error": "Internal Server Error"}',
        b'{"error": "no answer", "statusCode": 502}',
        b'{"error": {"message": "no answer", "code": 500}}',
        b'{"error": "webhook", "status": "running"}',
        b'{"error": "KeyError", "status": "error"}',
        b'{"error": "no tool", "result": {"tasks": []}}',
        b'{"error": "no tool", "token_usage": {"total_tokens": 3}}',
        b'{"error": "no tool", "id": "k-1"}',
        b'{"data": {"error": "no tool", "id": "k-1"}}',
        b'{"error": "no tool", "kickoff_id": ["k-1"]}',
    ],
)
def test_an_answer_that_leaves_a_kickoff_in_doubt(body: bytes) -> None:
    assert refusal(body) is None


@pytest.mark.parametrize(
    "found", [None, "", "  ", True, 1.5, [], {}, "x" * 1001, "a\nb", "a\x00", ".", ".."]
)  # fmt: skip
def test_an_invalid_kickoff_id_is_not_understood(found: Any) -> None:
    with pytest.raises(NotUnderstood, match="kickoff_id"):
        kickoff_id(json.dumps({"kickoff_id": found}).encode())


@pytest.mark.parametrize("body", [b"{}", b"[]", b"", b"OK", b'{"message": "queued"}'])
def test_an_answer_without_kickoff_id(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        kickoff_id(body)


# Inputs


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        (b'{"inputs": ["budget", "age"]}', (CrewInput(name="budget"), CrewInput(name="age"))),
        (
            b'{"inputs": {"budget": "string", "age": "number"}}',
            (CrewInput(name="budget", type="string"), CrewInput(name="age", type="number")),
        ),
        (
            b'{"inputs": [{"name": "budget", "type": "string", "required": true}, {"name": "age"},'
            b' {"name": "note", "type": "string", "required": false}]}',
            (
                CrewInput(name="budget", type="string"),
                CrewInput(name="age"),
                CrewInput(name="note", type="string", required=False),
            ),
        ),
        (
            b'{"inputs": {"age": {"type": "number", "required": false}}}',
            (CrewInput(name="age", type="number", required=False),),
        ),
        (b'{"inputs": []}', ()),
        (b'{"required": ["budget", "age"]}', (CrewInput(name="budget"), CrewInput(name="age"))),
        (b'{"required_inputs": ["budget"], "status": "ok"}', (CrewInput(name="budget"),)),
        (b'["budget", "age"]', (CrewInput(name="budget"), CrewInput(name="age"))),
        (
            b'[{"name": "budget", "type": "string"}, {"name": "note", "required": false}]',
            (CrewInput(name="budget", type="string"), CrewInput(name="note", required=False)),
        ),
        (b"[]", ()),
        (b'{"data": {"inputs": ["budget"]}}', (CrewInput(name="budget"),)),
        (b'{"inputs": ["a", "b", "a"]}', (CrewInput(name="a"), CrewInput(name="b"))),
    ],
)
def test_the_shapes_of_inputs(body: bytes, inputs: tuple[CrewInput, ...]) -> None:
    assert crew_inputs(body).inputs == inputs


def test_only_required_inputs_are_required() -> None:
    found = crew_inputs(b'{"inputs": [{"name": "a"}, {"name": "b", "required": false}]}')
    assert found.required == ("a",)


@pytest.mark.parametrize("inputs", [None, "budget", 3, [3], [None], [""], ["a\nb"], [{"type": "string"}], ["x" * 201]])
def test_an_invalid_list_of_inputs_is_not_understood(inputs: Any) -> None:
    with pytest.raises(NotUnderstood, match="inputs"):
        crew_inputs(json.dumps({"inputs": inputs}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"required": true}',
        b'{"required": {"budget": "string"}}',
        b'{"error": "Forbidden", "required": ["crews:read"]}',
        b'[{"loc": ["header"], "msg": "field required"}]',
        b'"budget"',
        b"3",
        b"null",
    ],
)
def test_an_error_is_not_a_list_of_inputs(body: bytes) -> None:
    with pytest.raises(NotUnderstood, match="inputs"):
        crew_inputs(body)

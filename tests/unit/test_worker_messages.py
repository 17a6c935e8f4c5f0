"""Messages between server and workers: each one arrives as it was sent, and anything else is refused."""

import json
from typing import Any

import pytest

from batchcrew.server.report import Input, StepReport, TaskReport
from batchcrew.server.target import Target
from batchcrew.server.workers.messages import (
    Ended,
    FromWorker,
    HumanAnswer,
    LibraryEvent,
    Load,
    LoadFailed,
    MalformedMessage,
    MethodEnded,
    MethodStarted,
    Note,
    Paused,
    Ready,
    Start,
    Step,
    TaskEnded,
    TaskStarted,
    ToWorker,
    decode_from_worker,
    decode_to_worker,
    encode,
)

TASK = TaskReport(task_id="t", agent="a", output="o", execution_time=1.5, output_json={"deep": [1, None]})
STEP = StepReport(task_id="t", agent="a", prompt="p", thought="", tool="search", result=None)
TARGET = Target(name="n", folder="/f", paths=("/f", "/g"), modules=("m",), kind="crew")


@pytest.mark.parametrize(
    "message",
    [
        Load(target=TARGET, storage="/s"),
        Start(kickoff_id="k", inputs={"a": [1.5, {"b": None}]}, events=("x", "y")),
        HumanAnswer(kickoff_id="k", approved=False, text="better"),
    ],
)
def test_messages_to_a_worker_arrive_as_sent(message: ToWorker) -> None:
    assert decode_to_worker(encode(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        Ready(name="n", what="flow", inputs=(Input(name="a", type="integer", required=False),), total=2, events=("x",)),
        LoadFailed(message="no crew"),
        TaskStarted(kickoff_id="k", task_id="t"),
        TaskEnded(kickoff_id="k", task=TASK),
        Step(kickoff_id="k", step=STEP),
        MethodStarted(kickoff_id="k", method="m"),
        MethodEnded(kickoff_id="k", method="m"),
        Paused(kickoff_id="k", task_id="t", agent="a", output="\ud800 half a pair"),
        LibraryEvent(kickoff_id="k", event_id="1", timestamp="2027-01-15T08:00:00+00:00", type="x", data={"n": 1}),
        Note(kickoff_id="k", text="n"),
        Ended(kickoff_id="k", output="o", result_json={"a": 1}, usage={"total_tokens": 3}, execution_time=0.5),
        Ended(kickoff_id="k", error=""),
    ],
)
def test_messages_from_a_worker_arrive_as_sent(message: FromWorker) -> None:
    assert decode_from_worker(encode(message)) == message


ENDED: dict[str, Any] = {"kind": "Ended", "kickoff_id": "k"}


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "Ended",
        {},
        {"kickoff_id": "k"},
        {"kind": ["Ended"], "kickoff_id": "k"},
        {"kind": "Start", "kickoff_id": "k", "inputs": {}, "events": []},  # of the other direction
        {"kind": "Ended"},
        {**ENDED, "kickoff_id": 1},
        {**ENDED, "kickoff_id": {"a": 1}},
        {**ENDED, "more": 1},
        {**ENDED, "output": None},
        {**ENDED, "error": ["no"]},
        {**ENDED, "usage": {"total_tokens": -1}},
        {**ENDED, "usage": {"total_tokens": True}},
        {**ENDED, "usage": {"total_tokens": 10**30}},
        {**ENDED, "usage": [3]},
        {**ENDED, "execution_time": "1"},
        {**ENDED, "execution_time": -1},
        {**ENDED, "execution_time": True},
        {**ENDED, "execution_time": float("nan")},
        {**ENDED, "execution_time": float("inf")},
        {"kind": "TaskEnded", "kickoff_id": "k", "task": {"task_id": "t"}},
        {"kind": "TaskEnded", "kickoff_id": "k", "task": "t"},
        {"kind": "Ready", "name": "n", "what": "crew", "inputs": [{"name": 1}], "total": 1, "events": []},
        {"kind": "Ready", "name": "n", "what": "crew", "inputs": [], "total": 1.5, "events": []},
        {"kind": "Ready", "name": "n", "what": "crew", "inputs": [], "total": 1, "events": {"x": 1}},
        {"kind": "Ready", "name": "n", "what": "crew", "inputs": [], "total": 1, "events": [None]},
    ],
    ids=str,
)
def test_anything_else_is_refused(body: Any) -> None:
    with pytest.raises(MalformedMessage):
        decode_from_worker(json.dumps(body).encode())


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"]" * 100 + b"[" * 100, b"1,2", json.dumps(ENDED).encode() + b"]], [["],
)
def test_text_that_is_not_one_value_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_from_worker(text)


def test_values_that_arrive_can_be_written_inside_other_json() -> None:
    """The deepest values that pass can be part of an answer; deeper ones are refused by their sender."""
    levels, text = 0, encode(Ended(kickoff_id="k"))
    while text:
        received = decode_from_worker(text)
        assert isinstance(received, Ended)
        json.dumps({"events": [{"data": [{"result": received.result_json}]}]})
        levels += 50
        try:
            text = encode(Ended(kickoff_id="k", result_json=nested(levels)))
        except RecursionError:
            text = b""
    assert levels > 300


def nested(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = [value]
    return value


def test_a_message_does_not_repeat_the_text_of_a_crew() -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode_from_worker(b'{"kind": "\\u001b[31m"}')
    assert "31m" not in str(caught.value)

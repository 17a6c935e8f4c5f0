"""The webhooks of the embedded server, received by a real receiver on another socket."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from server_stage import INPUTS, PLAN, RESEARCH, Receiver, Stage, manual_clock, stage

META = {"requestId": "user-request-12345", "batchcrew": {"batch": "b", "job": "j", "attempt": "a"}}
FAILURE = "planning_task: no way to Tokyo could be found (a rehearsed failure, --fail-rate)"
USAGE = {"total_tokens": len(PLAN) + 27, "prompt_tokens": 27, "completion_tokens": len(PLAN)}
RESEARCH_TASK = {"task_id": "research_task", "output": RESEARCH, "agent": "Researcher", "execution_time": 4.0}
PLANNING_TASK = {"task_id": "planning_task", "output": PLAN, "agent": "Trip Planner", "execution_time": 6.0}
RESEARCH_THOUGHT = "I should first look for destinations that match these interests and this budget."
PLANNING_THOUGHT = "The destination is settled; I should spread the interests over the days."

GUIDE = [
    ("/step", {"task_id": "research_task", "agent": "Researcher", "step_type": "thought", "content": RESEARCH_THOUGHT}),
    ("/task", {"status": "completed", **RESEARCH_TASK}),
    (
        "/step",
        {"task_id": "planning_task", "agent": "Trip Planner", "step_type": "thought", "content": PLANNING_THOUGHT},
    ),
    ("/task", {"status": "completed", **PLANNING_TASK}),
    (
        "/crew",
        {
            "status": "completed",
            "result": {"output": PLAN, "tasks": [RESEARCH_TASK, PLANNING_TASK]},
            "execution_time": 10.0,
        },
    ),
]
LIVE = [
    (
        "/step",
        {
            "prompt": "Find destinations that fit the traveller's interests, age and budget.",
            "thought": RESEARCH_THOUGHT,
            "tool": None,
            "tool_input": None,
            "result": None,
        },
    ),
    (
        "/task",
        {
            "description": "Find destinations that fit the traveller's interests, age and budget.",
            "name": "research_task",
            "expected_output": "Three destinations, the reason for each, and the one to take.",
            "summary": "Find destinations that fit the traveller's interests, age an",
            "agent": "Researcher",
            "output": RESEARCH,
            "output_json": None,
        },
    ),
    (
        "/step",
        {
            "prompt": "Turn the chosen destination into a plan, day by day.",
            "thought": PLANNING_THOUGHT,
            "tool": None,
            "tool_input": None,
            "result": None,
        },
    ),
    (
        "/task",
        {
            "description": "Turn the chosen destination into a plan, day by day.",
            "name": "planning_task",
            "expected_output": "An itinerary with a morning, an afternoon and an evening for each day.",
            "summary": "Turn the chosen destination into a plan, day by day.",
            "agent": "Trip Planner",
            "output": PLAN,
            "output_json": None,
        },
    ),
    ("/crew", {"result": PLAN, "result_json": None, "token_usage": USAGE}),
]
LEGACY = GUIDE


def wanted(receiver: Receiver, *kinds: str, meta: Any = None) -> dict[str, Any]:
    urls = {f"{kind}WebhookUrl": f"{receiver.url}/{kind}" for kind in kinds}
    return {"inputs": INPUTS, **urls, **({} if meta is None else {"meta": meta})}


async def hear(on: Stage, receiver: Receiver, count: int) -> list[tuple[str, Any]]:
    """Advance the clock by a minute and wait for this many webhooks; returns them."""
    await on.clock.settle()
    on.clock.advance(60)
    return [await receiver.heard.get() for _ in range(count)]


@pytest.mark.parametrize("meta", [None, META])
@pytest.mark.parametrize(("dialect", "expected"), [("guide", GUIDE), ("live", LIVE), ("legacy", LEGACY)])
async def test_all_webhooks_of_an_execution(dialect: str, expected: list[tuple[str, Any]], meta: Any) -> None:
    async with Receiver() as receiver, stage(dialect=dialect) as on:
        kickoff_id = await on.started(wanted(receiver, "task", "step", "crew", meta=meta))
        echo = {} if meta is None else {"meta": meta}
        assert await hear(on, receiver, 5) == [
            (path, {"kickoff_id": kickoff_id, **body, **echo}) for path, body in expected
        ]


@pytest.mark.parametrize(
    ("dialect", "crew"),
    [
        ("guide", {"status": "error", "error": FAILURE, "execution_time": 10.0}),
        ("live", {"result": None, "result_json": None, "token_usage": USAGE, "state": "FAILED", "error": FAILURE}),
        ("legacy", {"status": "error", "error": FAILURE, "execution_time": 10.0}),
    ],
)
async def test_a_crew_that_fails_says_so_and_its_last_task_says_nothing(dialect: str, crew: Any) -> None:
    async with Receiver() as receiver, stage(dialect=dialect, fail_rate=1.0) as on:
        kickoff_id = await on.started(wanted(receiver, "task", "crew", meta=META))
        (task, _), (path, body) = await hear(on, receiver, 2)
        assert task == "/task"
        assert (path, body) == ("/crew", {"kickoff_id": kickoff_id, **crew, "meta": META})


async def test_each_webhook_is_sent_when_due_and_only_if_requested() -> None:
    async with Receiver() as receiver, stage() as on:
        await on.started(wanted(receiver, "task"))
        await on.clock.sleep_requested(4.0)
        assert receiver.heard.empty()
        on.clock.advance(4.0)
        assert (await receiver.heard.get())[1]["task_id"] == "research_task"
        await on.clock.sleep_requested(6.0)
        on.clock.advance(6.0)
        assert (await receiver.heard.get())[1]["task_id"] == "planning_task"
        await on.clock.settle()
        on.clock.advance(60)
        await on.started({**wanted(receiver, "crew"), "taskWebhookUrl": None, "stepWebhookUrl": None})
        await on.clock.sleep_requested(10.0)
        on.clock.advance(10)
        assert (await receiver.heard.get())[0] == "/crew"
        assert receiver.heard.empty()


async def test_a_delivery_that_fails_is_tried_again_and_then_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async with Receiver((500, 503, 307, 404)) as receiver, stage() as on:
        body = wanted(receiver, "task", "crew")
        body["taskWebhookUrl"] = body["taskWebhookUrl"].replace("http://", "http://me:secret@") + "?key=secret"
        await on.started(body)
        await on.clock.settle()
        on.clock.advance(60)
        for wait in (0.5, 2.0, 5.0):
            path, heard = await receiver.heard.get()
            assert (path, heard["task_id"]) == ("/task", "research_task"), "redirects are not followed"
            await on.clock.sleep_requested(wait)
            on.clock.advance(wait)
        with caplog.at_level(logging.WARNING):
            assert (await receiver.heard.get())[1]["task_id"] == "research_task"
            # later webhooks of the same execution are sent anyway
            assert [(await receiver.heard.get())[0] for _ in range(2)] == ["/task", "/crew"]
        assert f"{receiver.url}/task" in caplog.text
        assert "HTTP 404" in caplog.text
        assert "secret" not in caplog.text


async def test_an_unreachable_receiver_does_not_delay_others(caplog: pytest.LogCaptureFixture) -> None:
    async with Receiver() as receiver, stage() as on:
        dead = {"inputs": INPUTS, "crewWebhookUrl": "http://127.0.0.1:9/"}
        for _ in range(40):
            await on.started(dead)
        await on.started(wanted(receiver, "crew"))
        assert (await hear(on, receiver, 1))[0][0] == "/crew"


async def test_webhooks_that_were_not_sent_are_sent_after_a_restart(tmp_path: Path) -> None:
    clock, state = manual_clock(), tmp_path / "state.db"
    async with Receiver() as receiver:
        async with stage(clock=clock, state=state) as on:
            kickoff_id = await on.started(wanted(receiver, "task", "crew", meta=META))
            await clock.sleep_requested(4.0)
            clock.advance(4.0)
            assert (await receiver.heard.get())[1]["task_id"] == "research_task"
            await clock.sleep_requested(6.0)  # then it is written down as sent
        clock.advance(100)
        async with stage(clock=clock, state=state) as on:
            heard = await hear(on, receiver, 2)
            assert [path for path, _ in heard] == ["/task", "/crew"]
            assert heard[0][1]["task_id"] == "planning_task"
            assert {body["kickoff_id"] for _, body in heard} == {kickoff_id}
            assert {json.dumps(body["meta"]) for _, body in heard} == {json.dumps(META)}
        async with stage(clock=clock, state=state) as on:
            await on.started(wanted(receiver, "crew", meta={"last": True}))
            assert (await hear(on, receiver, 1))[0][1]["meta"] == {"last": True}
            assert receiver.heard.empty()


async def test_a_repeated_key_calls_back_once() -> None:
    async with Receiver() as receiver, stage() as on:
        for _ in range(3):
            await on.started(wanted(receiver, "crew"), headers={"Idempotency-Key": "k"})
        await hear(on, receiver, 1)
        await on.started(wanted(receiver, "crew", meta={"next": 1}))
        assert (await hear(on, receiver, 1))[0][1]["meta"] == {"next": 1}


async def test_a_kickoff_whose_answer_was_lost_calls_back() -> None:
    async with Receiver() as receiver, stage(http_error_rate=1.0, seed=2) as on:
        while not on.server.stats["kickoffs"]:
            await on.kickoff(wanted(receiver, "crew", meta=META))
        assert (await hear(on, receiver, 1))[0][1]["meta"] == META


@pytest.mark.parametrize("meta", [{}, {"a": "\x00\ud800\U0001f600"}, {"n": 10**400, "f": 1e-300}, {"": [[[]]]}])
async def test_meta_comes_back_as_it_went(meta: Any) -> None:
    async with Receiver() as receiver, stage() as on:
        await on.started(wanted(receiver, "crew", meta=meta))
        assert (await hear(on, receiver, 1))[0][1]["meta"] == meta


async def test_meta_that_was_taken_can_be_echoed_however_deep() -> None:
    async with Receiver() as receiver, stage() as on:
        accepted = 0
        # around the limits of Python 3.11, 3.12 and 3.13
        depths = (*range(600, 1000, 10), *range(1400, 1600, 10), *range(10_000, 10_500, 20))
        for depth in depths:
            meta = "[" * depth + "]" * depth
            body = '{"inputs": %s, "crewWebhookUrl": "%s/crew", "meta": {"a": %s}}'
            answer = await on.call("POST", "/kickoff", data=body % (json.dumps(INPUTS), receiver.url, meta))
            assert answer.status in {200, 400}
            accepted += answer.status == 200
        assert 0 < accepted < len(depths)
        assert len(await hear(on, receiver, accepted)) == accepted

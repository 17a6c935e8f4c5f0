"""Webhooks, the event stream and human input of real crews, received by a real receiver on another socket."""

import base64
import logging
from pathlib import Path
from typing import Any

import pytest
from crews_stage import CrewStage, Gate, crew_stage
from crews_worker import STEP, TOOL
from server_stage import Receiver, manual_clock

from batchcrew.server.crews import outbox

META = {"requestId": "user-request-12345", "batchcrew": {"batch": "b", "job": "j", "attempt": "a"}}
TASK = {"task_id": "research", "agent": "Researcher", "output": "found", "execution_time": 1.5}
PLANNED = {**TASK, "task_id": "planning", "output": "planned"}
USAGE = {"total_tokens": 3, "prompt_tokens": 2, "completion_tokens": 1}
GUIDE = [
    ("/step", {"task_id": "research", "agent": "Researcher", "step_type": "thought", "content": "It must be here."}),
    (
        "/step",
        {"task_id": "research", "agent": "Researcher", "step_type": "tool", "content": "search({'q': 'it'}) -> here"},
    ),
    ("/task", {"status": "completed", **TASK}),
    ("/task", {"status": "completed", **PLANNED}),
    (
        "/crew",
        {
            "status": "completed",
            "result": {"output": "x", "tasks": [TASK, PLANNED]},
            "result_json": {"topic": "x"},
            "token_usage": USAGE,
        },
    ),
]
LIVE_TASK = {
    "description": "Find it.",
    "name": "research",
    "expected_output": "It.",
    "summary": "Find it...",
    "agent": "Researcher",
    "output": "found",
    "output_json": {"a": 1},
}
STEP_KEYS = ("prompt", "thought", "tool", "tool_input", "result")
LIVE = [
    ("/step", {key: getattr(STEP, key) for key in STEP_KEYS}),
    ("/step", {key: getattr(TOOL, key) for key in STEP_KEYS}),
    ("/task", LIVE_TASK),
    ("/task", {**LIVE_TASK, "name": "planning", "output": "planned"}),
    ("/crew", {"result": "x", "result_json": {"topic": "x"}, "token_usage": USAGE}),
]


def urls(receiver: Receiver) -> dict[str, Any]:
    return {
        "taskWebhookUrl": f"{receiver.url}/task",
        "stepWebhookUrl": f"{receiver.url}/step",
        "crewWebhookUrl": f"{receiver.url}/crew",
        "meta": META,
    }


async def heard(receiver: Receiver, count: int) -> list[tuple[str, Any]]:
    return [await receiver.heard.get() for _ in range(count)]


@pytest.mark.parametrize(("dialect", "wanted"), [("guide", GUIDE), ("live", LIVE)])
async def test_each_is_sent_with_meta(tmp_path: Path, dialect: str, wanted: list[tuple[str, Any]]) -> None:
    async with crew_stage(tmp_path, dialect=dialect) as on:
        kickoff_id = await on.start("tasks", topic="x", body=urls(on.receiver))
        found = await heard(on.receiver, 5)
        for _, body in found:
            body.pop("execution_time", None) if "result" in body else None
        by_path = {path: [body for at, body in found if at == path] for path in ("/step", "/task", "/crew")}
        for path, bodies in by_path.items():
            assert bodies == [{**body, "kickoff_id": kickoff_id, "meta": META} for at, body in wanted if at == path]


async def test_a_failure_is_reported_to_the_webhook(tmp_path: Path) -> None:
    async with crew_stage(tmp_path, dialect="live") as on:
        kickoff_id = await on.start("fail")
        assert await on.receiver.heard.get() == (
            "/end",
            {
                "kickoff_id": kickoff_id,
                "result": None,
                "result_json": None,
                "token_usage": None,
                "state": "FAILED",
                "error": "ValueError: no luck",
            },
        )


async def test_a_failing_receiver_is_retried_without_delaying_others(tmp_path: Path) -> None:
    clock = manual_clock()
    async with crew_stage(tmp_path, clock=clock, answers=(500, 307, 200)) as on, Receiver() as well:
        await on.start("echo", topic="patient")
        await on.receiver.heard.get()
        await on.start("echo", body={"crewWebhookUrl": f"{well.url}/well"})
        assert (await well.heard.get())[0] == "/well"  # meanwhile others are served
        for wait in (0.5, 2.0):
            await clock.sleep_requested(wait)
            clock.advance(wait)
            path, body = await on.receiver.heard.get()
            assert (path, body["result"]["output"]) == ("/end", "patient")  # a redirect is not followed


async def test_a_receiver_that_keeps_failing_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = manual_clock()
    async with crew_stage(tmp_path, clock=clock, answers=(500,) * 6) as on:
        with caplog.at_level(logging.WARNING):
            await on.start("echo", body={"crewWebhookUrl": f"{on.receiver.url}/end?token=secret"})
            await on.receiver.heard.get()
            for wait in (0.5, 2.0, 5.0, 15.0, 60.0):
                await clock.sleep_requested(wait)
                clock.advance(wait)
                await on.receiver.heard.get()
            await on.run("echo")  # goes to the same receiver afterwards
        assert f"to {on.receiver.url}/end was given up: HTTP 500" in caplog.text
        assert "secret" not in caplog.text
        assert 'batchcrew_webhooks_total{outcome="given_up"} 1' in (await on.get("/metrics")).body


async def test_unsent_webhooks_are_sent_after_a_restart(tmp_path: Path) -> None:
    state, clock = tmp_path / "state.db", manual_clock()
    async with Receiver(answers=(500,)) as receiver:
        body = {"crewWebhookUrl": f"{receiver.url}/late"}
        async with crew_stage(tmp_path, clock=clock, state=state) as on:
            kickoff_id = await on.start("echo", body=body)
            await receiver.heard.get()
            await clock.sleep_requested(0.5)
        async with crew_stage(tmp_path, state=state):
            assert (await receiver.heard.get())[1]["kickoff_id"] == kickoff_id


def stream(on: CrewStage, **more: Any) -> dict[str, Any]:
    return {"webhooks": {"url": f"{on.receiver.url}/events", "events": ["task_started", "task_completed"], **more}}


async def test_the_event_stream_in_real_time(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        authentication = {"strategy": "basic", "username": "u", "password": "p"}
        body = {**stream(on, realtime=True, authentication=authentication), "crewWebhookUrl": None, "meta": META}
        kickoff_id = await on.start("tasks", body=body)
        found = await heard(on.receiver, 2)
        assert found == [
            (
                "/events",
                {
                    "events": [
                        {
                            "id": f"{kind}-{number}",
                            "execution_id": kickoff_id,
                            "timestamp": "2027-01-15T08:00:00+00:00",
                            "type": kind,
                            "data": {"n": number},
                            "meta": META,
                        }
                    ]
                },
            )
            for number, kind in ((1, "task_started"), (2, "task_completed"))
        ]
        assert on.receiver.authorized == ["Basic " + base64.b64encode(b"u:p").decode()] * 2


async def test_the_event_stream_in_batches(tmp_path: Path) -> None:
    gate, clock = Gate(tmp_path), manual_clock()
    async with crew_stage(tmp_path, clock=clock) as on:
        authentication = {"strategy": "bearer", "token": "for-events"}
        kickoff_id = await on.start("tasks", pipe=str(gate.path), body=stream(on, authentication=authentication))
        await gate.waited_at()
        await clock.sleep_requested(2.0)
        while (await on.status(kickoff_id))["current_task"] != "planning":
            pass  # both events have arrived before that
        assert on.receiver.heard.empty()
        clock.advance(2)
        path, body = await on.receiver.heard.get()
        assert (path, [event["type"] for event in body["events"]]) == ("/events", ["task_started", "task_completed"])
        assert on.receiver.authorized == ["Bearer for-events"]
        gate.open()


async def test_at_its_end_the_stream_is_sent_and_each_batch_has_its_bounds(tmp_path: Path) -> None:
    async with crew_stage(tmp_path, clock=manual_clock()) as on:
        await on.start(
            "flood", count=120, body={"webhooks": {"url": f"{on.receiver.url}/e", "events": ["llm_call_completed"]}}
        )
        found = [len(body["events"]) for path, body in await heard(on.receiver, 4) if path == "/e"]
        assert sorted(found) == [20, 50, 50]


async def test_webhooks_queued_for_a_failing_receiver_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "MAX_WAITING", 3)
    async with crew_stage(tmp_path, clock=manual_clock(), answers=(500,)) as on, Receiver() as well:
        realtime = {"url": f"{on.receiver.url}/e", "events": ["llm_call_completed"], "realtime": True}
        await on.start("flood", count=10, body={"webhooks": realtime, "crewWebhookUrl": None})
        await on.start("echo", body={"crewWebhookUrl": f"{well.url}/well"})
        assert (await well.heard.get())[0] == "/well"
        while "webhooks of" not in caplog.text:
            await on.get("/stats")
        assert caplog.text.count("wait for their receiver; further ones are dropped") == 1


BAD: list[tuple[dict[str, Any], str]] = [
    ({"webhooks": []}, "webhooks must be a JSON object with a url"),
    ({"webhooks": {"url": "ftp://x", "events": ["a"]}}, "webhooks.url must be an http or https URL"),
    ({"webhooks": {"url": "http://x"}}, "webhooks.events must be a list of names"),
    ({"webhooks": {"url": "http://x", "events": ["nonsense"]}}, "an unknown event: ['nonsense']"),
    (
        {"webhooks": {"url": "http://x", "events": ["task_started"], "realtime": 1}},
        "realtime must be true or false",
    ),
    ({"humanInputWebhook": "http://x"}, "humanInputWebhook must be a JSON object with a url"),
    ({"humanInputWebhook": {"url": "http://x", "authentication": 1}}, "has no strategy bearer or basic"),
    (
        {"humanInputWebhook": {"url": "http://x", "authentication": {"strategy": "bearer", "token": "a\r\nb"}}},
        "no token",
    ),
    (
        {"humanInputWebhook": {"url": "http://x", "authentication": {"strategy": "basic", "username": "u"}}},
        "no username",
    ),
    (
        {
            "humanInputWebhook": {
                "url": "http://x",
                "authentication": {"strategy": "basic", "username": "\ud800", "password": "p"},
            }
        },
        "no username",
    ),
]


async def test_callbacks_that_are_wrong(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        for body, message in BAD:
            answer = await on.kickoff({"inputs": {"do": "echo"}, **body})
            assert (answer.status, message in answer.body["message"]) == (400, True), answer.body


async def test_only_allowed_receivers_are_called(tmp_path: Path) -> None:
    patterns = ("https://*.example.com/hooks/*", "http://127.0.0.1:*/*")
    async with crew_stage(tmp_path, webhook_allow=patterns) as on:
        assert (await on.run("echo"))["status"] == "completed"
        for url in (
            "https://example.com/hooks/a",
            "https://a.example.com/other",
            "http://a.example.com/hooks/a",
            "https://a.example.com:8443/hooks/a",
            "https://evil.org/.example.com/hooks/a",
            "https://evil.org?.example.com/hooks/a",
            "https://a.example.com@evil.org/hooks/a",
            "http://169.254.169.254/latest",
        ):
            for body in ({"crewWebhookUrl": url}, {"humanInputWebhook": {"url": url}}, {"webhooks": {"url": url}}):
                answer = await on.kickoff({"inputs": {"do": "echo"}, **body})
                assert answer.status == 400, url
                assert "is not allowed" in answer.body["message"], url
        allowed = {"crewWebhookUrl": "https://A.example.com/hooks/a?b=c"}
        assert (await on.kickoff({"inputs": {"do": "fail"}, **allowed})).status == 200


async def paused(on: CrewStage, **body: Any) -> str:
    kickoff_id = await on.start("ask", body={"humanInputWebhook": {"url": f"{on.receiver.url}/ask"}, **body})
    path, said = await on.receiver.heard.get()
    assert (path, said["execution_id"]) == ("/ask", kickoff_id)
    return kickoff_id


def word(kickoff_id: str, on: CrewStage, **more: Any) -> dict[str, Any]:
    end = {"crewWebhookUrl": f"{on.receiver.url}/end"}
    return {"execution_id": kickoff_id, "task_id": "planning", "is_approve": True, **end, **more}


async def test_human_input_rejects_then_approves(tmp_path: Path) -> None:
    async with crew_stage(tmp_path, threads=1) as on:
        authentication = {"strategy": "bearer", "token": "h"}
        kickoff_id = await on.start(
            "ask",
            body={
                "humanInputWebhook": {"url": f"{on.receiver.url}/ask", "authentication": authentication},
                "meta": META,
            },
        )
        asked = {
            "execution_id": kickoff_id,
            "kickoff_id": kickoff_id,
            "task_id": "planning",
            "status": "Pending Human Input",
            "agent": "Planner",
            "output": "draft 1",
            "meta": META,
        }
        assert await on.receiver.heard.get() == ("/ask", asked)
        assert on.receiver.authorized == ["Bearer h"]
        assert await on.status(kickoff_id) == {
            "status": "Pending Human Input",
            "state": "Pending Human Input",
            "current_task": "planning",
            "progress": {"completed_tasks": 0, "total_tasks": 2},
            "human_input": {"task_id": "planning", "agent": "Planner", "output": "draft 1"},
        }
        assert (await on.run("echo", topic="meanwhile"))["status"] == "completed"  # its thread's place is free
        rejected = word(kickoff_id, on, is_approve=False, human_feedback="shorter")
        answer = await on.call("POST", "/resume", json=rejected)
        assert (answer.status, answer.body["status"]) == (200, "retrying")
        assert await on.receiver.heard.get() == ("/ask", {**asked, "output": "draft 2"})
        answer = await on.call("POST", "/resume", json=word(kickoff_id, on, human_feedback="thanks"))
        assert (answer.status, answer.body["status"]) == (200, "resumed")
        (found,) = await on.ended(kickoff_id)
        assert found["result"]["output"] == "shorter; thanks"
        answer = await on.call("POST", "/resume", json=word(kickoff_id, on))
        assert (answer.status, answer.body["message"]) == (
            400,
            "the execution has ended; it does not wait for human input",
        )


async def test_webhooks_are_not_carried_over(tmp_path: Path) -> None:
    """After a pause, only the webhooks in the body of `/resume` are called, as by deployed crews."""
    async with crew_stage(tmp_path) as on:
        kickoff_id = await paused(on)
        await on.call("POST", "/resume", json={**word(kickoff_id, on), "crewWebhookUrl": f"{on.receiver.url}/other"})
        assert (await on.receiver.heard.get())[0] == "/other"


async def test_resume_that_is_wrong(tmp_path: Path) -> None:
    async with crew_stage(tmp_path, webhook_allow=("http://127.0.0.1:*/*",)) as on:
        kickoff_id = await paused(on)
        for body, status, message in (
            (word("nobody", on), 404, "there is no execution nobody"),
            (word("\ud800", on), 404, "there is no execution \ud800"),
            (word(kickoff_id, on, task_id="other"), 400, "the execution waits at another task: task_id planning"),
            (word(kickoff_id, on, is_approve="yes"), 400, "is_approve must be true or false"),
            (
                word(kickoff_id, on, is_approve=False),
                400,
                "human_feedback is empty (a rejection must say what to improve)",
            ),
            (word(kickoff_id, on, human_feedback=3), 400, "human_feedback must be text"),
            (word(kickoff_id, on, task_id=None), 400, "task_id must be text"),
            (
                word(kickoff_id, on, human_feedback="x" * 100_001),
                400,
                "human_feedback is longer than 100000 char",
            ),
            (word(kickoff_id, on, crewWebhookUrl="ftp://x"), 400, "crewWebhookUrl must be an http or https URL"),
            (
                word(kickoff_id, on, crewWebhookUrl="http://10.0.0.1/"),
                400,
                "crewWebhookUrl is not allowed",
            ),
            ([], 400, "the body is JSON, but not an object"),
        ):
            answer = await on.call("POST", "/resume", json=body)
            assert (answer.status, message in answer.body["message"]) == (status, True), answer.body
        assert (await on.status(kickoff_id))["status"] == "Pending Human Input"
        assert (await on.call("POST", "/resume", json=word(kickoff_id, on))).status == 200
        await on.ended(kickoff_id)


async def test_waiting_for_human_input_does_not_count_against_the_time_limit(tmp_path: Path) -> None:
    clock = manual_clock()
    async with crew_stage(tmp_path, clock=clock, execution_timeout=60) as on:
        kickoff_id = await paused(on)
        await clock.settle()
        clock.advance(3600)
        assert (await on.run("echo"))["status"] == "completed"
        await on.call("POST", "/resume", json=word(kickoff_id, on))
        (found,) = await on.ended(kickoff_id)
        assert found["result"]["output"] == "at once"


async def test_the_time_limit_resumes_after_human_input(tmp_path: Path) -> None:
    clock, gate = manual_clock(), Gate(tmp_path)
    async with crew_stage(tmp_path, clock=clock, execution_timeout=60) as on:
        human = {"humanInputWebhook": {"url": f"{on.receiver.url}/ask"}}
        kickoff_id = await on.start("ask_and_hold", pipe=str(gate.path), body=human)
        assert (await on.receiver.heard.get())[0] == "/ask"
        await clock.settle()
        clock.advance(3600)
        await on.call("POST", "/resume", json=word(kickoff_id, on))
        await gate.waited_at()
        await clock.settle()
        clock.advance(60)
        (found,) = await on.ended(kickoff_id)
        gate.open()
        assert "60 s (--execution-timeout)" in found["error"]


async def test_a_paused_execution_ends_with_its_worker(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        kickoff_id = await paused(on)
        await on.start("die")
        (found,) = await on.ended(kickoff_id)
        assert found["status"] == "error"
        assert (await on.get("/stats")).body | {"running": 0, "paused": 0} == (await on.get("/stats")).body

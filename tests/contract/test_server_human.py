"""The demo crew's human task: it waits after its first task, and `/resume` continues or repeats that."""

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest
from server_stage import RESEARCH, Answer, Receiver, Stage, stage

ASKS: dict[str, Any] = {"human_rate": 1.0}
WAITS = "Pending Human Input"


async def paused(on: Stage, **body: Any) -> str:
    """Start an execution, and advance to its human task."""
    kickoff_id = await on.started({"inputs": dict.fromkeys(("budget", "interests", "duration", "age"), "x"), **body})
    on.clock.advance(4)
    return kickoff_id


async def answered(on: Stage, kickoff_id: str, **given: Any) -> Answer:
    body = {"execution_id": kickoff_id, "task_id": "research_task", "human_feedback": "", "is_approve": True, **given}
    return await on.call("POST", "/resume", json=body)


@pytest.mark.parametrize("dialect", ["guide", "live", "legacy"])
async def test_an_execution_waits_until_it_is_approved_and_then_continues(dialect: str) -> None:
    async with stage(dialect=dialect, **ASKS) as on:
        kickoff_id = await on.started()
        on.clock.advance(1000)
        answer = (await on.get(f"/{kickoff_id}/status")).body
        assert answer["status"] == WAITS
        assert answer["human_input"] == {"task_id": "research_task", "agent": "Researcher", "output": RESEARCH}
        assert on.server.stats["paused"] == 1
        assert on.server.stats["running"] == 0
        assert (await answered(on, kickoff_id)).body["status"] == "resumed"
        on.clock.advance(5.9)
        assert (await on.get(f"/{kickoff_id}/status")).body["status"] in {"running", "STARTED", "in_progress"}
        on.clock.advance(0.1)
        assert (await on.get(f"/{kickoff_id}/status")).body["status"] in {"completed", "SUCCESS", "success"}
        assert on.server.stats["human_answers"] == 1


async def test_a_rejected_task_is_repeated_with_the_feedback_and_waits_again() -> None:
    async with stage(**ASKS) as on:
        kickoff_id = await paused(on)
        answer = await answered(on, kickoff_id, is_approve=False, human_feedback="cheaper")
        assert answer.body["status"] == "retrying"
        assert (await on.get(f"/status/{kickoff_id}")).body["status"] == "running"
        on.clock.advance(4)
        asked = (await on.get(f"/status/{kickoff_id}")).body["human_input"]
        assert asked["output"].endswith("\nRevision 1: cheaper")


async def test_refusals() -> None:
    async with stage(**ASKS) as on:
        kickoff_id = await paused(on)
        assert (await answered(on, "nobody")).status == 404
        assert (await answered(on, kickoff_id, task_id="planning_task")).status == 400
        assert (await answered(on, kickoff_id)).status == 200
        assert (await answered(on, kickoff_id)).status == 400
        assert on.server.stats["human_answers"] == 1


async def test_the_webhooks_of_the_kickoff_are_called_until_it_is_resumed_and_then_those_of_the_answer() -> None:
    async with Receiver() as receiver, stage(**ASKS) as on:
        kickoff_id = await paused(on, stepWebhookUrl=f"{receiver.url}/step", crewWebhookUrl=f"{receiver.url}/before")
        path, body = await receiver.heard.get()
        assert (path, body["kickoff_id"]) == ("/step", kickoff_id)
        await answered(on, kickoff_id, crewWebhookUrl=f"{receiver.url}/after")
        on.clock.advance(6)
        path, body = await receiver.heard.get()
        assert (path, body["status"]) == ("/after", "completed")


async def test_a_waiting_execution_outlives_the_server(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    async with stage(state=state, **ASKS) as on:
        kickoff_id = await paused(on)
        clock = on.clock
    async with stage(state=state, clock=clock) as on:
        assert on.server.stats["running"] == 0
        assert (await answered(on, kickoff_id)).status == 200
        on.clock.advance(6)
        assert (await on.get(f"/status/{kickoff_id}")).body["status"] == "completed"


async def test_human_input_webhook_as_deployed_crews_send_it() -> None:
    async with stage(webhook_secret="s3", **ASKS) as on, Receiver(answers=(500,)) as receiver:
        bearer = {"strategy": "bearer", "token": "t-1"}
        human = {"url": f"{receiver.url}/human", "authentication": bearer}
        kickoff_id = await paused(on, humanInputWebhook=human, meta={"row": 1}, crewWebhookUrl=f"{receiver.url}/crew")
        path, heard = await receiver.heard.get()
        assert (path, heard.pop("output")[:18]) == ("/human", "Research findings ")
        assert heard == {
            "execution_id": kickoff_id,
            "kickoff_id": kickoff_id,
            "task_id": "research_task",
            "status": "Pending Human Input",
            "agent": "Researcher",
            "meta": {"row": 1},
        }
        [(timestamp, signed, body)] = receiver.signed
        expected = hmac.new(b"s3", timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        assert signed == f"sha256={expected}"
        assert receiver.authorized == ["Bearer t-1"]
        crew_url = {"crewWebhookUrl": f"{receiver.url}/crew"}
        assert (await answered(on, kickoff_id, **crew_url)).status == 200
        on.clock.advance(1000)
        assert (await receiver.heard.get())[0] == "/crew"  # the refused one was not sent again


async def test_without_a_secret_it_is_not_signed_and_a_wrong_receiver_is_refused() -> None:
    async with stage(**ASKS) as on, Receiver() as receiver:
        await paused(on, humanInputWebhook={"url": receiver.url})
        await receiver.heard.get()
        assert (receiver.signed, receiver.authorized) == ([], [])
        for wrong in ("text", {"url": "ftp://x"}, {"url": receiver.url, "authentication": {"strategy": "none"}}):
            body = {
                "inputs": dict.fromkeys(("budget", "interests", "duration", "age"), "x"),
                "humanInputWebhook": wrong,
            }
            assert (await on.call("POST", "/kickoff", json=body)).status in {400, 422}

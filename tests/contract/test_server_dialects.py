"""What the embedded server answers, word for word, in each dialect."""

from typing import Any

import pytest
from server_stage import PLAN, RESEARCH, stage

RESEARCH_TASK = {"task_id": "research_task", "output": RESEARCH, "agent": "Researcher", "execution_time": 4.0}
PLANNING_TASK = {"task_id": "planning_task", "output": PLAN, "agent": "Trip Planner", "execution_time": 6.0}
FAILURE = "planning_task: no way to Tokyo could be found (a rehearsed failure, --fail-rate)"
USAGE = {"total_tokens": len(PLAN) + 27, "prompt_tokens": 27, "completion_tokens": len(PLAN)}
RESEARCH_STEP = {
    "prompt": "Find destinations that fit the traveller's interests, age and budget.",
    "thought": "I should first look for destinations that match these interests and this budget.",
    "result": None,
}
PLANNING_STEP = {
    "prompt": "Turn the chosen destination into a plan, day by day.",
    "thought": "The destination is settled; I should spread the interests over the days.",
    "result": None,
}


def live(word: str, result: Any = None, last_step: Any = None, token_usage: Any = None) -> dict[str, Any]:
    return {
        "state": word,
        "status": word,
        "result": result,
        "result_json": None,
        "last_step": last_step,
        "token_usage": token_usage,
    }


def guide_runs(task: str, completed: int) -> dict[str, Any]:
    return {"status": "running", "current_task": task, "progress": {"completed_tasks": completed, "total_tasks": 2}}


LIVES: dict[str, list[tuple[float, Any]]] = {
    "guide": [
        (0.0, guide_runs("research_task", 0)),
        (3.9, guide_runs("research_task", 0)),
        (4.1, guide_runs("planning_task", 1)),
        (9.9, guide_runs("planning_task", 1)),
        (
            10.1,
            {
                "status": "completed",
                "result": {"output": PLAN, "tasks": [RESEARCH_TASK, PLANNING_TASK]},
                "execution_time": 10.0,
            },
        ),
    ],
    "live": [
        (0.0, live("PENDING")),
        (0.6, live("STARTED")),
        (4.1, live("STARTED", last_step=RESEARCH_STEP)),
        (10.1, live("SUCCESS", PLAN, PLANNING_STEP, USAGE)),
    ],
    "legacy": [
        (0.0, {"status": "queued"}),
        (0.6, {"status": "in_progress"}),
        (9.9, {"status": "in_progress"}),
        (10.1, {"status": "success", "final_output": PLAN}),
    ],
}


@pytest.mark.parametrize("dialect", LIVES)
async def test_an_execution_from_its_start_to_its_success(dialect: str) -> None:
    async with stage(dialect=dialect) as on:
        kickoff_id = await on.started()
        passed = 0.0
        for at, expected in LIVES[dialect]:
            on.clock.advance(at - passed)
            passed = at
            answer = await on.get(f"/{kickoff_id}/status")
            assert (answer.status, answer.body) == (200, expected), at


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("guide", {"status": "error", "error": FAILURE, "execution_time": 10.0}),
        ("live", live("FAILED", FAILURE, RESEARCH_STEP, USAGE)),
        ("legacy", {"status": "failure", "error_message": FAILURE}),
    ],
)
async def test_an_execution_that_fails(dialect: str, expected: Any) -> None:
    async with stage(dialect=dialect, fail_rate=1.0) as on:
        kickoff_id = await on.started()
        on.clock.advance(9.9)
        running = (await on.get(f"/{kickoff_id}/status")).body
        assert running.get("state", running["status"]) in {"running", "STARTED", "in_progress"}
        on.clock.advance(0.2)
        answer = await on.get(f"/{kickoff_id}/status")
        assert (answer.status, answer.body) == (200, expected)


@pytest.mark.parametrize(
    ("dialect", "inputs"),
    [
        ("guide", ["budget", "interests", "duration", "age"]),
        ("live", {"budget": "string", "interests": "string", "duration": "string", "age": "string"}),
        (
            "legacy",
            [
                {"name": "budget", "type": "string", "required": True},
                {"name": "interests", "type": "string", "required": True},
                {"name": "duration", "type": "string", "required": True},
                {"name": "age", "type": "string", "required": True},
            ],
        ),
    ],
)
async def test_the_required_inputs_are_listed(dialect: str, inputs: Any) -> None:
    async with stage(dialect=dialect) as on:
        answer = await on.get("/inputs")
        assert (answer.status, answer.body) == (200, {"inputs": inputs, "optional_inputs": []})


@pytest.mark.parametrize(
    ("dialect", "status", "body"),
    [
        ("guide", 404, {"error": "Not Found", "message": "there is no execution nobody"}),
        (
            "live",
            200,
            {"state": "NOT FOUND", "status": "NOT FOUND", "result": None, "result_json": None, "last_step": None},
        ),
        ("legacy", 404, {"detail": "there is no execution nobody"}),
    ],
)
async def test_an_execution_that_is_not_known(dialect: str, status: int, body: Any) -> None:
    async with stage(dialect=dialect) as on:
        answer = await on.get("/nobody/status")
        assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize("dialect", ["guide", "live"])
async def test_status_can_be_requested_by_either_path(dialect: str) -> None:
    async with stage(dialect=dialect) as on:
        kickoff_id = await on.started()
        assert (await on.get(f"/status/{kickoff_id}")).body == (await on.get(f"/{kickoff_id}/status")).body


async def test_the_legacy_dialect_has_the_id_first_only() -> None:
    async with stage(dialect="legacy") as on:
        kickoff_id = await on.started()
        answer = await on.get(f"/status/{kickoff_id}")
        assert (answer.status, [*answer.body]) == (404, ["detail"])


@pytest.mark.parametrize("dialect", LIVES)
async def test_health_kickoff_and_its_other_path(dialect: str) -> None:
    async with stage(dialect=dialect) as on:
        health = await on.get("/", headers={"Authorization": None})
        assert (health.status, health.body, health.headers["Content-Type"]) == (
            200,
            "Healthy",
            "text/plain; charset=utf-8",
        )
        for path in ("/kickoff", "/kickoff/"):
            answer = await on.call("POST", path, data=b'{"inputs":{"budget":1,"interests":2,"duration":3,"age":4}}')
            assert answer.status == 200
            assert list(answer.body) == ["kickoff_id"]
            assert len(answer.body["kickoff_id"]) == 36


async def test_stats() -> None:
    async with stage() as on:
        meta = {"batchcrew": {"batch": "b", "job": "j", "attempt": "1"}}
        await on.started({"inputs": {"budget": 1, "interests": 2, "duration": 3, "age": 4}, "meta": meta})
        answer = await on.get("/stats")
        assert (answer.status, answer.body) == (
            200,
            {
                "kickoffs": 1,
                "kickoff_requests": 1,
                "refused": 0,
                "repeated": 0,
                "disturbed": 0,
                "running": 1,
                "peak_running": 1,
                "max_kickoffs_per_job": 1,
                "paused": 0,
                "human_answers": 0,
            },
        )
        assert on.server.stats == answer.body
        on.clock.advance(10)
        assert on.server.stats["running"] == 0
        assert on.server.stats["peak_running"] == 1

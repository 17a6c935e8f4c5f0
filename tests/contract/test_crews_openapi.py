"""`/openapi.json` of real crews contains each route, and each answer conforms to it."""

import io
from pathlib import Path
from typing import Any

import pytest
from crews_stage import Gate, crew_stage
from jsonschema import Draft202012Validator
from test_server_openapi import Described

from batchcrew.server import DIALECTS
from batchcrew.server.options import MAX_BODY_BYTES

NO_TOKEN = {"Authorization": "Bearer no"}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_answer_is_as_described(tmp_path: Path, dialect: str) -> None:
    gate = Gate(tmp_path)
    async with crew_stage(tmp_path, dialect=dialect, threads=1, max_queue=1) as on:
        document = (await on.get("/openapi.json", headers={"Authorization": None})).body
        described = Described(on, document)
        status = "/{kickoff_id}/status" if dialect == "legacy" else "/status/{kickoff_id}"

        async def look(kickoff_id: str) -> None:
            await described.call("GET", status.format(kickoff_id=kickoff_id), status)

        for path in ("/", "/openapi.json", "/inputs", "/stats", "/metrics"):
            await described.call("GET", path, path)
        for path in ("/inputs", "/stats", "/metrics", status):
            await described.call("GET", path, path, headers=NO_TOKEN)
        for path in ("/kickoff", "/resume"):
            await described.call("POST", path, path, headers=NO_TOKEN, json={})
            await described.call("POST", path, path, data=b"[")
            await described.call("POST", path, path, data=io.BytesIO(b" " * (MAX_BODY_BYTES + 1)))
        await described.call("POST", "/kickoff", "/kickoff", json={"inputs": {}})
        ids = [await on.start(do, topic="x") for do in ("tasks",)]
        for do in ("fail", "odd"):
            await on.ended(ids[-1])
            ids.append(await on.start(do))
        await on.ended(ids[-1])
        held = await on.start("tasks", pipe=str(gate.path))
        await gate.waited_at()
        waiting = await on.start("ask", body={"humanInputWebhook": {"url": f"{on.receiver.url}/ask"}})
        for kickoff_id in (*ids, held, waiting, "nobody"):
            await look(kickoff_id)
        await described.call("POST", "/kickoff", "/kickoff", json={"inputs": {"do": "echo"}})  # 429
        gate.open()
        while (await on.receiver.heard.get())[0] != "/ask":
            pass
        await look(waiting)
        word = {"execution_id": waiting, "task_id": "planning", "is_approve": True}
        await described.call("POST", "/resume", "/resume", json={**word, "task_id": "x"})
        await described.call("POST", "/resume", "/resume", json={**word, "execution_id": "nobody"})
        await described.call("POST", "/resume", "/resume", json=word)
        await described.call("GET", f"/{held}/status", "/{kickoff_id}/status")
        assert {code for path, code in described.seen if path == "/kickoff"} == {400, 401, 413, 422, 429}
        assert {code for path, code in described.seen if path == "/resume"} == {200, 400, 401, 404, 413}
        found = {code for path, code in described.seen if path == status}
        assert found == {200, 401} | (set() if dialect == "live" else {404})


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_route_is_in_it_and_nothing_else(tmp_path: Path, dialect: str) -> None:
    async with crew_stage(tmp_path, dialect=dialect) as on:
        document = (await on.get("/openapi.json")).body
        for schema in document["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)
        assert document["info"]["description"] == "CrewAI, run by batchcrew."
        assert {"/resume", "/metrics"} <= set(document["paths"])
        for path, operations in document["paths"].items():
            for method in ("get", "head", "post", "put", "patch", "delete", "options"):
                served = (await on.call(method.upper(), path.format(kickoff_id="x"))).status != 405
                assert served == (method in operations), (path, method)


async def test_what_a_kickoff_holds(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        document = (await on.get("/openapi.json")).body
    kickoff = Draft202012Validator(
        {**document["components"]["schemas"]["Kickoff"], "components": document["components"]}
    )
    receiver = {"url": "http://x", "authentication": {"strategy": "bearer", "token": "t"}}
    kickoff.validate({"inputs": {"do": 1}, "humanInputWebhook": receiver, "webhooks": {**receiver, "events": ["a"]}})
    wrongs: tuple[dict[str, Any], ...] = (
        {"inputs": {}},
        {"inputs": {"do": 1}, "humanInputWebhook": {"url": "ftp://x"}},
        {"inputs": {"do": 1}, "webhooks": receiver},
        {"inputs": {"do": 1}, "humanInputWebhook": {**receiver, "authentication": {"strategy": "basic", "token": "t"}}},
    )
    for wrong in wrongs:
        assert not kickoff.is_valid(wrong), wrong


async def test_metrics_count_kickoffs_outcomes_and_tokens(tmp_path: Path) -> None:
    async with crew_stage(tmp_path) as on:
        await on.run("echo")
        await on.run("fail")
        answer = await on.get("/metrics")
        assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        lines = answer.body.splitlines()
        assert lines[-1] == "# EOF"
        for line in (
            'batchcrew_executions{phase="running"} 0',
            "batchcrew_kickoffs_total 2",
            'batchcrew_ended_total{outcome="succeeded"} 1',
            'batchcrew_ended_total{outcome="failed"} 1',
            "batchcrew_tokens_total 3",
            "batchcrew_workers_ready 1",
            'batchcrew_execution_seconds_bucket{le="+Inf"} 2',
            "batchcrew_execution_seconds_count 2",
        ):
            assert line in lines, line

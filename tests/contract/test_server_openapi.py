"""`/openapi.json` contains each route, and each answer conforms to it."""

import io
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from server_stage import INPUTS, KICKOFF, Stage, stage

from batchcrew.server import DIALECTS, Faults
from batchcrew.server.options import MAX_BODY_BYTES


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def schema_of(document: dict[str, Any], path: str, method: str, status: int, media: str) -> dict[str, Any]:
    """The schema that the document promises for an answer; a KeyError is a promise that is missing."""
    answer = resolved(document, document["paths"][path][method]["responses"][str(status)])
    return {**answer["content"][media]["schema"], "components": document["components"]}


class Described:
    """A stage whose answers are held against its own description."""

    def __init__(self, on: Stage, document: dict[str, Any]) -> None:
        self.on, self.document = on, document
        self.seen: set[tuple[str, int]] = set()

    async def call(self, method: str, path: str, template: str, **how: Any) -> Any:
        answer = await self.on.call(method, path, **how)
        media = answer.headers["Content-Type"].split(";")[0]
        schema = schema_of(self.document, template, method.lower(), answer.status, media)
        Draft202012Validator(schema).validate(answer.body)
        self.seen.add((template, answer.status))
        return answer.body


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_answer_is_as_described(dialect: str) -> None:
    faults = Faults(kickoff=[200] * 6 + [500, 502, 503], status=[200] * 6 + [500, 502, 503])
    async with stage(dialect=dialect, max_running=2, faults=faults) as on:
        document = (await on.get("/openapi.json", headers={"Authorization": None})).body
        described = Described(on, document)
        status = "/{kickoff_id}/status" if dialect == "legacy" else "/status/{kickoff_id}"
        await described.call("GET", "/", "/")
        await described.call("GET", "/openapi.json", "/openapi.json")
        await described.call("GET", "/inputs", "/inputs")
        await described.call("GET", "/stats", "/stats")
        for path in ("/inputs", "/stats", status):
            await described.call("GET", path, path, headers={"Authorization": "Bearer no"})
        await described.call("POST", "/kickoff", "/kickoff", headers={"Authorization": "Bearer no"}, json=KICKOFF)
        first = (await described.call("POST", "/kickoff/", "/kickoff/", json=KICKOFF))["kickoff_id"]
        await described.call("POST", "/kickoff", "/kickoff", json={"inputs": {**INPUTS, "age": 36}})
        await described.call("POST", "/kickoff", "/kickoff", json=KICKOFF)
        await described.call("POST", "/kickoff", "/kickoff", data=b"[")
        await described.call("POST", "/kickoff", "/kickoff", json={"inputs": {"age": 1}})
        await described.call("POST", "/kickoff", "/kickoff", data=io.BytesIO(b" " * (MAX_BODY_BYTES + 1)))
        await described.call("POST", "/kickoff", "/kickoff", json={"inputs": []})
        for at in (0, 1, 4, 5):
            on.clock.advance(at)
            await described.call("GET", status.format(kickoff_id=first), status)
        await described.call("GET", f"/{first}/status", "/{kickoff_id}/status")
        await described.call("GET", status.format(kickoff_id="nobody"), status)
        for _ in range(3):
            await described.call("POST", "/kickoff", "/kickoff", json=KICKOFF)
            await described.call("GET", status.format(kickoff_id=first), status)
        assert {code for path, code in described.seen if path == "/kickoff"} == {
            200, 400, 401, 413, 422, 429, 500, 502, 503,
        }  # fmt: skip
        found = {code for path, code in described.seen if path == status}
        assert found == {200, 401, 500, 502, 503} | (set() if dialect == "live" else {404})


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_failure_is_as_described(dialect: str) -> None:
    async with stage(dialect=dialect, fail_rate=1.0) as on:
        described = Described(on, (await on.get("/openapi.json")).body)
        kickoff_id = await on.started()
        on.clock.advance(60)
        await described.call("GET", f"/{kickoff_id}/status", "/{kickoff_id}/status")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_route_is_in_it_and_nothing_else(dialect: str) -> None:
    async with stage(dialect=dialect) as on:
        document = (await on.get("/openapi.json")).body
        routes = {"/", "/inputs", "/kickoff", "/kickoff/", "/{kickoff_id}/status", "/stats", "/resume", "/openapi.json"}
        if dialect != "legacy":
            routes.add("/status/{kickoff_id}")
        assert set(document["paths"]) == routes
        for path, operations in document["paths"].items():
            for method in ("get", "head", "post", "put", "patch", "delete", "options"):
                served = (await on.call(method.upper(), path.format(kickoff_id="x"))).status != 405
                assert served == (method in operations), (path, method)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_its_structure(dialect: str) -> None:
    async with stage(dialect=dialect) as on:
        document = (await on.get("/openapi.json")).body
    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"]
    assert document["info"]["version"]
    assert "no language model was used" in document["info"]["description"]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    operations = [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    ]
    for path, method, operation in operations:
        assert operation["responses"], (path, method)
        for answer in operation["responses"].values():
            assert resolved(document, answer)["description"]
        asks_no_token = path in {"/", "/openapi.json"}
        assert (operation.get("security") == []) == asks_no_token, path
        assert ("401" in operation["responses"]) != asks_no_token
    kickoff = document["components"]["schemas"]["Kickoff"]
    Draft202012Validator(kickoff).validate({**KICKOFF, "taskWebhookUrl": None, "meta": {"a": 1}})
    assert not Draft202012Validator(kickoff).is_valid({"inputs": {"age": 1}})
    assert not Draft202012Validator(kickoff).is_valid({**KICKOFF, "crewWebhookUrl": "ftp://x"})

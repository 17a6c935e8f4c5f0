"""The embedded server answers invalid and hostile requests with an error of the dialect, never with 500."""

import asyncio
import io
import json
from typing import Any

import pytest
from server_stage import INPUTS, TOKEN, stage

from batchcrew.server import DIALECTS

FOUR = ["budget", "interests", "duration", "age"]


def field(name: str) -> dict[str, Any]:
    return {"type": "missing", "loc": ["body", "inputs", name], "msg": "Field required"}


GUIDE_MISSING = {
    "error": "Validation Error",
    "message": "Missing required inputs: duration, age",
    "details": {"missing_inputs": ["duration", "age"]},
}


@pytest.mark.parametrize(
    ("dialect", "body"),
    [("guide", GUIDE_MISSING), ("live", GUIDE_MISSING), ("legacy", {"detail": [field("duration"), field("age")]})],
)
async def test_missing_inputs_are_named(dialect: str, body: Any) -> None:
    async with stage(dialect=dialect) as on:
        answer = await on.kickoff({"inputs": {"budget": "1", "interests": "x"}})
        assert (answer.status, answer.body) == (422, body)
        assert on.server.stats["kickoffs"] == 0
        assert on.server.stats["refused"] == 1


async def test_without_inputs_all_are_missing() -> None:
    async with stage() as on:
        answer = await on.kickoff({"meta": {}})
        assert (answer.status, answer.body["details"]) == (422, {"missing_inputs": FOUR})


BAD_BODIES: dict[str, list[bytes]] = {
    "the body is not valid JSON": [
        b"",
        b"{",
        b"inputs=1",
        b'{"inputs": NaN}',
        b'{"inputs": {"age": ' + b"9" * 5000 + b"}}",
    ],
    "the body is not UTF-8": [b"\xff\xfe{}", b'{"inputs": "\xed\xa0\x80"}'],
    "the body is JSON, but not an object": [b"[]", b"null", b'"inputs"'],
    "the body is nested too deeply": [
        b"[" * 100_000,
        b'{"inputs":' + b'{"a":' * 90_000 + b"1" + b"}" * 90_000 + b"}",
    ],
    "inputs must be a JSON object": [b'{"inputs": []}', b'{"inputs": null}', b'{"inputs": "budget"}'],
    "meta must be a JSON object": [b'{"inputs": {}, "meta": []}', b'{"inputs": {}, "meta": "x"}'],
    "taskWebhookUrl must be an http or https URL": [b'{"inputs": {}, "taskWebhookUrl": 3}'],
    "stepWebhookUrl must be an http or https URL": [b'{"inputs": {}, "stepWebhookUrl": {}}'],
    "crewWebhookUrl must be an http or https URL": [
        b'{"inputs": {}, "crewWebhookUrl": ""}',
        b'{"inputs": {}, "crewWebhookUrl": "file:///etc/passwd"}',
        b'{"inputs": {}, "crewWebhookUrl": "http://"}',
        b'{"inputs": {}, "crewWebhookUrl": "http://a:99999/"}',
        b'{"inputs": {}, "crewWebhookUrl": "http://a\\r\\nHost: b/"}',
        b'{"inputs": {}, "crewWebhookUrl": "http://\\ud800/"}',
        b'{"inputs": {}, "crewWebhookUrl": "http://[::1/"}',
    ],
}


@pytest.mark.parametrize("message", BAD_BODIES)
async def test_an_invalid_kickoff_body_is_refused(message: str) -> None:
    async with stage() as on:
        for number, body in enumerate(BAD_BODIES[message], start=1):
            answer = await on.call("POST", "/kickoff", data=body)
            assert (answer.status, answer.body) == (400, {"error": "Bad Request", "message": message}), body[:100]
            assert on.server.stats["refused"] == number
        assert on.server.stats["kickoffs"] == 0


async def test_legacy_says_detail() -> None:
    async with stage(dialect="legacy") as on:
        answer = await on.call("POST", "/kickoff", data=b"{")
        assert (answer.status, [*answer.body]) == (400, ["detail"])


async def test_depth_that_parses_and_cannot_be_written_again() -> None:
    """Inputs are digested: what cannot be written is refused at once, not later."""
    inputs = json.dumps(INPUTS).encode()
    seen = set()
    async with stage() as on:
        # around the limits of Python 3.11, 3.12 and 3.13
        for depth in (*range(100, 1200, 20), *range(1400, 1600, 20), *range(9800, 11_000, 100)):
            deep = b'{"a":' * depth + b"1" + b"}" * depth
            for body in (
                b'{"inputs": %b, "meta": %b}' % (inputs, deep),
                b'{"inputs": {"x": %b, %b}' % (deep, inputs[1:]),
            ):
                answer = await on.call("POST", "/kickoff", data=body)
                seen.add((answer.status, "nested" in answer.body.get("message", "")))
    assert seen == {(200, False), (400, True)}


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1.5,
        10**300,
        "",
        "\x00",
        "a\x1b[31mred\x07",
        "\ud800",
        "\U0001f600" * 20_000,
        "<script>alert(1)</script>",
        "9" * 200_000,
        [],
        ["food", "art"],
        [1, [2, {"a": None}]],
        {"deep": {"deeper": ["x"]}},
    ],
    ids=lambda value: str(type(value).__name__),
)
async def test_inputs_of_any_kind_are_tolerated_and_their_output_stays_short_and_plain(value: Any) -> None:
    async with stage() as on:
        kickoff_id = await on.started({"inputs": dict.fromkeys(FOUR, value)})
        on.clock.advance(60)
        answer = await on.get(f"/status/{kickoff_id}")
        output = answer.body["result"]["output"]
        assert len(output) < 8000
        assert all(char.isprintable() or char == "\n" for char in output)


async def test_a_long_stay_is_cut_to_two_weeks() -> None:
    async with stage() as on:
        for duration, days in (("400 days", 14), ("2 weeks", 14), ("1 week", 7), ("3", 3), ("0 days", 1), ("long", 3)):
            kickoff_id = await on.started({"inputs": {**INPUTS, "duration": duration}})
            on.clock.advance(60)
            output = (await on.get(f"/status/{kickoff_id}")).body["result"]["output"]
            assert output.count("\nDay ") == days, duration


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_body_over_the_limit(dialect: str) -> None:
    async with stage(dialect=dialect) as on:
        answer = await on.call("POST", "/kickoff", data=io.BytesIO(b" " * 5_000_000))
        assert answer.status == 413
        assert "the body is larger than 1048576 bytes" in answer.body.values()
        assert on.server.stats["refused"] == 1


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xe9\xff"],
)
async def test_the_token_is_required(authorization: str | None) -> None:
    async with stage() as on:
        for method, path in (
            ("GET", "/inputs"),
            ("POST", "/kickoff"),
            ("POST", "/kickoff/"),
            ("GET", "/status/x"),
            ("GET", "/x/status"),
            ("GET", "/stats"),
            ("GET", "/no/such/path"),
        ):
            answer = await on.call(method, path, headers={"Authorization": authorization})
            assert (answer.status, answer.body) == (
                401,
                {"error": "Unauthorized", "message": "the bearer token is missing or wrong"},
            ), path
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert on.server.stats["kickoff_requests"] == 0


async def test_the_name_of_the_authorization_scheme_ignores_case() -> None:
    async with stage() as on:
        assert (await on.get("/inputs", headers={"Authorization": f"bearer {TOKEN}"})).status == 200


async def test_wrong_methods_and_paths() -> None:
    async with stage() as on:
        for method, path, allowed in (
            ("GET", "/kickoff", "POST"),
            ("POST", "/inputs", "GET"),
            ("DELETE", "/status/x", "GET"),
            ("HEAD", "/inputs", "GET"),
        ):
            answer = await on.call(method, path)
            assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        answer = await on.get("/nothing")
        assert (answer.status, answer.body) == (404, {"error": "Not Found", "message": "path not found"})
        assert (await on.call("HEAD", "/")).status == 200


@pytest.mark.parametrize(
    "path",
    ["%00", "%ed%a0%80", "%ff", "..%2f..%2fetc", "' OR 1=1 --", "x" * 3000, "%F0%9F%98%80", "a%0d%0ab"],
)
async def test_an_id_that_no_server_gave(path: str) -> None:
    async with stage() as on:
        answer = await on.get(f"/status/{path}")
        assert answer.status == 404
        assert len(answer.body["message"]) < 200


async def test_bytes_that_are_not_http_do_no_harm() -> None:
    async with stage() as on:
        host, port = on.server.url.removeprefix("http://").split(":")
        for garbage in (
            b"\x16\x03\x01\x02\x00",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(garbage + b"\r\n\r\n")
            assert b" 500 " not in (await reader.read(200)).split(b"\r\n")[0]
            writer.close()
        assert (await on.get("/inputs")).status == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "\xe9", "tab\there"])
async def test_an_idempotency_key_that_cannot_be_kept(key: str) -> None:
    async with stage() as on:
        answer = await on.kickoff(headers={"Idempotency-Key": key})
        assert answer.status == 400
        assert "Idempotency-Key" in answer.body["message"]
        assert on.server.stats["kickoffs"] == 0

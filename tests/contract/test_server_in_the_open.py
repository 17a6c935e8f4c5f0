"""The server without a proxy in front: requests that are not HTTP, a key that is used twice, webhooks to the inside."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from crews_stage import crew_stage
from server_stage import KICKOFF, TOKEN, stage

from batchcrew.server import CrewServer, ServeOptions

MALFORMED = [
    f"GET /inputs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\nX: y\r\n\r\n",
    f"GET /inputs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer\r\n {TOKEN}\r\n\r\n",
    f"GET /inputs HTTP/1.1\r\nHost: a\r\nAuthorization Bearer {TOKEN}\r\n\r\n",
    f"GET /inputs HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\x00\r\nHost: a\r\n\r\n",
    f"Bearer {TOKEN}\r\n\r\n",
]


@asynccontextmanager
async def raw(server: CrewServer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = server.url.removeprefix("http://").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize("request_text", MALFORMED)
async def test_a_malformed_request_puts_no_header_into_the_log(
    request_text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with stage() as on:
        async with raw(on.server) as (reader, writer):
            writer.write(request_text.encode())
            writer.write_eof()
            answer = await reader.read()
        assert answer == b"" or answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400")), answer
        assert (await on.get("/inputs")).status == 200
    assert TOKEN not in caplog.text
    assert "Traceback" not in caplog.text
    assert all(record.exc_info is None for record in caplog.records)
    assert all("\n" not in record.getMessage() for record in caplog.records)


async def test_the_demo_refuses_a_key_that_had_other_inputs() -> None:
    async with stage() as on:
        key = {"headers": {"Idempotency-Key": "a"}}
        kickoff_id = await on.started(**key)
        assert await on.started({**KICKOFF, "meta": {"other": True}}, **key) == kickoff_id
        other = {"inputs": {**KICKOFF["inputs"], "budget": "another one"}}
        answer = await on.kickoff(other, **key)
        assert (answer.status, "Idempotency-Key" in str(answer.body)) == (409, True)
        assert (await on.get("/stats")).body["kickoffs"] == 1


async def test_a_served_crew_refuses_a_key_that_had_other_inputs(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    key = {"headers": {"Idempotency-Key": "a"}}
    async with crew_stage(tmp_path, state=state) as on:
        kickoff_id = await on.start("echo", topic="one", key="a")
        await on.ended(kickoff_id)
    async with crew_stage(tmp_path, state=state) as on:  # its inputs are deleted, and it is another server
        same = {"inputs": {"topic": "one", "do": "echo"}}
        assert (await on.kickoff(same, **key)).body == {"kickoff_id": kickoff_id}
        answer = await on.kickoff({"inputs": {"do": "echo", "topic": "two"}}, **key)
        assert (answer.status, "Idempotency-Key" in str(answer.body)) == (409, True)
        assert (await on.get("/stats")).body["kickoffs"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {"crewWebhookUrl": "http://169.254.169.254/latest"},
        {"taskWebhookUrl": "http://localhost:1/x"},
        {"stepWebhookUrl": "http://2130706433/x"},
        {"humanInputWebhook": {"url": "http://[::ffff:10.0.0.1]/x"}},
        {"webhooks": {"url": "http://127.1/x", "events": ["task_started"]}},
    ],
    ids=lambda body: next(iter(body)),
)
async def test_a_server_in_the_open_sends_no_webhook_to_the_inside(body: dict[str, object]) -> None:
    async with stage(host="0.0.0.0") as on:  # noqa: S104 - what is tested
        answer = await on.kickoff({**KICKOFF, **body})
        assert (answer.status, "is not allowed" in str(answer.body)) == (400, True), answer.body
        assert (await on.get("/stats")).body["kickoffs"] == 0
    async with stage(host="0.0.0.0", webhook_allow=("http://127.0.0.1:*/*",)) as on:  # noqa: S104
        assert (await on.kickoff({**KICKOFF, "crewWebhookUrl": "http://127.0.0.1:1/"})).status == 200


async def test_a_repeated_kickoff_is_answered_whatever_the_rules_are_now(tmp_path: Path) -> None:
    """The execution exists: an operator who allows fewer webhooks must not make its job fail."""
    state, key = tmp_path / "state.db", {"headers": {"Idempotency-Key": "a"}}
    body = {**KICKOFF, "crewWebhookUrl": "http://127.0.0.1:1/"}
    async with stage(state=state) as on:
        kickoff_id = await on.started(body, **key)
    async with stage(state=state, host="0.0.0.0") as on:  # noqa: S104
        assert await on.started(body, **key) == kickoff_id


async def test_the_server_inside_a_run_sends_webhooks_anywhere() -> None:
    async with stage(host="0.0.0.0", private=True) as on:  # noqa: S104
        assert (await on.kickoff({**KICKOFF, "crewWebhookUrl": "http://10.0.0.1:1/"})).status == 200
    assert ServeOptions().private is False

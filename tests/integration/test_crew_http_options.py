"""How a crew at a URL is called: headers, the token's header, bodies, cookies, and servers that answer with results."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest
from crew_wire import TOKEN, Close, Request, WireServer, accepts, attempt, crew, http, says

from batchcrew.base.errors import UsageError
from batchcrew.config.crews import AuthSettings, RemoteCrew
from batchcrew.crew import CrewClient
from batchcrew.crew.client import MAX_KEPT
from batchcrew.model.crew_answers import Accepted, BadInputs, Doubtful, Finished, NotStarted, Unclear
from batchcrew.model.execution import Execution, ExecutionState

SECRET = "tenant/of-acme=="
RUNNING = http(200, b'{"status": "running"}')
ORIGIN = {"batch": "travel", "job": "tokyo", "attempt": "0e984725-c51c-4bf4-9960-e1c80e27aba0"}


async def each_request(client: CrewClient) -> list[Any]:
    """Send one request of each kind."""
    calls: list[Awaitable[Any]] = [client.inputs(), client.kickoff(attempt()), client.status("k-1")]
    return [await call for call in calls]


# Headers


async def test_headers_are_sent_with_every_request() -> None:
    async with (
        WireServer(accepts()) as server,
        crew(server.url, headers={"X-Tenant": SECRET, "Accept": "a/b"}) as client,
    ):
        await each_request(client)
    assert [request.headers["x-tenant"] for request in server.requests] == [SECRET] * 3
    assert [request.headers["accept"] for request in server.requests] == ["a/b"] * 3
    assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {TOKEN}"] * 3


async def test_headers_follow_a_redirect_on_this_server_and_no_other() -> None:
    async def moved(request: Request, writer: asyncio.StreamWriter) -> None:
        target = "/v2" + request.target
        writer.write(RUNNING if request.target.startswith("/v2") else http(307, b"", f"Location: {target}"))

    async with WireServer(moved) as server, crew(server.url, headers={"X-Tenant": SECRET}) as client:
        await client.status("k-1")
    assert [request.headers["x-tenant"] for request in server.requests] == [SECRET] * 2

    async with WireServer(accepts()) as other:
        away = says(http(307, b"", f"Location: {other.url.replace('127.0.0.1', 'localhost')}/kickoff"))
        async with WireServer(away) as server, crew(server.url, headers={"X-Tenant": SECRET}) as client:
            await each_request(client)
    assert other.requests == []


@pytest.mark.parametrize("code", [200, 400, 401, 404, 429, 500])
@pytest.mark.parametrize("sync", [False, True])
async def test_a_server_that_echoes_a_header_brings_it_nowhere(code: int, sync: bool) -> None:
    headers = {"X-Tenant": SECRET, "X-Auth": "Basic dXNlcjpwYXNz"}
    for body in (
        json.dumps({"status": SECRET, "error": f"bad {SECRET}", "inputs": [f"\n{SECRET}"]}).encode(),
        json.dumps({"status": "error", "error": "bad dXNlcjpwYXNz"}).encode(),
        json.dumps({"error": {"headers": headers}}).replace("/", "\\/").encode(),
        json.dumps({"status": "completed", "result": {"headers": headers}}).encode(),
        f"<html><title>{SECRET}</title>".encode(),
        f"{SECRET} Basic dXNlcjpwYXNz".encode(),
        b'{"never": "understood", "because": "' + SECRET.encode() + b'"}',
    ):
        said: list[str] = []
        async with (
            WireServer(says(http(code, body))) as server,
            crew(server.url, warn=said.append, headers=headers, sync=sync) as client,
        ):
            said += map(repr, await each_request(client))
        everything = "\n".join(said)
        assert SECRET not in everything.replace("\\", "")
        assert "dXNlcjpwYXNz" not in everything


@pytest.mark.parametrize("before", range(160, 220, 3))
async def test_no_part_of_a_secret_is_left_where_a_message_is_cut(before: int) -> None:
    body = json.dumps({"what": "x" * before + TOKEN + SECRET})
    async with (
        WireServer(says(http(200, body.encode()))) as server,
        crew(server.url, headers={"X-Tenant": SECRET}) as client,
    ):
        said = repr(await each_request(client))
    assert "hunter" not in said
    assert "tenant" not in said


async def test_the_values_of_accept_and_user_agent_are_not_secret() -> None:
    body = b'{"status": "completed", "result": "send application/json, or batchcrew-test"}'
    async with WireServer(says(http(200, body))) as server:
        headers = {"Accept": "application/json", "User-Agent": "batchcrew-test"}
        async with crew(server.url, headers=headers) as client:
            answer = await client.status("k-1")
    assert isinstance(answer, Execution)
    assert answer.output == "send application/json, or batchcrew-test"


async def test_an_id_with_a_secret_of_a_header_is_refused_and_one_with_a_tenants_name_is_not() -> None:
    async with WireServer(accepts("acme-corp-1")) as server:
        async with crew(server.url, headers={"X-Tenant": "acme-corp"}) as client:
            assert await client.kickoff(attempt()) == Accepted("acme-corp-1")
        async with crew(server.url, headers={"API-Key": "acme-corp"}) as client:
            assert isinstance(await client.kickoff(attempt()), Doubtful)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "other.example"),
        ("content-length", "3"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Proxy-Authorization", SECRET),
        ("Idempotency-Key", "1"),
        ("X Tenant", SECRET),
        ("X-Tenant", f"{SECRET}\r\nX-Evil: 1"),
        ("X-Tenant", "ü-tenant/of-acme=="),
        ("X-Tenant", " "),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_without_showing_it(name: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        crew("http://host", headers={name: value})
    assert SECRET not in str(caught.value)
    assert repr(name) in str(caught.value)


async def test_headers_over_plain_http_to_another_machine_are_warned_about() -> None:
    warnings: list[str] = []
    async with crew("http://crew.example.test", token=None, headers={"X-Tenant": SECRET}, warn=warnings.append):
        pass
    assert warnings == ["crew research: the headers are sent to crew.example.test unencrypted; use https:// in `url:`"]


# The token


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"header": "API-Key", "scheme": ""}, "api-key", TOKEN),
        ({"header": "API-Key"}, "api-key", f"Bearer {TOKEN}"),
        ({"scheme": "Token"}, "authorization", f"Token {TOKEN}"),
    ],
)
async def test_the_token_is_sent_as_the_settings_say(auth: dict[str, str], header: str, value: str) -> None:
    async with WireServer(accepts()) as server, crew(server.url, auth=AuthSettings(**auth)) as client:
        await each_request(client)
    assert [request.headers[header] for request in server.requests] == [value] * 3
    assert all(header == "authorization" or "authorization" not in request.headers for request in server.requests)


# The body


async def test_a_flat_body_has_the_inputs_at_the_top() -> None:
    async with WireServer(accepts()) as server, crew(server.url, body="flat") as client:
        await client.kickoff(attempt())
    assert server.requests[0].json == {"budget": "1000 USD", "meta": {"source": "nightly", "batchcrew": ORIGIN}}


@pytest.mark.parametrize(
    ("settings", "body"),
    [({}, {"inputs": {"budget": "1000 USD"}}), ({"body": "flat"}, {"budget": "1000 USD"})],
)
async def test_meta_is_not_sent_to_a_server_that_refuses_it(settings: Any, body: Any) -> None:
    async with WireServer(accepts()) as server, crew(server.url, meta=False, **settings) as client:
        assert await client.kickoff(attempt()) == Accepted("k-1")
    assert server.requests[0].json == body
    assert server.requests[0].headers["idempotency-key"] == ORIGIN["attempt"]


async def test_an_input_with_a_reserved_name_is_never_sent_in_a_flat_body() -> None:
    async with WireServer(accepts()) as server:
        for name, meta in (("meta", True), ("inputs", False), ("crewWebhookUrl", True)):
            async with crew(server.url, body="flat", meta=meta) as client:
                answer = await client.kickoff(attempt(inputs={name: "x"}))
                assert isinstance(answer, BadInputs)
                assert repr(name) in answer.reason
        assert server.requests == []
        async with crew(server.url, body="flat", meta=False) as client:
            assert await client.kickoff(attempt(inputs={"meta": "x"})) == Accepted("k-1")


# Cookies


async def test_cookies_are_returned_only_where_the_crew_wants_them() -> None:
    async def sticky(request: Request, writer: asyncio.StreamWriter) -> None:
        del request
        writer.write(http(200, b'{"kickoff_id": "k-1"}', "Set-Cookie: node=7; Path=/"))

    for wanted, sent in ((True, [None, "node=7", "node=7"]), (False, [None] * 3)):
        async with WireServer(sticky) as server, crew(server.url, cookies=wanted) as client:
            await each_request(client)
        assert [request.headers.get("cookie") for request in server.requests] == sent


# Servers that answer with the result


async def test_a_synchronous_crew_may_take_as_long_as_an_execution() -> None:
    """The crew answers after `read_timeout`; the same answer of another crew comes too late."""
    silent = asyncio.Event()

    async def slow(request: Request, writer: asyncio.StreamWriter) -> None:
        del request
        await silent.wait()
        writer.write(http(200, b'{"result": "Tokyo"}'))

    for sync in (False, True):
        silent.clear()
        async with WireServer(slow) as server, crew(server.url, read_timeout=0.05, sync=sync) as client:
            kickoff = asyncio.create_task(client.kickoff(attempt(), within=200.0))
            if sync:  # the other crew is given up first
                asyncio.get_running_loop().call_later(0.3, silent.set)
            answer = await kickoff
        if sync:
            assert isinstance(answer, Finished)
            assert (answer.execution.output, answer.kickoff_id) == ("Tokyo", None)
        else:
            assert isinstance(answer, Doubtful)


async def test_a_synchronous_crew_that_takes_too_long_leaves_the_kickoff_in_doubt() -> None:
    async def never(request: Request, writer: asyncio.StreamWriter) -> None:
        del request, writer
        await asyncio.Event().wait()

    async with WireServer(never) as server, crew(server.url, sync=True) as client:
        answer = await client.kickoff(attempt(), within=0.05)
    assert isinstance(answer, Doubtful)
    assert "0.05s" in answer.reason


async def test_the_id_of_a_result_is_kept() -> None:
    body = b'{"kickoff_id": "k-9", "status": "completed", "result": "Tokyo"}'
    async with WireServer(says(http(200, body))) as server:
        async with crew(server.url, sync=True) as client:
            answer = await client.kickoff(attempt(), within=5.0)
        assert isinstance(answer, Finished)
        assert (answer.kickoff_id, answer.execution.output) == ("k-9", "Tokyo")
        async with crew(server.url) as client:  # not said to be synchronous: it is polled
            assert await client.kickoff(attempt()) == Accepted("k-9")


@pytest.mark.parametrize(
    ("body", "with_sync", "without"),
    [
        (b'{"error": "no tool"}', Finished, NotStarted),
        (b'{"error": "Task timed out after 30 seconds"}', Finished, Doubtful),
        (b'{"error": "no tool", "result": "half a plan"}', Finished, Doubtful),
        (b'{"status": "failed", "error": "no tool"}', Finished, Finished),
        (b'{"status": "running"}', Doubtful, Doubtful),
        (b"Tokyo in May", Finished, Doubtful),
        (b"<html><title>Sign in</title>", NotStarted, NotStarted),
    ],
)
async def test_an_error_is_the_executions_only_where_the_crew_is_synchronous(
    body: bytes, with_sync: type, without: type
) -> None:
    async with WireServer(says(http(200, body))) as server:
        for sync, expected in ((True, with_sync), (False, without)):
            async with crew(server.url, sync=sync) as client:
                answer = await client.kickoff(attempt(), within=5.0)
            assert isinstance(answer, expected)
            if isinstance(answer, Finished) and b"error" in body:
                assert answer.execution.state is ExecutionState.FAILED


# Answers that are not understood


async def test_an_answer_that_is_not_understood_is_kept_up_to_a_limit() -> None:
    body = json.dumps({"what": "is this", "and": TOKEN, "more": "x" * 2 * MAX_KEPT})
    async with WireServer(says(http(200, body.encode()))) as server, crew(server.url) as client:
        kickoff, poll = await client.kickoff(attempt()), await client.status("k-1")
    assert isinstance(kickoff, Doubtful)
    assert isinstance(poll, Unclear)
    for answer in (kickoff, poll):
        assert answer.body == body.replace(TOKEN, "[token]")[:MAX_KEPT]


async def test_a_lost_answer_leaves_nothing_to_keep() -> None:
    async def lost(request: Request, writer: asyncio.StreamWriter) -> None:
        del request, writer
        raise Close

    async with WireServer(lost) as server, crew(server.url) as client:
        kickoff, poll = await client.kickoff(attempt()), await client.status("k-1")
    assert isinstance(kickoff, Doubtful)
    assert isinstance(poll, Unclear)
    assert (kickoff.body, poll.body) == ("", "")


async def test_a_former_address_is_called_in_the_same_way() -> None:
    crew_now = RemoteCrew(url="https://new.example", headers={"X-Tenant": "acme"}, body="flat", cookies=True)  # type: ignore[dict-item]  # pydantic makes it a secret
    former = RemoteCrew.at("https://old.example", crew_now)
    assert former == crew_now.model_copy(update={"url": "https://old.example"})


async def test_a_result_of_a_poll_has_no_secret_of_a_header() -> None:
    body = json.dumps({"status": "completed", "result": f"for {SECRET}"}).encode()
    async with WireServer(says(http(200, body))) as server, crew(server.url, headers={"X-T": SECRET}) as client:
        answer = await client.status("k-1")
    assert isinstance(answer, Execution)
    assert (answer.output, SECRET in answer.answer) == ("for [secret]", False)

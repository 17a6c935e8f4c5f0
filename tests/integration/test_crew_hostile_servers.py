"""Servers that break off, lie, drip and redirect: a value each time, and never a second kickoff."""

import asyncio
import gzip
import json
import socket
import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from crew_wire import TOKEN, Close, Request, Script, WireServer, accepts, attempt, crew, http, says

from batchcrew.model.crew_answers import Accepted, BadInputs, Busy, Doubtful, NotSent, Unclear, Unusable
from batchcrew.model.execution import Execution

MANY = 8 * 2**20


def then_close(data: bytes = b"", *, reset: bool = False) -> Script:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        raise Close

    return script


async def silent(request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def dripping(start: bytes, drop: bytes, before_each: Callable[[], None] = lambda: None) -> Script:
    """Send `start`, then `drop` repeatedly: never silent, never complete."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            before_each()
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0)

    return script


BROKEN: dict[str, Script] = {
    "closed": then_close(),
    "reset": then_close(reset=True),
    "half a status line": then_close(b"HTTP/1.1 20"),
    "half a head": then_close(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "half a body": then_close(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"kickoff_id"'),
    "half a chunk": then_close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc"),
    "reset in the body": then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", reset=True),
    "no HTTP": then_close(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "binary": then_close(bytes(range(256)) * 4),
    "a bad length": then_close(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    "two lengths": then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
    "bad chunks": then_close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "an endless header": then_close(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
    "bad gzip": then_close(http(200, b"no gzip at all", "Content-Encoding: gzip")),
    "half of gzip": then_close(http(200, gzip.compress(b'{"status": "running"}')[:-12], "Content-Encoding: gzip")),
    "an unknown coding": then_close(http(200, b"\x00\x01", "Content-Encoding: rot13")),
    "an upgrade": then_close(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxx"),
    "an empty answer": then_close(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "a reset content": then_close(http(205)),
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_doubtful_and_the_kickoff_went_out_once(script: Script) -> None:
    async with WireServer(script) as server, crew(server.url) as client:
        answer = await client.kickoff(attempt())
    assert isinstance(answer, Doubtful), answer
    assert server.heard == ["POST /kickoff"]
    assert answer.reason.isprintable()


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
async def test_a_broken_status_answer_is_unclear(script: Script) -> None:
    async with WireServer(script) as server, crew(server.url) as client:
        assert isinstance(await client.status("k"), Unclear)
        assert isinstance(await client.inputs(), Unclear)


async def test_a_refused_connection_is_not_sent() -> None:
    async with WireServer(silent) as server:
        url = server.url
    async with crew(url) as client:
        answer = await client.kickoff(attempt())
        assert isinstance(answer, NotSent)
        assert answer.reason.startswith(f"no connection to {url.removeprefix('http://')} (")
        assert isinstance(await client.status("k"), Unclear)


async def test_an_unknown_host_is_not_sent() -> None:
    async with crew("http://no-such-crew.invalid", warn=lambda _: None) as client:
        answer = await client.kickoff(attempt())
    assert isinstance(answer, NotSent)
    assert answer.reason.startswith("the host no-such-crew.invalid cannot be found")


async def test_a_plain_server_on_an_https_url_is_not_sent() -> None:

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(400, b"this is http"))
        writer.close()

    listener = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, crew(f"https://127.0.0.1:{port}") as client:
        answer = await client.kickoff(attempt())
    assert isinstance(answer, NotSent)
    assert answer.reason.startswith(f"no TLS with 127.0.0.1:{port}")


async def test_connect_timeout_is_not_sent() -> None:
    """A server that takes the connection and never shakes hands."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    listener = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, crew(f"https://127.0.0.1:{port}", connect_timeout=0.05) as client:
        answer = await client.kickoff(attempt())
    assert answer == NotSent(f"no connection to 127.0.0.1:{port} within 0.05s")


async def test_read_timeout_is_doubtful() -> None:
    async with WireServer(silent) as server, crew(server.url, read_timeout=0.05) as client:
        answer = await client.kickoff(attempt())
        assert isinstance(answer, Doubtful)
        assert "silent for 0.05s" in answer.reason
        assert isinstance(await client.status("k"), Unclear)
    assert server.heard == ["POST /kickoff", "GET /status/k"]


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    ],
    ids=["body", "head"],
)
async def test_an_answer_that_drips_in_does_not_hold_its_slot_forever(
    start: bytes, drop: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drop comes each second of the loop's time, far below the `read_timeout`."""
    loop, skipped = asyncio.get_running_loop(), 0.0
    real_time = loop.time
    monkeypatch.setattr(loop, "time", lambda: real_time() + skipped)

    def skip() -> None:
        nonlocal skipped
        skipped += 1.0

    limits: dict[str, Any] = {"connect_timeout": 30, "read_timeout": 30}
    async with WireServer(dripping(start, drop, skip)) as server, crew(server.url, **limits) as client:
        assert isinstance(await client.kickoff(attempt()), Doubtful)
        assert isinstance(await client.status("k"), Unclear)


async def test_waiting_for_a_free_connection_is_not_a_connect_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """More calls than connections: they wait for their turn, longer than a connection may take."""
    taken, answer = asyncio.Event(), asyncio.Event()

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if server.most_open == 2:
            taken.set()
        await answer.wait()
        writer.write(http(200, b'{"kickoff_id": "k-1"}'))

    loop, skipped = asyncio.get_running_loop(), 0.0
    real_time = loop.time
    monkeypatch.setattr(loop, "time", lambda: real_time() + skipped)
    limits: dict[str, Any] = {"concurrency": 2, "connect_timeout": 30, "read_timeout": 600}
    async with WireServer(script) as server, crew(server.url, **limits) as client:
        calls = [asyncio.ensure_future(client.kickoff(attempt())) for _ in range(6)]
        await taken.wait()
        skipped = 60.0  # longer than a connection may take
        for _ in range(10):
            await asyncio.sleep(0)
        answer.set()
        answers = await asyncio.gather(*calls)
    assert answers == [Accepted("k-1")] * 6
    assert server.most_open == 2


async def test_connections_are_reused() -> None:
    async with WireServer(accepts()) as server, crew(server.url) as client:
        for _ in range(5):
            await client.kickoff(attempt())
            await client.status("k")
            await client.status("k")
    assert server.connections == 2  # one for kickoffs, one for questions


async def test_cancellation_passes() -> None:
    arrived = asyncio.Event()

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async with WireServer(script) as server, crew(server.url) as client:
        task = asyncio.create_task(client.kickoff(attempt()))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# The keep-alive race


async def test_a_kickoff_on_a_connection_that_the_server_closes_is_not_repeated() -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 1:
            writer.write(http(200, b'{"kickoff_id": "k-1"}'))
            return
        raise Close

    async with WireServer(script) as server, crew(server.url) as client:
        assert await client.kickoff(attempt("first")) == Accepted("k-1")
        assert isinstance(await client.kickoff(attempt("second")), Doubtful)
    assert [(request.headers["idempotency-key"], request.connection) for request in server.requests] == [
        ("first", 1),
        ("second", 1),
    ]


async def test_a_question_on_such_a_connection_is_repeated_once() -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 2:
            raise Close
        writer.write(http(200, b'{"status": "running"}'))

    async with WireServer(script) as server, crew(server.url) as client:
        for _ in range(2):
            assert isinstance(await client.status("k"), Execution)
    assert [request.connection for request in server.requests] == [1, 1, 2]


async def test_a_kickoff_does_not_go_over_a_connection_that_idled(monkeypatch: pytest.MonkeyPatch) -> None:
    skipped = 0.0
    monkeypatch.setattr("aiohttp.connector.monotonic", lambda: time.monotonic() + skipped)

    async def both(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, b'{"kickoff_id": "k-1", "status": "running"}'))

    async with WireServer(both) as server, crew(server.url) as client:
        await client.kickoff(attempt())
        await client.status("k")
        skipped = 1.5
        await client.kickoff(attempt())
        await client.status("k")
    assert [(request.method, request.connection) for request in server.requests] == [
        ("POST", 1),
        ("GET", 2),
        ("POST", 3),
        ("GET", 2),
    ]


# Sizes


def sized(size: int) -> bytes:
    return json.dumps({"kickoff_id": "k-1", "status": "completed", "result": ""}).encode().ljust(size)


@pytest.mark.parametrize("how", ["length", "chunked", "until close", "gzip"])
async def test_max_answer(how: str) -> None:
    def answer(body: bytes) -> bytes:
        if how == "length":
            return http(200, body)
        if how == "gzip":
            return http(200, gzip.compress(body), "Content-Encoding: gzip")
        if how == "chunked":
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body

    close = how == "until close"
    for size, fits in ((2000, True), (2001, False)):
        script = then_close(answer(sized(size))) if close else says(answer(sized(size)))
        async with WireServer(script) as server, crew(server.url, max_answer=2000) as client:
            kicked, asked = await client.kickoff(attempt()), await client.status("k")
        if fits:
            assert kicked == Accepted("k-1")
            assert isinstance(asked, Execution)
        else:
            reason = "the answer is larger than max_answer (2,000 bytes)"
            assert (kicked, asked) == (Doubtful(reason), Unclear(reason))


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    script = dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
    async with WireServer(script) as server, crew(server.url, max_answer=MANY) as client:
        assert isinstance(await client.kickoff(attempt()), Doubtful)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_bomb_is_not_unpacked(coding: str, pack: Callable[[bytes], bytes]) -> None:
    bomb = http(200, pack(bytes(MANY)), f"Content-Encoding: {coding}")
    async with WireServer(says(bomb)) as server, crew(server.url, max_answer=100_000) as client:
        answer = await client.status("k")
        assert isinstance(answer, Unclear)
        assert "max_answer" in answer.reason


async def test_a_large_refusal_is_still_a_refusal() -> None:
    body = b'{"error": "' + b"x" * 1_000_000 + b'"}'
    async with WireServer(says(http(422, body))) as server, crew(server.url, max_answer=1000) as client:
        assert isinstance(await client.kickoff(attempt()), BadInputs)


@pytest.mark.parametrize(("code", "kind"), [(401, Unusable), (422, BadInputs), (429, Busy), (500, Doubtful)])
async def test_a_refusal_that_breaks_off_is_still_a_refusal(code: int, kind: type) -> None:
    head = b"HTTP/1.1 %d X\r\nContent-Length: 100\r\n\r\nsome words" % code
    async with WireServer(then_close(head)) as server, crew(server.url) as client:
        assert type(await client.kickoff(attempt())) is kind


# Redirects


def moved(code: int, location: str) -> bytes:
    return http(code, b"moved", f"Location: {location}")


@pytest.mark.parametrize("code", [301, 302, 307, 308])
async def test_a_kickoff_follows_a_slash_with_its_body(code: int) -> None:
    script = says(moved(code, "/kickoff/"), http(200, b'{"kickoff_id": "k-1"}'))
    async with WireServer(script) as server, crew(server.url) as client:
        assert await client.kickoff(attempt("first")) == Accepted("k-1")
        assert await client.kickoff(attempt("second")) == Accepted("k-1")
    # A permanent redirect is remembered.
    second = "POST /kickoff/" if code in {301, 308} else "POST /kickoff"
    assert server.heard == ["POST /kickoff", "POST /kickoff/", second]
    assert server.requests[0].body == server.requests[1].body
    assert server.requests[1].headers["authorization"] == f"Bearer {TOKEN}"
    assert server.requests[1].headers["idempotency-key"] == "first"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_question_follows_redirects(code: int) -> None:
    script = says(moved(code, "/status/k/"), http(200, b'{"status": "running"}'))
    async with WireServer(script) as server, crew(server.url) as client:
        assert isinstance(await client.status("k"), Execution)
    assert server.heard == ["GET /status/k", "GET /status/k/"]


async def test_see_other_after_a_kickoff_is_doubtful() -> None:
    async with WireServer(says(moved(303, "/kickoff/"))) as server, crew(server.url) as client:
        assert isinstance(await client.kickoff(attempt()), Doubtful)
    assert server.heard == ["POST /kickoff"]


@pytest.mark.parametrize("code", [301, 302, 307, 308])
async def test_another_host_never_hears_of_us(code: int) -> None:
    async with WireServer(accepts()) as other:
        for there in (f"http://localhost:{other.port}/kickoff", f"//127.0.0.1:{other.port}/kickoff"):
            async with WireServer(says(moved(code, there))) as server, crew(server.url) as client:
                kicked = await client.kickoff(attempt())
                assert isinstance(kicked, Unusable)
                assert f":{other.port}, which was refused" in kicked.reason
                assert "url:" in kicked.reason
                assert isinstance(await client.status("kickoff"), Unusable)
                assert isinstance(await client.inputs(), Unusable)
    assert other.connections == 0


async def test_a_login_page_is_not_a_crew() -> None:
    async with WireServer(says(moved(302, "/login"))) as server, crew(server.url) as client:
        assert isinstance(await client.kickoff(attempt()), Unusable)
    assert server.heard == ["POST /kickoff"]


async def test_redirects_in_a_circle_end() -> None:
    async with WireServer(says(moved(307, "/kickoff"))) as server, crew(server.url) as client:
        answer = await client.kickoff(attempt())
    assert isinstance(answer, Unusable)
    assert "more than 3 times" in answer.reason
    assert len(server.requests) == 4


async def test_cookies_are_not_kept() -> None:
    script = says(http(200, b'{"kickoff_id": "k-1"}', "Set-Cookie: session=1; Path=/"))
    async with WireServer(script) as server, crew(server.url) as client:
        await client.kickoff(attempt())
        await client.kickoff(attempt())
    assert all("cookie" not in request.headers for request in server.requests)


async def test_two_hundred_answers_at_random_never_raise() -> None:
    """Pieces of a good answer, cut and glued by a fixed pattern."""
    good = http(200, b'{"kickoff_id": "k-1", "status": "running"}', "Content-Encoding: identity")
    answers: list[Any] = []
    for number in range(100):
        cut, skip = (number * 7) % len(good), (number * 13) % 11
        broken = good[:cut] + good[cut + skip :] + (b"\x00" if number % 3 else b"")
        async with WireServer(then_close(broken)) as server, crew(server.url) as client:
            answers.append(await client.kickoff(attempt()))
            answers.append(await client.status("k"))
        assert sum(request.method == "POST" for request in server.requests) == 1
    kinds = (Accepted, Busy, BadInputs, Unusable, Doubtful, Execution, Unclear)
    assert all(isinstance(answer, kinds) for answer in answers)

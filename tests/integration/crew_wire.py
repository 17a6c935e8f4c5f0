"""A scripted server on a raw socket, for what no HTTP library would send: resets, halves, drips, lies."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from batchcrew.base.clock import SystemClock
from batchcrew.config.crews import RemoteCrew
from batchcrew.crew import CrewClient
from batchcrew.model.attempt import Attempt

CERTIFICATE = Path(__file__).with_name("crew_localhost.pem")
TOKEN = "hunter2-token"  # the tests look for it where it must not be


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Which of the server's connections it came over, from 1."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Script = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]
"""Answers one request by writing to the socket; raise `Close` to end the connection."""


class Close(Exception):
    """End this connection."""


def http(code: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {code} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def says(*answers: bytes) -> Script:
    """Write these answers in turn; the last one is repeated."""
    waiting: Iterator[bytes] = iter(answers)
    last = answers[-1]

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(next(waiting, last))
        await writer.drain()

    return script


def accepts(kickoff_id: str = "k-1") -> Script:
    return says(http(200, json.dumps({"kickoff_id": kickoff_id}).encode()))


class WireServer:
    def __init__(self, script: Script, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.host = host
        self.requests: list[Request] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self._tls = tls
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0, ssl=self._tls, limit=2**22)
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def heard(self) -> list[str]:
        return [f"{request.method} {request.target}" for request in self.requests]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        number = self.connections
        try:
            while True:
                request = await _read(reader, number)
                self.requests.append(request)
                await self.script(request, writer)
        except (Close, asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()  # the test is over; do not wait for a peer
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()


async def _read(reader: asyncio.StreamReader, connection: int) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    headers = dict(line.lower().split(": ", 1)[0:1] + line.split(": ", 1)[1:] for line in lines if line)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body, connection)


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def unexpected(warning: str) -> None:
    raise AssertionError(f"unexpected warning: {warning}")


def crew(
    url: str,
    *,
    override: bool = False,
    concurrency: int = 4,
    warn: Callable[[str], None] = unexpected,
    **settings: Any,
) -> CrewClient:
    """A client of the crew at `url`; `override` gives the URL as the runner does for an embedded crew."""
    settings.setdefault("token", TOKEN)
    return CrewClient(
        "research",
        RemoteCrew(url="embedded" if override else url, **settings),
        url=url if override else None,
        concurrency=concurrency,
        clock=SystemClock(),
        warn=warn,
    )


def attempt(attempt_id: str = "0e984725-c51c-4bf4-9960-e1c80e27aba0", **changes: Any) -> Attempt:
    values: dict[str, Any] = {
        "batch": "travel",
        "job_key": 1,
        "job_id": "tokyo",
        "crew": "research",
        "number": 1,
        "attempts_used": 1,
        "inputs": {"budget": "1000 USD"},
        "meta": {"source": "nightly"},
        "intended_at": "2025-06-01T12:00:00.000Z",
    }
    return Attempt(attempt_id=attempt_id, **{**values, **changes})

"""The embedded server on a real socket, with a clock that the test owns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web
from manual_clock import ManualClock

from batchcrew.server import CrewServer, Faults, ServeOptions, Spread

TOKEN = "a-token-for-tests"
INPUTS = {"budget": "1000 USD", "interests": "games, tech", "duration": "2 days", "age": "35"}
KICKOFF = {"inputs": INPUTS}
START = 1_800_000_000.0
"""15 January 2027, seconds since the epoch."""
EXECUTION = Spread(10.0)

RESEARCH = (
    "Research findings for a traveller of 35 who likes games, tech:\n"
    "1. Tokyo: arcades, electronics quarters and tiny kitchens.\n"
    "2. Taipei: night markets, hot springs and makers' fairs.\n"
    "3. Berlin: museums by day, music by night.\n"
    "Tokyo fits best for 2 days on 1000 USD."
)
PLAN = (
    "2 days in Tokyo on 1000 USD (about 500 a day)\n"
    "Day 1: the market hall before the crowds; an afternoon of games; a cooking class.\n"
    "Day 2: a museum that opens early; an afternoon of tech; an early night.\n"
    "(batchcrew's demo crew wrote this from your inputs; no language model was used.)"
)


def manual_clock() -> ManualClock:
    """The tests' clock, at START."""
    return ManualClock(datetime.fromtimestamp(START, UTC))


@dataclass
class Answer:
    status: int
    body: Any
    """Parsed if it is JSON, else text."""
    headers: Any


@dataclass
class Stage:
    server: CrewServer
    session: aiohttp.ClientSession
    clock: ManualClock

    async def call(self, method: str, path: str, **how: Any) -> Answer:
        how.setdefault("headers", {})
        how["headers"] = {"Authorization": f"Bearer {TOKEN}", **how["headers"]}
        how["headers"] = {name: value for name, value in how["headers"].items() if value is not None}
        async with self.session.request(method, self.server.url + path, **how) as answer:
            is_json = answer.content_type == "application/json"
            return Answer(answer.status, await answer.json() if is_json else await answer.text(), answer.headers)

    async def get(self, path: str, **how: Any) -> Answer:
        return await self.call("GET", path, **how)

    async def kickoff(self, body: Any = None, **how: Any) -> Answer:
        return await self.call("POST", "/kickoff", json=KICKOFF if body is None else body, **how)

    async def started(self, body: Any = None, **how: Any) -> str:
        answer = await self.kickoff(body, **how)
        assert answer.status == 200, answer
        return str(answer.body["kickoff_id"])


@asynccontextmanager
async def stage(
    *, clock: ManualClock | None = None, faults: Faults | None = None, **options: Any
) -> AsyncIterator[Stage]:
    clock = clock or manual_clock()
    settings = {"token": TOKEN, "execution_time": EXECUTION, **options}
    async with (
        CrewServer(ServeOptions(**settings), now=clock.epoch, sleep=clock.sleep, faults=faults) as server,
        aiohttp.ClientSession() as session,
    ):
        session._retry_connection = False  # aiohttp repeats a GET after a dropped connection; tests must see the drop
        yield Stage(server, session, clock)


class Receiver:
    """Takes webhooks. `answers` are the HTTP statuses of the first ones; then it is 200."""

    def __init__(self, answers: tuple[int, ...] = ()) -> None:
        self._answers = list(answers)
        self.heard: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        """Path and body, in the order in which they came."""
        self.signed: list[tuple[str, str, bytes]] = []
        """X-Timestamp, X-Signature and body of the webhooks that have them."""
        self.authorized: list[str] = []
        """The Authorization headers that came."""
        self.url = ""
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)

    async def _take(self, request: web.Request) -> web.Response:
        if "Authorization" in request.headers:
            self.authorized.append(request.headers["Authorization"])
        if "X-Signature" in request.headers:
            self.signed.append((request.headers["X-Timestamp"], request.headers["X-Signature"], await request.read()))
        self.heard.put_nowait((request.path, await request.json()))
        status = self._answers.pop(0) if self._answers else 200
        headers = {"Location": "/elsewhere"} if status == 307 else None
        return web.Response(status=status, headers=headers)

    async def __aenter__(self) -> "Receiver":
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

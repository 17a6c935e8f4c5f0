"""Connections that a server closes while they are idle: a kickoff does not meet one, a GET is sent again."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from crew_wire import Close, Request, Script, WireServer, attempt, crew, http

from batchcrew.model.crew_answers import Accepted, CrewInputs, Doubtful
from batchcrew.model.execution import Execution

KICKOFF = http(200, b'{"kickoff_id": "k"}')
INPUTS = http(200, b'{"inputs": []}')
STATUS = http(200, b'{"status": "running"}')


def closes_what_was_used(answer: bytes, together: int = 1) -> Script:
    """Answer the first request of each connection and close the connection at the second one, as a server does whose
    idle timeout expires at that moment. The first `together` requests are answered together."""
    served: dict[int, int] = {}
    all_here = asyncio.Event()

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        served[request.connection] = served.get(request.connection, 0) + 1
        if served[request.connection] > 1:
            raise Close
        if len(served) >= together:
            all_here.set()
        await all_here.wait()
        writer.write(answer)
        await writer.drain()

    return script


async def test_a_get_that_dies_on_a_connection_used_before_is_sent_again_on_a_new_one() -> None:
    """aiohttp also sends a GET again, but on the next idle connection, which is as old as the first."""
    async with WireServer(closes_what_was_used(STATUS, together=4)) as server, crew(server.url) as client:
        first = await asyncio.gather(*(client.status("k") for _ in range(4)))
        assert server.connections == 4
        second = await client.status("k")
    assert all(isinstance(answer, Execution) for answer in [*first, second])


@pytest.mark.parametrize("ask", [lambda client: client.inputs(), lambda client: client.status("k")])
async def test_a_get_is_not_sent_again_where_the_server_closes_a_new_connection(
    ask: Callable[[object], Awaitable[object]],
) -> None:
    async def closes(request: Request, writer: asyncio.StreamWriter) -> None:
        raise Close

    async with WireServer(closes) as server, crew(server.url) as client:
        await ask(client)
    assert len(server.requests) <= 2  # aiohttp's own second one


async def test_a_kickoff_is_never_sent_again() -> None:
    async with WireServer(closes_what_was_used(KICKOFF)) as server, crew(server.url, keepalive=60) as client:
        assert isinstance(await client.kickoff(attempt("1")), Accepted)
        assert isinstance(await client.kickoff(attempt("2")), Doubtful)
    assert server.heard == ["POST /kickoff"] * 2


async def test_keepalive_0_uses_no_connection_for_two_kickoffs() -> None:
    async with WireServer(closes_what_was_used(KICKOFF)) as server, crew(server.url, keepalive=0) as client:
        for number in range(3):
            assert isinstance(await client.kickoff(attempt(str(number))), Accepted)
    assert server.connections == 3


async def test_a_kickoff_reuses_a_connection_that_was_idle_for_less_than_keepalive() -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(KICKOFF)
        await writer.drain()

    async with WireServer(script) as server, crew(server.url, keepalive=600) as client:
        for number in range(3):
            assert isinstance(await client.kickoff(attempt(str(number))), Accepted)
    assert server.connections == 1


async def test_a_kickoff_does_not_reuse_a_connection_that_was_idle_for_longer() -> None:
    """At a keepalive that is shorter than anything, every kickoff finds its connection too old."""
    async with WireServer(closes_what_was_used(KICKOFF)) as server, crew(server.url, keepalive="1ms") as client:
        for number in range(3):
            assert isinstance(await client.kickoff(attempt(str(number))), Accepted)
            await asyncio.sleep(0.01)  # no upper bound: the longer it takes, the older the connection
    assert server.connections == 3


async def test_the_inputs_request_is_repeated_on_a_new_connection() -> None:
    async with WireServer(closes_what_was_used(INPUTS)) as server, crew(server.url) as client:
        assert isinstance(await client.inputs(), CrewInputs)
        assert isinstance(await client.inputs(), CrewInputs)
    assert server.connections == 2

"""Connections without the token are bounded, in number and in time; the log is, too."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from batchcrew.server.api.connections import Connection, Connections
from batchcrew.server.api.log import LimitedLines


class Timers:
    """Calls nothing until the test says that a time is over."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None], asyncio.TimerHandle]] = []

    def __call__(self, delay: float, callback: Callable[[], None], /) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(0.0, callback, (), asyncio.get_running_loop())
        self.waiting.append((delay, callback, handle))
        return handle

    def over(self) -> None:
        """Let every time that is not cancelled be over."""
        for _, callback, handle in self.waiting:
            if not handle.cancelled():
                callback()
        self.waiting.clear()


class Transport(asyncio.Transport):
    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 1)})
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


class Stage:
    def __init__(self, strangers: int = 4) -> None:
        self.timers = Timers()
        self.connections = Connections(asyncio.Protocol, call_later=self.timers, strangers=strangers)

    def connect(self, address: str = "10.0.0.1") -> tuple[Connection, Transport]:
        connection, transport = self.connections(), Transport(address)
        connection.connection_made(transport)
        return connection, transport


async def test_a_header_that_never_ends_is_cut_off() -> None:
    on = Stage()
    (late, its), (answered, other) = on.connect(), on.connect()
    late.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n")
    answered.data_received(b"GET / HTTP/1.1\r\n\r\n")
    answered.request_began()
    on.timers.over()
    assert (its.aborted, other.aborted) == (True, False)
    answered.request_ended()
    on.timers.over()
    assert not other.aborted  # it waits for the next request, which has not begun
    answered.data_received(b"GET")
    on.timers.over()
    assert other.aborted


async def test_the_oldest_stranger_makes_place() -> None:
    on = Stage(strangers=4)
    trusted, its = on.connect("10.0.0.9")
    trusted.has_token()
    strangers = [on.connect(f"10.0.0.{number}")[1] for number in range(5)]
    assert [one.aborted for one in strangers] == [True, False, False, False, False]
    assert not its.aborted
    assert on.connections.closed == 1


async def test_one_address_has_a_share() -> None:
    on = Stage(strangers=4)
    other = on.connect("10.0.0.2")[1]
    same = [on.connect("10.0.0.1") for _ in range(4)]
    assert [one.aborted for _, one in same] == [True, False, False, False]
    assert not other.aborted
    for connection, _ in same:
        connection.connection_lost(None)
    assert not any(one.aborted for _, one in (on.connect("10.0.0.1") for _ in range(3)))


def test_a_log_that_is_flooded_stays_short() -> None:
    now = [0.0]
    limited = LimitedLines(lambda: now[0], lines=3)
    log = logging.getLogger("test_a_log_that_is_flooded")
    log.addFilter(limited)
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    log.addHandler(Handler())
    for number in range(1000):
        log.warning("request %d is wrong", number)
    log.warning("another kind")
    now[0] = 61.0
    log.warning("request %d is wrong", 1000)
    assert lines == [
        "request 0 is wrong",
        "request 1 is wrong",
        "request 2 is wrong",
        "another kind",
        "request 1000 is wrong (997 more lines like this were omitted)",
    ]


@pytest.mark.parametrize("lost", [None, OSError("reset")])
async def test_everything_is_passed_on(lost: Exception | None) -> None:
    calls: list[str] = []

    class Inner(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            calls.append(data.decode())

        def pause_writing(self) -> None:
            calls.append("pause")

        def resume_writing(self) -> None:
            calls.append("resume")

        def eof_received(self) -> bool:
            calls.append("eof")
            return True

        def connection_lost(self, exc: Exception | None) -> None:
            calls.append(repr(exc))

    connection = Connections(Inner, call_later=Timers())()
    connection.connection_made(Transport("::1"))
    connection.data_received(b"data")
    connection.pause_writing()
    connection.resume_writing()
    assert connection.eof_received()
    connection.connection_lost(lost)
    assert calls == ["data", "pause", "resume", "eof", repr(lost)]

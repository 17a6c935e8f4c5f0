"""Limit clients without a token: their connections, and the time in which a request must arrive."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, cast

HEADER_SECONDS = 10.0
"""How long the header of a request may take to arrive, from the connection or from the request's first byte."""
MOST_STRANGERS = 1000
"""Connections on which no request with the token has arrived; beyond it, the oldest of them is closed."""
ONE_ADDRESS = 0.75
"""Share of them that one address may have."""


class CallLater(Protocol):
    """Calls a function later, as `loop.call_later` does."""

    def __call__(self, delay: float, callback: Callable[[], None], /) -> asyncio.TimerHandle:
        """Call `callback` after `delay` seconds, unless the handle is cancelled."""
        ...


class Connections:
    """Makes the protocol of each new connection, and closes the oldest strangers when there are too many.

    A stranger is a connection on which no request with the token has arrived. A new connection is never refused: a
    client with the token always comes through, also while an attacker holds as many connections as allowed.

    Args:
        make: returns the protocol that answers the requests of one connection.
        strangers: most connections without a request with the token.
        header_seconds: how long the header of a request may take to arrive.
    """

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        *,
        call_later: CallLater,
        strangers: int = MOST_STRANGERS,
        header_seconds: float = HEADER_SECONDS,
    ) -> None:
        self._make = make
        self.call_later = call_later
        self.header_seconds = header_seconds
        self._most = strangers
        self._most_of_one = max(1, int(strangers * ONE_ADDRESS))
        self._strangers: dict[Connection, str] = {}
        """Their addresses, the oldest connection first."""
        self._of_address: Counter[str] = Counter()
        self.is_closed = False
        self.closed = 0
        """Connections that were closed because there were too many, or because a request took too long."""

    def __call__(self) -> "Connection":
        """Return the protocol of a new connection."""
        return Connection(self, self._make())

    def close(self) -> None:
        """Close each further connection at once: it was accepted before the server closed, and nothing answers it."""
        self.is_closed = True

    def add(self, connection: "Connection", address: str) -> None:
        """Count a new connection, and close the oldest stranger if there are too many."""
        self._strangers[connection] = address
        self._of_address[address] += 1
        if self._of_address[address] > self._most_of_one:
            self._close(next(one for one, its in self._strangers.items() if its == address))
        elif len(self._strangers) > self._most:
            self._close(next(iter(self._strangers)))

    def forget(self, connection: "Connection") -> None:
        """Count a connection no longer: it has sent the token, or is closed."""
        address = self._strangers.pop(connection, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def _close(self, connection: "Connection") -> None:
        self.forget(connection)
        self.closed += 1
        connection.close()


class Connection(asyncio.Protocol):
    """One connection: passes everything on, and measures how long the header of a request takes."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self._connections = connections
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answering = 0
        self._refused = False

    def close(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def request_began(self) -> None:
        """Stop the timer: the header of a request has arrived."""
        self._answering += 1
        self._stop_timer()

    def request_ended(self) -> None:
        """Note that the request is answered: what arrives next belongs to another one."""
        self._answering -= 1

    def has_token(self) -> None:
        """Note that a request with the token has arrived."""
        self._connections.forget(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are not subclasses of it
        self._refused = self._connections.is_closed
        if self._refused:
            self._transport.abort()
            return
        self._start_timer()
        self._inner.connection_made(transport)
        peer: Any = transport.get_extra_info("peername")
        self._connections.add(self, str(peer[0]) if isinstance(peer, tuple) else "")

    def data_received(self, data: bytes) -> None:
        if self._timer is None and not self._answering:
            self._start_timer()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._refused:
            return
        self._stop_timer()
        self._connections.forget(self)
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _start_timer(self) -> None:
        self._timer = self._connections.call_later(self._connections.header_seconds, self._too_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        self._connections.closed += 1
        self.close()


def connection_of(transport: asyncio.BaseTransport | None) -> Connection | None:
    """Return the connection of a request's transport; None for a server without `Connections`."""
    protocol = None if transport is None else transport.get_protocol()
    return protocol if isinstance(protocol, Connection) else None

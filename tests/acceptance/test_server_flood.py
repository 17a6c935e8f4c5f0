"""A server in the open is flooded with requests that never end; whoever has the token still comes through."""

import socket
import urllib.parse
from pathlib import Path

import pytest
from cli_process import Crew

pytestmark = pytest.mark.crash

HALF = b"POST /kickoff HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n"


def connected(url: str) -> socket.socket:
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=60)


def test_1100_half_sent_requests_block_nothing(tmp_path: Path) -> None:
    server = Crew(tmp_path, limits={"RLIMIT_NOFILE": (512, 512)})
    flood: list[socket.socket] = []
    try:
        for _ in range(1100):
            one = connected(server.url)
            flood.append(one)
            try:
                one.sendall(HALF)
            except OSError:  # it was closed in favour of a later one
                continue
        assert server.stats()["kickoffs"] == 0, "a request with the token is answered while they are open"
        closed = sum(_is_closed(one) for one in flood)
        assert closed >= 1100 - 512
    finally:
        for one in flood:
            one.close()
        said = server.stop()
    assert "Traceback" not in said
    assert len(said) < 10_000, f"{len(said)} characters on stderr"


def _is_closed(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True

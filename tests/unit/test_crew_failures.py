"""The map from foreign exceptions is total, and its dangerous half is spelt out here a second time."""

import asyncio
import inspect
import ssl

import aiohttp
import pytest

from batchcrew.crew.failures import _MEANINGS, FOREIGN, is_never_sent

# A new class in aiohttp makes the test below fail until its meaning is decided here.
NEVER_SENT = {
    "ClientConnectorError",
    "ClientConnectorDNSError",
    "ClientProxyConnectionError",
    "ClientSSLError",
    "ClientConnectorSSLError",
    "ClientConnectorCertificateError",
    "UnixClientConnectorError",
    "ServerFingerprintMismatch",
    "ConnectionTimeoutError",
    "ClientHttpProxyError",
    "InvalidURL",
    "InvalidUrlClientError",
    "NonHttpUrlClientError",
}
MAY_HAVE_ARRIVED = {
    "ClientError",
    "ClientConnectionError",
    "ClientConnectionResetError",
    "ClientOSError",
    "ServerConnectionError",
    "ServerDisconnectedError",
    "ServerTimeoutError",
    "SocketTimeoutError",
    "ClientResponseError",
    "ContentTypeError",
    "WSServerHandshakeError",
    "TooManyRedirects",
    "ClientPayloadError",
    "UploadAbortedError",
    "RedirectClientError",
    "InvalidUrlRedirectClientError",
    "NonHttpUrlRedirectClientError",
}
NOT_OF_A_REQUEST = {
    "WSMessageTypeError",
    "WebSocketError",
    "EofStream",
    "PayloadAccessError",
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
}
"""Misuse of websocket, multipart and payload objects, which a plain request cannot raise."""


def family(root: type[BaseException]) -> set[type[BaseException]]:
    return {root}.union(*(family(child) for child in root.__subclasses__()))


def bare(kind: type[BaseException]) -> Exception:
    """An instance without its constructor: only its class counts."""
    error = kind.__new__(kind)
    assert isinstance(error, Exception)
    return error


def of_aiohttp() -> set[type[BaseException]]:
    return {kind for kind in family(aiohttp.ClientError) if kind.__module__.startswith("aiohttp")}


def test_every_class_of_aiohttp_has_a_meaning() -> None:
    known = NEVER_SENT | MAY_HAVE_ARRIVED
    assert {kind.__name__ for kind in of_aiohttp()} <= known
    for kind in of_aiohttp():
        assert is_never_sent(bare(kind)) == (kind.__name__ in NEVER_SENT), kind


def test_everything_aiohttp_exports_as_an_error_is_foreign() -> None:
    exported = {
        value
        for name in aiohttp.__all__
        if inspect.isclass(value := getattr(aiohttp, name)) and issubclass(value, Exception)
    }
    others = {kind for kind in exported if not issubclass(kind, FOREIGN)}
    assert {kind.__name__ for kind in others} <= NOT_OF_A_REQUEST


@pytest.mark.parametrize(
    "kind", [OSError, TimeoutError, asyncio.TimeoutError, ConnectionResetError, BrokenPipeError, ssl.SSLError]
)
def test_errors_of_the_system_may_have_come_after_sending(kind: type[Exception]) -> None:
    assert issubclass(kind, FOREIGN)
    assert not is_never_sent(kind())


def test_no_class_of_the_map_is_hidden_by_an_earlier_one() -> None:
    for index, (kind, _, _) in enumerate(_MEANINGS):
        assert not any(issubclass(kind, earlier) for earlier, _, _ in _MEANINGS[:index]), kind

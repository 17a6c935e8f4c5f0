"""Interpret the exceptions of other libraries: the request has certainly never left, or may have arrived.

Only failures before the first byte of the request are "never sent". All others are in doubt: a kickoff costs money, so
a wrong "never sent" makes you pay twice, while a wrong "may have arrived" only needs a decision by the operator.
"""

import errno
import os
from dataclasses import dataclass
from enum import StrEnum

import aiohttp

FOREIGN = (aiohttp.ClientError, OSError)
"""The exceptions of a request for failures of the network or the server (a TimeoutError is an OSError)."""


OUT_OF_DESCRIPTORS = "this machine has no file descriptor left for a connection; raise `ulimit -n` or lower concurrency"


class FailureKind(StrEnum):
    """The step at which a request failed."""

    DNS = "dns"
    CONNECTION = "connection"
    CONNECTION_TIMEOUT = "connection timeout"
    TLS = "tls"
    PROXY = "proxy"
    ANSWER = "answer"
    """After the connection was open: no answer, half an answer, or one that is not HTTP."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request without an answer."""

    never_sent: bool
    reason: str
    """It may contain text of the server, which is not cleaned yet."""
    local: bool = False
    """True: this machine is out of file descriptors."""
    kind: FailureKind = FailureKind.ANSWER


_KINDS: tuple[tuple[type[Exception], FailureKind], ...] = (
    (aiohttp.ClientConnectorDNSError, FailureKind.DNS),
    (aiohttp.ClientSSLError, FailureKind.TLS),
    (aiohttp.ServerFingerprintMismatch, FailureKind.TLS),
    (aiohttp.ClientProxyConnectionError, FailureKind.PROXY),
    (aiohttp.ClientHttpProxyError, FailureKind.PROXY),
    (aiohttp.ClientConnectorError, FailureKind.CONNECTION),
    (aiohttp.ConnectionTimeoutError, FailureKind.CONNECTION_TIMEOUT),
)
# The first matching class counts, so a subclass precedes its base.
_MEANINGS: tuple[tuple[type[Exception], bool, str], ...] = (
    (aiohttp.ClientConnectorDNSError, True, "the host {host} cannot be found ({cause})"),
    (
        aiohttp.ClientConnectorCertificateError,
        True,
        "the certificate of {host} is not trusted ({cause}); add a company's own authority to the system's "
        "store or SSL_CERT_FILE",
    ),
    (aiohttp.ClientConnectorSSLError, True, "no TLS with {host} ({cause}); is it really https?"),
    (aiohttp.ClientSSLError, True, "no TLS with {host} ({cause})"),
    (aiohttp.ClientProxyConnectionError, True, "no connection through the proxy {host} ({cause})"),
    (aiohttp.ClientConnectorError, True, "no connection to {host} ({cause})"),
    (aiohttp.ServerFingerprintMismatch, True, "the certificate of {host} has another fingerprint"),
    (aiohttp.ConnectionTimeoutError, True, "no connection to {host} within {connect_timeout:g}s"),
    (aiohttp.ClientHttpProxyError, True, "the proxy refused the connection to {host} ({cause})"),
    (aiohttp.RedirectClientError, False, "{host} redirects to an invalid URL"),
    (aiohttp.InvalidURL, True, "no request to {host}: the URL is not valid"),
    (aiohttp.NonHttpUrlClientError, True, "no request to {host}: the URL is not http"),
    (aiohttp.TooManyRedirects, False, "{host} redirects too often"),
    (aiohttp.ClientResponseError, False, "the answer of {host} is not HTTP ({cause})"),
    (aiohttp.SocketTimeoutError, False, "no answer from {host}: silent for {read_timeout:g}s"),
    (aiohttp.ServerTimeoutError, False, "no answer from {host} in time"),
    (aiohttp.ServerDisconnectedError, False, "{host} closed the connection without an answer"),
    (aiohttp.ServerConnectionError, False, "the connection to {host} broke ({cause})"),
    (aiohttp.ClientPayloadError, False, "the answer of {host} broke off or cannot be decoded ({cause})"),
    (aiohttp.ClientOSError, False, "the connection to {host} broke ({cause})"),
    (aiohttp.ClientConnectionError, False, "the connection to {host} broke ({cause})"),
    (aiohttp.ClientError, False, "no answer from {host} ({cause})"),
    (TimeoutError, False, "the answer of {host} was not complete in time"),
    (OSError, False, "the connection to {host} broke ({cause})"),
)


def is_never_sent(error: Exception) -> bool:
    """Return whether the request certainly never left."""
    return next((never_sent for kind, never_sent, _ in _MEANINGS if isinstance(error, kind)), False)


def failure(error: Exception, *, host: str, connect_timeout: float, read_timeout: float) -> Failure:
    """Return the meaning of an exception of a request to `host`. The timeouts, in seconds, are for its text."""
    for kind, never_sent, words in _MEANINGS:
        if isinstance(error, kind):
            if never_sent and out_of_descriptors(error):
                return Failure(True, OUT_OF_DESCRIPTORS, local=True, kind=_kind_of(error))
            if isinstance(error, aiohttp.ClientProxyConnectionError):
                host = f"{error.host}:{error.port}"
            reason = words.format(
                host=host, cause=cause(error), connect_timeout=connect_timeout, read_timeout=read_timeout
            )
            return Failure(never_sent, reason, kind=_kind_of(error))
    raise error  # an exception that is not in FOREIGN is a defect of batchcrew


def _kind_of(error: Exception) -> FailureKind:
    return next((kind for types, kind in _KINDS if isinstance(error, types)), FailureKind.ANSWER)


def out_of_descriptors(error: Exception) -> bool:
    """Return whether a connection failed because this process, or the system, has no file descriptor left."""
    numbers = {getattr(each, "errno", None) for each in (error, getattr(error, "os_error", None), error.__cause__)}
    if numbers & {errno.EMFILE, errno.ENFILE}:
        return True
    if isinstance(error, aiohttp.ClientConnectorDNSError):  # a resolver that cannot open a socket reports another cause
        try:
            os.close(os.dup(2))
        except OSError as no_more:
            return no_more.errno in {errno.EMFILE, errno.ENFILE}
    return False


def cause(error: Exception) -> str:
    """Return what happened, without the host (which is already in the sentence) and without object dumps."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error) or type(error.os_error).__name__
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message}".strip()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__

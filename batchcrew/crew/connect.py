"""Connect to a crew's server: its URLs, proxies, TLS, connections, and the redirects to follow."""

import asyncio
import ipaddress
import re
import ssl
import sys
from collections.abc import Callable
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

import aiohttp
import truststore
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace
from yarl import URL

from batchcrew.base.errors import UsageError
from batchcrew.crew.address import http_url
from batchcrew.crew.failures import cause, is_never_sent

STATUS_ROUTES = ("/status/{id}", "/{id}/status")
"""The paths at which deployments answer status requests; the first is the guide's."""
_PLAIN_SEGMENT = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*")


class RedirectRefused(Exception):
    """The server redirects to a URL that is not followed; the text says which."""


class Endpoints:
    """The URLs of one crew.

    Raises:
        UsageError: `base` is not a valid URL of a crew.
    """

    def __init__(self, crew: str, base: str) -> None:
        self.base = _base_url(crew, base)
        self._prefix = str(self.base).rstrip("/")
        self.kickoff = URL(self._prefix + "/kickoff", encoded=True)
        self.resume = URL(self._prefix + "/resume", encoded=True)
        self.inputs = URL(self._prefix + "/inputs", encoded=True)

    def under(self, path: str) -> URL:
        """Return the URL of another path of the server, which begins with a slash and is quoted."""
        return URL(self._prefix + path, encoded=True)

    def status(self, kickoff_id: str, route: int) -> URL:
        """Return the URL of an execution's status. Its id is one segment of the path, whatever its characters."""
        segment = kickoff_id
        if not _PLAIN_SEGMENT.fullmatch(kickoff_id):
            segment = quote(kickoff_id, safe="")
            if not segment.strip("."):
                segment = segment.replace(".", "%2E")
        return URL(self._prefix + STATUS_ROUTES[route].replace("{id}", segment), encoded=True)


def _base_url(crew: str, text: str) -> URL:
    text = text.strip()
    url = http_url(text)
    if url is None or not text.isprintable() or " " in text:
        shown = "".join(sign if sign.isprintable() else "?" for sign in text.rpartition("@")[2][:200])
        raise UsageError(f"crew {crew}: invalid url: {shown!r} (expected e.g. https://my-crew.example.com)")
    if url.user is not None or url.password is not None:
        raise UsageError(
            f"crew {crew}: url contains a user name or password; give the crew's token as `token:` instead"
        )
    if url.query_string or url.fragment:
        raise UsageError(f"crew {crew}: url must not contain ? or # (the crew's paths are appended to it)")
    return url


def is_loopback(url: URL) -> bool:
    """Return whether `url` is on this machine."""
    host = url.host or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: URL, warn: Callable[[str], None]) -> URL | None:
    """Return the proxy that the environment (or the system's settings) names for `url`; None if there is none.

    The standard library reads HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, once per client: aiohttp's `trust_env`
    would read them in a thread for every request, and ~/.netrc too. As in other clients, no proxy is used for this
    machine.
    """
    if is_loopback(url) or proxy_bypass(f"{url.host}:{url.port}"):
        return None
    proxies = getproxies()
    text = proxies.get(url.scheme) or proxies.get("all")
    if not text:
        return None
    proxy = http_url(text if "://" in text else f"http://{text}")
    if proxy is None:
        scheme = text.partition("://")[0][:20] if "://" in text else "?"
        warn(f"the environment's proxy for {url.scheme} is ignored: only http proxies are supported, not {scheme!r}")
    return proxy


def tls_context() -> ssl.SSLContext:
    """Return a context that trusts the system's certificates, including a company's own authorities.

    It reads files: call it once, in a thread. If the system's store is a file (SSL_CERT_FILE, SSL_CERT_DIR or OpenSSL's
    default), it is loaded here; truststore would load it again for every connection, which takes 20 ms each time.
    """
    context: ssl.SSLContext | None = None
    if sys.platform not in {"darwin", "win32"}:
        context = ssl.create_default_context()
        if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
            context = None
    if context is None:
        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Connector(aiohttp.TCPConnector):
    """Connections whose `connect_timeout` covers DNS, TCP, TLS and a proxy's CONNECT, but not the wait for the pool.

    If anything fails here, the request has certainly not left, and the exception's class shows that.

    Args:
        idle: seconds after which an idle connection is not used again; 0: no connection is used twice.
    """

    def __init__(self, *, connect_timeout: float, limit: int, idle: float) -> None:
        if idle:
            super().__init__(limit=limit, keepalive_timeout=idle)
        else:
            super().__init__(limit=limit, force_close=True)
        self._connect_timeout = connect_timeout

    def widen(self, limit: int) -> None:
        """Allow this many connections if that is more than before; aiohttp has no public API for it."""
        self._limit = max(self._limit, limit)

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the signature is aiohttp's
    ) -> ResponseHandler:
        try:
            # aiohttp turns a TimeoutError in here into its ConnectionTimeoutError.
            async with asyncio.timeout(self._connect_timeout):
                return await super()._create_connection(req, traces, timeout)
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            if is_never_sent(error):
                raise
            # The proxy failed before its tunnel was open; the exception's class would suggest that the crew failed.
            key = req.connection_key
            if req.proxy is not None:
                key = key._replace(host=req.proxy.host or "", port=req.proxy.port)
            raise aiohttp.ClientProxyConnectionError(key, OSError(0, cause(error))) from error


def redirected(url: URL, location: str) -> URL:
    """Return the target of a redirect from `url`, if it may be followed: the same request on the same host.

    Allowed are http to https (with their default ports), a trailing slash, and another prefix of the path. The token is
    never sent to another host, and a login page is not followed.

    Raises:
        RedirectRefused: the target is something else.
    """
    try:
        target = url.join(URL(location))
        host, port = target.host, target.port
    except ValueError:
        raise RedirectRefused("it redirects to an invalid URL; check `url:`") from None
    upgrade = (url.scheme, target.scheme) == ("http", "https")
    same_port = port == url.port or (upgrade and (url.port, port) == (80, 443))
    if host != url.host or not same_port or not (target.scheme == url.scheme or upgrade):
        # Name only the host, because a redirect's query may contain secrets.
        where = f"{target.scheme}://{target.host_port_subcomponent}"
        raise RedirectRefused(f"it redirects to {where}, which was refused; if that is the crew, set `url:` to it")
    if target.user is not None or target.password is not None:
        raise RedirectRefused("it redirects to a URL with a user name in it, which was refused; check `url:`")
    if target.raw_path.rstrip("/").rpartition("/")[2] != url.raw_path.rstrip("/").rpartition("/")[2]:
        raise RedirectRefused(
            f"it redirects to {target.raw_path}, which is a different path (a login page?); check `url:`"
        )
    return target

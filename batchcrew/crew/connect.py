"""How a crew's server is reached: its URLs, the proxy on the way, TLS, connections, and redirects to follow."""

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
from batchcrew.config.crews import CrewSettings
from batchcrew.crew.failures import cause, is_never_sent

STATUS_ROUTES = ("/status/{id}", "/{id}/status")
"""Where deployments answer about an execution; the first is the guide's."""
_PLAIN_SEGMENT = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*")


class RedirectRefused(Exception):
    """The server sends us where we do not go; the text says where."""


class Endpoints:
    """The URLs of one crew.

    Raises:
        UsageError: `base` is no URL of a crew; the message says why and what would be right.
    """

    def __init__(self, crew: str, base: str) -> None:
        self.base = _base_url(crew, base)
        self._prefix = str(self.base).rstrip("/")
        self.kickoff = URL(self._prefix + "/kickoff", encoded=True)
        self.inputs = URL(self._prefix + "/inputs", encoded=True)

    def status(self, kickoff_id: str, route: int) -> URL:
        """The URL of an execution; its id is opaque and stays one segment of the path."""
        segment = kickoff_id
        if not _PLAIN_SEGMENT.fullmatch(kickoff_id):
            segment = quote(kickoff_id, safe="")
            if not segment.strip("."):
                segment = segment.replace(".", "%2E")
        return URL(self._prefix + STATUS_ROUTES[route].replace("{id}", segment), encoded=True)


def crew_address(crew: CrewSettings) -> str:
    """Return the address by which the ledger identifies a crew; a URL has one spelling, however it is written."""
    location = crew.location.strip()
    url = _http_url(location)
    return location if url is None else str(url).rstrip("/")


def _base_url(crew: str, text: str) -> URL:
    text = text.strip()
    url = _http_url(text)
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


def _http_url(text: str) -> URL | None:
    try:
        url = URL(text)
        usable = url.scheme in {"http", "https"} and url.host and url.port
    except ValueError:
        return None
    return url if usable else None


def is_loopback(url: URL) -> bool:
    """True when `url` is on this machine."""
    host = url.host or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: URL, warn: Callable[[str], None]) -> URL | None:
    """The proxy that the environment (or the system's settings) names for `url`; None when there is none.

    HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are read by the standard library, once per client:
    aiohttp's `trust_env` would read them in a thread for every request, and ~/.netrc with them. As in
    other clients, this machine itself is never asked through a proxy.
    """
    if is_loopback(url) or proxy_bypass(f"{url.host}:{url.port}"):
        return None
    proxies = getproxies()
    text = proxies.get(url.scheme) or proxies.get("all")
    if not text:
        return None
    proxy = _http_url(text if "://" in text else f"http://{text}")
    if proxy is None:
        scheme = text.partition("://")[0][:20] if "://" in text else "?"
        warn(f"the environment's proxy for {url.scheme} is ignored: only http proxies are supported, not {scheme!r}")
    return proxy


def tls_context() -> ssl.SSLContext:
    """Trust what the system trusts, a company's own authorities included. Reads files: build it once, in a thread.

    Where the system's store is a file (SSL_CERT_FILE, SSL_CERT_DIR or OpenSSL's default), it is loaded here;
    truststore would load it again for every connection, which takes 20 ms each time.
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
    """Connections where `connect_timeout` bounds all of DNS, TCP, TLS and a proxy's CONNECT, and no wait for the pool.

    Whatever fails in here, the request has surely not left: it is raised as a class that says so.

    Args:
        idle: seconds after which an idle connection is not used again; 0: none is used twice.
    """

    def __init__(self, *, connect_timeout: float, limit: int, idle: float) -> None:
        if idle:
            super().__init__(limit=limit, keepalive_timeout=idle)
        else:
            super().__init__(limit=limit, force_close=True)
        self._connect_timeout = connect_timeout

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
            # A proxy hung up or talked nonsense before its tunnel stood; by its class it would look like the crew did.
            key = req.connection_key
            if req.proxy is not None:
                key = key._replace(host=req.proxy.host or "", port=req.proxy.port)
            raise aiohttp.ClientProxyConnectionError(key, OSError(0, cause(error))) from error


def redirected(url: URL, location: str) -> URL:
    """Where a redirect from `url` leads, if it may be followed: the same host, and still the same call.

    http to https and another port only as their default ports go together; a slash more or less; another
    prefix of the path. The token goes to no other host, and a login page is no crew.

    Raises:
        RedirectRefused: it leads elsewhere.
    """
    try:
        target = url.join(URL(location))
        host, port = target.host, target.port
    except ValueError:
        raise RedirectRefused("it redirects to an invalid URL; check `url:`") from None
    upgrade = (url.scheme, target.scheme) == ("http", "https")
    same_port = port == url.port or (upgrade and (url.port, port) == (80, 443))
    if host != url.host or not same_port or not (target.scheme == url.scheme or upgrade):
        # The host only: a redirect's query may hold what the server was told in confidence.
        where = f"{target.scheme}://{target.host_port_subcomponent}"
        raise RedirectRefused(f"it redirects to {where}, which was refused; if that is the crew, set `url:` to it")
    if target.user is not None or target.password is not None:
        raise RedirectRefused("it redirects to a URL with a user name in it, which was refused; check `url:`")
    if target.raw_path.rstrip("/").rpartition("/")[2] != url.raw_path.rstrip("/").rpartition("/")[2]:
        raise RedirectRefused(
            f"it redirects to {target.raw_path}, which is a different path (a login page?); check `url:`"
        )
    return target

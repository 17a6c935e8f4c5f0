"""Sends one HTTP request, and returns an answer within its limits, or the reason why there is none."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from functools import lru_cache
from types import SimpleNamespace

import aiohttp
from aiohttp.abc import AbstractCookieJar
from multidict import CIMultiDictProxy
from yarl import URL

from batchcrew.config.crews import CrewSettings
from batchcrew.crew.connect import Connector, RedirectRefused, proxy_for, redirected, tls_context
from batchcrew.crew.failures import FOREIGN, FailureKind, failure, is_never_sent

GET_IDLE_SECONDS = 15.0
"""A GET uses a connection that was idle for less than this: unlike a kickoff (`crew.keepalive`), it can be repeated."""
ANSWER_SPANS = 5
"""Maximum time for a complete answer, as a multiple of `read_timeout`, so that a slow answer frees its slot."""
MAX_REFUSAL = 64 * 1024
"""Most bytes of an error answer that are read for its text."""
MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 307, 308})  # nothing was done, not even for a POST: repeat it at the new URL
_SEE_OTHER = 303  # after a POST, it means that the work was done, so only a GET follows it
_PERMANENT = frozenset({301, 308})


def _reuse_noted() -> aiohttp.TraceConfig:
    """Return a trace that records in the request's context (a set) that it used an old connection."""

    async def note(
        _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceConnectionReuseconnParams
    ) -> None:
        context.trace_request_ctx.add(True)

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(note)
    return config


class TooLarge(Exception):
    """An answer beyond `max_answer`."""


@dataclass(slots=True)
class Reply:
    """An HTTP answer, completely read; of an error answer, the part that could be read."""

    code: int
    headers: CIMultiDictProxy[str]
    body: bytes
    moved_to: URL | None = None
    """The target of permanent redirects."""
    http_version: str = "1.1"
    reused: bool = False
    """True: it came over a connection that an earlier request had opened."""

    @property
    def good(self) -> bool:
        return 200 <= self.code < 300

    @property
    def charset(self) -> str | None:
        """Return the encoding that the Content-Type names; None if it names none."""
        return _charset(self.headers.get("Content-Type", ""))


@lru_cache(maxsize=64)
def _charset(content_type: str) -> str | None:
    message = Message()
    message["Content-Type"] = content_type
    return message.get_content_charset()


@dataclass(slots=True)
class NoReply:
    """The reason why there is no valid answer."""

    reason: str
    never_sent: bool = False
    refused: bool = False
    """True: the server redirects to a URL that is not followed; nothing was done."""
    local: bool = False
    """True: this machine is out of file descriptors, so the failure is not the server's."""
    kind: FailureKind = FailureKind.ANSWER


@dataclass(slots=True)
class _Request:
    method: str
    url: URL
    headers: Mapping[str, str] | None = None
    body: bytes | None = None
    within: float | None = None
    """Seconds that the answer may take, in place of `read_timeout`."""
    reused: set[bool] = field(default_factory=set)
    """Not empty once it was sent over an old connection."""


class Exchange:
    """The connections to one server: one pool for POST requests, which must not arrive twice, and one for GETs.

    A server may close an idle connection (gunicorn after 2 s, uvicorn after 5) while a request is being sent. A kickoff
    would then be in doubt although it never arrived, so it never uses a connection that was idle for
    `crew.keepalive`. A GET is sent once more, on a new connection.

    Args:
        settings: timeouts and the largest answer.
        base: URL of the server.
        headers: sent with every request, to this server only.
        concurrency: most connections of each pool.
        direct: ignore the environment's proxies.
        warn: receives a warning about a proxy that cannot be used.
        cookies: return the cookies that the server sets.
    """

    def __init__(
        self,
        settings: CrewSettings,
        base: URL,
        headers: Mapping[str, str],
        *,
        concurrency: int,
        direct: bool,
        warn: Callable[[str], None],
        cookies: bool = False,
    ) -> None:
        self._settings = settings
        self._base = base
        self._headers = headers
        self._concurrency = concurrency
        self._direct = direct
        self._warn = warn
        self._cookies = cookies
        self._tls: ssl.SSLContext | bool = True
        self._proxies: dict[str, URL | None] = {}  # by scheme
        self._posts: aiohttp.ClientSession
        self._gets: aiohttp.ClientSession
        self._again: aiohttp.ClientSession  # for GETs that failed on an old connection

    async def open(self) -> None:
        await self._prepare(self._base)
        # one jar, only for this server, which may have an IP address in place of a name
        jar = aiohttp.CookieJar(unsafe=True) if self._cookies else aiohttp.DummyCookieJar()
        self._posts = self._session(self._settings.keepalive, jar)
        self._gets = self._session(GET_IDLE_SECONDS, jar)
        self._again = self._session(0, jar)

    def widen(self, concurrency: int) -> None:
        """Allow this many connections in each pool if that is more than before."""
        self._concurrency = max(self._concurrency, concurrency)
        for session in (self._posts, self._gets, self._again):
            if isinstance(session.connector, Connector):
                session.connector.widen(concurrency)

    async def close(self) -> None:
        async with self._posts, self._gets, self._again:
            pass

    async def _prepare(self, url: URL) -> None:
        """Prepare TLS and the proxy for the scheme of `url`."""
        if url.scheme == "https" and self._tls is True:
            self._tls = await asyncio.to_thread(tls_context)
        if url.scheme in self._proxies:
            return
        complaints: list[str] = []
        proxy = None if self._direct else await asyncio.to_thread(proxy_for, url, complaints.append)
        self._proxies[url.scheme] = proxy
        for complaint in complaints:
            self._warn(complaint)

    def _session(self, idle: float, jar: AbstractCookieJar) -> aiohttp.ClientSession:
        settings = self._settings
        return aiohttp.ClientSession(
            connector=Connector(connect_timeout=settings.connect_timeout, limit=self._concurrency, idle=idle),
            headers=self._headers,
            cookie_jar=jar,
            timeout=self._timeout(ANSWER_SPANS * settings.read_timeout, settings.read_timeout),
            trace_configs=[_reuse_noted()],
        )

    def _timeout(self, total: float, read: float) -> aiohttp.ClientTimeout:
        """Return the most seconds for an answer, and the most without data."""
        return aiohttp.ClientTimeout(total=self._settings.connect_timeout + total, sock_read=read)

    async def post(self, url: URL, headers: Mapping[str, str], body: bytes, *, within: float | None) -> Reply | NoReply:
        """Send a POST, once, and read its answer.

        Args:
            within: seconds that the answer may take, in place of `read_timeout`.
        """
        return await self._answered(_Request("POST", url, headers, body, within))

    async def get(self, url: URL, headers: Mapping[str, str] | None = None) -> Reply | NoReply:
        """Send a GET and read its answer.

        Args:
            headers: replace headers of the same name that every request has.
        """
        return await self._answered(_Request("GET", url, headers))

    async def options(self, url: URL) -> Reply | NoReply:
        """Send an OPTIONS request, which starts nothing, and read its answer."""
        return await self._answered(_Request("OPTIONS", url))

    @property
    def proxy(self) -> URL | None:
        """Return the proxy of requests to the server; None: they are sent to it directly."""
        return self._proxies.get(self._base.scheme)

    @property
    def tls(self) -> ssl.SSLContext | None:
        """Return the certificates that are trusted; None before a request over https."""
        return self._tls if isinstance(self._tls, ssl.SSLContext) else None

    async def _answered(self, request: _Request) -> Reply | NoReply:
        """Send a request; failures of the network or the server are returned, not raised."""
        url, reused = request.url, request.reused
        try:
            try:
                return await self._send(self._posts if request.method == "POST" else self._gets, request)
            except aiohttp.ClientConnectionError as error:
                # aiohttp repeats a GET too, but perhaps on another old connection
                if request.method == "POST" or not reused or is_never_sent(error) or isinstance(error, TimeoutError):
                    raise
                return await self._send(self._again, request)
        except TooLarge:
            return NoReply(f"the answer is larger than max_answer ({self._settings.max_answer:,} bytes)")
        except RedirectRefused as error:
            return NoReply(f"{url}: {error}", refused=True)
        except FOREIGN as error:
            lost = failure(
                error,
                host=url.host_port_subcomponent or "",
                connect_timeout=self._settings.connect_timeout,
                read_timeout=request.within or self._settings.read_timeout,
            )
            return NoReply(lost.reason, never_sent=lost.never_sent, local=lost.local, kind=lost.kind)

    async def _send(self, session: aiohttp.ClientSession, request: _Request) -> Reply:
        method, url = request.method, request.url
        timeout = session.timeout if request.within is None else self._timeout(request.within, request.within)
        moved_to: URL | None = None
        for redirects in range(MAX_REDIRECTS + 1):
            async with session.request(
                method,
                url,
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                proxy=self._proxies[url.scheme],
                ssl=self._tls,
                timeout=timeout,
                trace_request_ctx=request.reused,
            ) as response:
                code = response.status
                if 200 <= code < 300:
                    return _reply(response, await self._read(response), request, moved_to)
                location = response.headers.get("Location")
                if not location or not (code in _REDIRECTS or (code == _SEE_OTHER and method != "POST")):
                    return _reply(response, await self._read_refusal(response), request)
            target = redirected(url, location)
            await self._prepare(target)
            moved_to = target if code in _PERMANENT and (redirects == 0 or moved_to) else None
            url = target
        raise RedirectRefused(f"it redirects more than {MAX_REDIRECTS} times; check `url:`")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        limit = self._settings.max_answer
        length = response.content_length
        if length is not None:
            if length > limit:
                raise TooLarge
            if "Content-Encoding" not in response.headers:
                return await response.read()
        # There is no length, or one before decompression: count the bytes that are read.
        chunks: list[bytes] = []
        size = 0
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > limit:
                raise TooLarge
            chunks.append(chunk)
        return b"".join(chunks)

    async def _read_refusal(self, response: aiohttp.ClientResponse) -> bytes:
        text = bytearray()
        try:
            while len(text) < MAX_REFUSAL and (chunk := await response.content.readany()):
                text += chunk
        except FOREIGN:
            # The code is sufficient; the text, even an incomplete one, helps the operator.
            pass
        return bytes(text[:MAX_REFUSAL])


def _reply(response: aiohttp.ClientResponse, body: bytes, request: _Request, moved_to: URL | None = None) -> Reply:
    version = response.version
    return Reply(
        response.status,
        response.headers,
        body,
        moved_to,
        http_version="1.1" if version is None else f"{version.major}.{version.minor}",
        reused=bool(request.reused),
    )

"""One HTTP request and what came of it: an answer within its limits, or why there is none. Knows no crew."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from batchcrew.crew.connect import Connector, RedirectRefused, proxy_for, redirected, tls_context
from batchcrew.crew.failures import FOREIGN, failure
from batchcrew.settings import CrewSettings

KICKOFF_IDLE_SECONDS = 1.0
"""A POST goes only over a connection that was idle for less.

Servers close idle connections after a few seconds (gunicorn 2, uvicorn 5). A kickoff that meets such a
closing is in doubt though it never arrived, so it does not go over a connection that old. A question may
be asked twice, so it may.
"""
QUESTION_IDLE_SECONDS = 15.0
"""A GET goes over a connection that was idle for less."""
ANSWER_SPANS = 5
"""A whole answer may take this many `read_timeout`s: one that drips in holds its slot no longer."""
MAX_REFUSAL = 64 * 1024
"""So much of an error answer is read for its words (bytes)."""
MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 307, 308})  # "nothing was done here, ask there", also to a POST
_SEE_OTHER = 303  # to a POST it says "it was done; see there", so only a GET follows it
_PERMANENT = frozenset({301, 308})


class TooLarge(Exception):
    """An answer beyond `max_answer`."""


@dataclass(slots=True)
class Reply:
    """An HTTP answer, read to its end (an error answer: to what could be read of it)."""

    code: int
    headers: CIMultiDictProxy[str]
    body: bytes
    moved_to: URL | None = None
    """Where permanent redirects led."""

    @property
    def good(self) -> bool:
        return 200 <= self.code < 300


@dataclass(slots=True)
class NoReply:
    """Why there is no answer that counts."""

    reason: str
    never_sent: bool = False
    refused: bool = False
    """The server would send us where we do not go; nothing was done."""


class Exchange:
    """The connections to one server: one pool for what must not arrive twice (POST), one for questions (GET).

    Args:
        settings: timeouts and the largest answer.
        base: the server.
        headers: sent with every request, to this server only.
        concurrency: most connections of each pool.
        direct: leave the environment's proxies out.
        warn: told of a proxy that cannot be used.
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
    ) -> None:
        self._settings = settings
        self._base = base
        self._headers = headers
        self._concurrency = concurrency
        self._direct = direct
        self._warn = warn
        self._tls: ssl.SSLContext | bool = True
        self._proxies: dict[str, URL | None] = {}  # by scheme
        self._posts: aiohttp.ClientSession
        self._gets: aiohttp.ClientSession

    async def open(self) -> None:
        await self._prepare(self._base)
        self._posts = self._session(KICKOFF_IDLE_SECONDS)
        self._gets = self._session(QUESTION_IDLE_SECONDS)

    async def close(self) -> None:
        try:
            await self._posts.close()
        finally:
            await self._gets.close()

    async def _prepare(self, url: URL) -> None:
        """Be ready for the scheme of `url`."""
        if url.scheme == "https" and self._tls is True:
            self._tls = await asyncio.to_thread(tls_context)
        if url.scheme in self._proxies:
            return
        complaints: list[str] = []
        proxy = None if self._direct else await asyncio.to_thread(proxy_for, url, complaints.append)
        self._proxies[url.scheme] = proxy
        for complaint in complaints:
            self._warn(complaint)

    def _session(self, idle: float) -> aiohttp.ClientSession:
        settings = self._settings
        return aiohttp.ClientSession(
            connector=Connector(connect_timeout=settings.connect_timeout, limit=self._concurrency, idle=idle),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=settings.connect_timeout + ANSWER_SPANS * settings.read_timeout,
                sock_read=settings.read_timeout,
            ),
        )

    async def ask(
        self, method: str, url: URL, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Reply | NoReply:
        """Send a request (a POST once: aiohttp repeats only what may be repeated) and read its answer.

        Raises nothing for what the network or the server does. `CancelledError` passes.
        """
        try:
            return await self._ask(self._posts if method == "POST" else self._gets, method, url, headers, body)
        except TooLarge:
            return NoReply(f"the answer is larger than max_answer ({self._settings.max_answer:,} bytes)")
        except RedirectRefused as error:
            return NoReply(f"{url}: {error}", refused=True)
        except FOREIGN as error:
            lost = failure(
                error,
                host=url.host_port_subcomponent or "",
                connect_timeout=self._settings.connect_timeout,
                read_timeout=self._settings.read_timeout,
            )
            return NoReply(lost.reason, never_sent=lost.never_sent)

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        headers: Mapping[str, str] | None,
        body: bytes | None,
    ) -> Reply:
        moved_to: URL | None = None
        for redirects in range(MAX_REDIRECTS + 1):
            async with session.request(
                method,
                url,
                headers=headers,
                data=body,
                allow_redirects=False,
                proxy=self._proxies[url.scheme],
                ssl=self._tls,
            ) as response:
                code = response.status
                if 200 <= code < 300:
                    return Reply(code, response.headers, await self._read(response), moved_to)
                location = response.headers.get("Location")
                if not location or not (code in _REDIRECTS or (code == _SEE_OTHER and method != "POST")):
                    return Reply(code, response.headers, await self._read_refusal(response))
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
        # No length, or one before decompression: count what really comes.
        chunks: list[bytes] = []
        size = 0
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > limit:
                raise TooLarge
            chunks.append(chunk)
        return b"".join(chunks)

    async def _read_refusal(self, response: aiohttp.ClientResponse) -> bytes:
        said = bytearray()
        try:
            while len(said) < MAX_REFUSAL and (chunk := await response.content.readany()):
                said += chunk
        except FOREIGN:
            # The code is the answer. Its words are a help for a person, and some of them are better than none.
            pass
        return bytes(said[:MAX_REFUSAL])

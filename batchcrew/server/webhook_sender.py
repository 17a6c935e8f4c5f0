"""Sends webhooks when they are due, for the demo crew and real crews. Their stores hold the webhooks."""

import asyncio
import hashlib
import heapq
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Generic, TypeVar

import aiohttp
from yarl import URL

from batchcrew.server.waiting import wait_for_change
from batchcrew.server.webhook_targets import NotAllowed, WebhookTargets

LOG = logging.getLogger("batchcrew.server")
MAX_DELIVERIES = 16
"""Webhooks that are sent concurrently."""
TIMEOUT = aiohttp.ClientTimeout(total=10)

Key = TypeVar("Key")


class WebhookSender(Generic[Key]):
    """Calls `deliver` for each key when it is due: one list and MAX_DELIVERIES tasks serve all executions.

    Args:
        deliver: sends one webhook, and adds the key again if there is another one. An exception costs only this key.
        targets: where webhooks may be sent.
        now: returns seconds since the epoch.
        sleep: waits until the next webhook is due.
    """

    def __init__(
        self,
        deliver: Callable[[aiohttp.ClientSession, Key], Awaitable[None]],
        *,
        targets: WebhookTargets,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._deliver = deliver
        self._targets = targets
        self._now = now
        self._sleep = sleep
        self._due: list[tuple[float, int, Key]] = []
        """A heap of moment, order and key."""
        self._order = count()
        self._changed = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send."""
        self._work = asyncio.create_task(self._run(), name="webhooks")

    async def close(self) -> None:
        """Stop sending."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    def add(self, key: Key, at: float) -> None:
        """Deliver `key` at this moment, in seconds since the epoch."""
        heapq.heappush(self._due, (at, next(self._order), key))
        self._changed.set()

    async def _run(self) -> None:
        queue: asyncio.Queue[Key] = asyncio.Queue(maxsize=1)  # the others wait in the heap
        jar = aiohttp.DummyCookieJar()
        # each connection resolves the name again: `targets` checks its addresses
        connector = aiohttp.TCPConnector(resolver=self._targets.resolver(), use_dns_cache=False)
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT, cookie_jar=jar, connector=connector) as session,
            asyncio.TaskGroup() as group,
        ):
            for number in range(MAX_DELIVERIES):
                group.create_task(self._send(queue, session), name=f"webhooks-{number}")
            while True:
                self._changed.clear()
                if self._due and self._due[0][0] <= self._now():
                    await queue.put(heapq.heappop(self._due)[2])
                else:
                    seconds = self._due[0][0] - self._now() if self._due else None
                    await wait_for_change(self._changed, seconds, self._sleep)

    async def _send(self, queue: asyncio.Queue[Key], session: aiohttp.ClientSession) -> None:
        while True:
            key = await queue.get()
            try:
                await self._deliver(session, key)
            except Exception:  # a defect costs one execution's webhooks, not those of all
                LOG.exception("the webhooks of %s were given up", key)


async def post(
    session: aiohttp.ClientSession,
    targets: WebhookTargets,
    url: str,
    body: bytes,
    authorization: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> str | None:
    """Send one webhook, and return what went wrong; None if the receiver accepted it.

    Redirects are not followed: they could lead anywhere.

    Args:
        headers: further ones.
    """
    headers = {"Content-Type": "application/json", **(headers or {})}
    if authorization:
        headers["Authorization"] = authorization
    try:
        targets.check("the URL", url)  # an earlier server may have accepted it
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            return None if answer.status < 300 else f"HTTP {answer.status}"
    except (aiohttp.ClientError, OSError, ValueError, NotAllowed) as error:  # TimeoutError is an OSError
        return str(error) or type(error).__name__


def signature_headers(body: bytes, secret: str, now: float) -> dict[str, str]:
    """Return the headers that sign a webhook about human input, at a moment in seconds since the epoch."""
    timestamp = str(int(now))
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"X-Timestamp": timestamp, "X-Signature": f"sha256={digest}"}


def redact_url(url: str) -> str:
    """Return the URL without the parts that may contain a secret."""
    return str(URL(url).with_user(None).with_query(None).with_fragment(None))

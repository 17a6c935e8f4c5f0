"""Webhooks of real crews: kept before they are sent, sent in their order, tried again when the receiver is ill.

No crew waits for a receiver. What is due is in the store; memory holds one entry for each execution and URL.
"""

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Iterable

import aiohttp

from batchcrew.server.crews.store import Delivery, ExecutionStore
from batchcrew.server.webhook_sender import MAX_DELIVERIES, TIMEOUT, post, redact_url, wait_for_change

LOG = logging.getLogger("batchcrew.server")
RETRY_WAITS = (0.5, 2.0, 5.0, 15.0, 60.0)
"""Seconds before a delivery that failed is tried again; then it is given up."""
MAX_WAITING = 2000
"""Deliveries of one execution that may wait; what comes beyond is left out, and said once."""


class Outbox:
    """Sends what is kept.

    Args:
        now: seconds since the epoch.
        sleep: before a delivery that has failed is tried again.
    """

    def __init__(
        self, store: ExecutionStore, *, now: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._store = store
        self._now = now
        self._sleep = sleep
        self._due: list[tuple[float, int, str, str]] = []
        """A heap of moment, order, kickoff id and URL."""
        self._lines: set[tuple[str, str]] = set()
        """Executions and URLs that are in the heap or on the wire."""
        self._order = 0
        self._full: set[str] = set()
        """Executions of which something was left out."""
        self._changed = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self.sent = 0
        self.given_up = 0

    def start(self) -> None:
        """Begin to send, first what an earlier server has left."""
        for kickoff_id, url in self._store.deliveries():
            self._add(kickoff_id, url, self._now())
        self._work = asyncio.create_task(self._run(), name="outbox")

    async def close(self) -> None:
        """Stop; what was not sent stays in the store."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    def put(self, kickoff_id: str, calls: Iterable[tuple[str, str | None, bytes]]) -> None:
        """Send to each URL, with its Authorization header, a body."""
        found = list(calls)
        if not found:
            return
        if self._store.waiting_deliveries(kickoff_id) + len(found) > MAX_WAITING:
            if kickoff_id not in self._full:
                self._full.add(kickoff_id)
                LOG.warning("%d webhooks of %s wait for their receiver; more are left out", MAX_WAITING, kickoff_id)
            self.given_up += len(found)
            return
        self._store.add_deliveries([(kickoff_id, *call) for call in found])
        for url, _, _ in found:
            self._add(kickoff_id, url, self._now())

    def ended(self, kickoff_id: str) -> None:
        """Nothing more comes from that execution."""
        self._full.discard(kickoff_id)

    def waiting(self) -> int:
        """Executions and URLs that something is to be sent for."""
        return len(self._lines)

    def _add(self, kickoff_id: str, url: str, at: float, *, again: bool = False) -> None:
        if (kickoff_id, url) in self._lines and not again:
            return
        self._lines.add((kickoff_id, url))
        self._order += 1
        heapq.heappush(self._due, (at, self._order, kickoff_id, url))
        self._changed.set()

    async def _run(self) -> None:
        queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(maxsize=1)  # the rest waits in the heap
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(timeout=TIMEOUT, cookie_jar=jar) as session, asyncio.TaskGroup() as group:
            for number in range(MAX_DELIVERIES):
                group.create_task(self._send(queue, session), name=f"outbox-{number}")
            while True:
                self._changed.clear()
                if self._due and self._due[0][0] <= self._now():
                    _, _, kickoff_id, url = heapq.heappop(self._due)
                    await queue.put((kickoff_id, url))
                else:
                    await wait_for_change(
                        self._changed, self._due[0][0] - self._now() if self._due else None, self._sleep
                    )

    async def _send(self, queue: asyncio.Queue[tuple[str, str]], session: aiohttp.ClientSession) -> None:
        while True:
            kickoff_id, url = await queue.get()
            try:
                await self._send_next(session, kickoff_id, url)
            except Exception:  # a defect costs one execution's webhooks, not those of all
                self._lines.discard((kickoff_id, url))
                LOG.exception("webhooks of %s were given up", kickoff_id)

    async def _send_next(self, session: aiohttp.ClientSession, kickoff_id: str, url: str) -> None:
        delivery = self._store.next_delivery(kickoff_id, url)
        if delivery is None:
            self._lines.discard((kickoff_id, url))
            return
        problem = await post(session, url, delivery.body, delivery.authorization)
        wait = self._judged(delivery, problem)
        self._add(kickoff_id, url, self._now() + wait, again=True)

    def _judged(self, delivery: Delivery, problem: str | None) -> float:
        """Seconds until the execution's next delivery to this URL."""
        if problem and delivery.tries < len(RETRY_WAITS):
            self._store.tried(delivery)
            return RETRY_WAITS[delivery.tries]
        if problem:
            self.given_up += 1
            LOG.warning(
                "a webhook of %s to %s was given up: %s", delivery.kickoff_id, redact_url(delivery.url), problem
            )
        else:
            self.sent += 1
        self._store.done(delivery)
        return 0.0

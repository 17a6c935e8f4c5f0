"""Webhooks of real crews: stored before they are sent, sent in their order, and retried when the receiver fails.

No crew waits for a receiver. The webhooks are in the store; memory holds one entry per execution and URL.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable

import aiohttp

from batchcrew.server.crews.store import Delivery, ExecutionStore
from batchcrew.server.webhook_sender import WebhookSender, post, redact_url
from batchcrew.server.webhook_targets import WebhookTargets

LOG = logging.getLogger("batchcrew.server")
RETRY_WAITS = (0.5, 2.0, 5.0, 15.0, 60.0)
"""Seconds before each retry of a webhook; after the last one it is given up."""
MAX_WAITING = 2000
"""Webhooks of one execution that may wait; further ones are dropped, with one warning."""


class Outbox:
    """Sends the stored webhooks.

    Args:
        targets: where webhooks may be sent.
        now: returns seconds since the epoch.
        sleep: waits before a webhook is retried.
    """

    def __init__(
        self,
        store: ExecutionStore,
        *,
        targets: WebhookTargets,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._store = store
        self._targets = targets
        self._now = now
        self._sender = WebhookSender(self._deliver, targets=targets, now=now, sleep=sleep)
        self._queued: set[tuple[str, str]] = set()
        """Executions and URLs that the sender has."""
        self._full: set[str] = set()
        """Executions of which webhooks were dropped."""
        self.sent = 0
        self.given_up = 0

    def start(self) -> None:
        """Begin to send, first the webhooks that an earlier server left."""
        for kickoff_id, url in self._store.deliveries():
            self._add(kickoff_id, url)
        self._sender.start()

    async def close(self) -> None:
        """Stop; webhooks that were not sent remain in the store."""
        await self._sender.close()

    def put(self, kickoff_id: str, calls: Iterable[tuple[str, str | None, bytes]]) -> None:
        """Store webhooks (URL, Authorization header, body), and send them."""
        found = list(calls)
        if not found:
            return
        if self._store.waiting_deliveries(kickoff_id) + len(found) > MAX_WAITING:
            if kickoff_id not in self._full:
                self._full.add(kickoff_id)
                LOG.warning(
                    "%d webhooks of %s wait for their receiver; further ones are dropped", MAX_WAITING, kickoff_id
                )
            self.given_up += len(found)
            return
        self._store.add_deliveries([(kickoff_id, *call) for call in found])
        for url, _, _ in found:
            self._add(kickoff_id, url)

    def ended(self, kickoff_id: str) -> None:
        """Forget an execution that has no further webhooks."""
        self._full.discard(kickoff_id)

    def waiting(self) -> int:
        """Return for how many pairs of execution and URL a webhook waits."""
        return len(self._queued)

    def _add(self, kickoff_id: str, url: str) -> None:
        if (kickoff_id, url) not in self._queued:
            self._queued.add((kickoff_id, url))
            self._sender.add((kickoff_id, url), self._now())

    async def _deliver(self, session: aiohttp.ClientSession, key: tuple[str, str]) -> None:
        try:
            delivery = self._store.next_delivery(*key)
            if delivery is None:
                self._queued.discard(key)
                return
            problem = await post(session, self._targets, delivery.url, delivery.body, delivery.authorization)
            wait = self._record(delivery, problem)
        except Exception:
            self._queued.discard(key)
            raise
        self._sender.add(key, self._now() + wait)

    def _record(self, delivery: Delivery, problem: str | None) -> float:
        """Record how a delivery ended, and return the seconds until the next one to this URL."""
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

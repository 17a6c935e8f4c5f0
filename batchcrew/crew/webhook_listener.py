"""Receives the webhooks of crews: a small HTTP server next to the run.

Any program that can reach the port may send anything to it. A request without a valid token is answered before its body
is read. The bodies of the others wait in a bounded queue, so that a flood may drop webhooks but never stops the run.
"""

import asyncio
import errno
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeAlias

from aiohttp import web

from batchcrew.base.clock import Clock
from batchcrew.base.errors import UsageError
from batchcrew.config.webhooks import Address
from batchcrew.crew.human_webhooks import HumanWebhookCheck
from batchcrew.crew.payload import NotUnderstood
from batchcrew.crew.webhook_bodies import read_webhook
from batchcrew.crew.webhook_urls import Kind, addressee
from batchcrew.model.webhook import Webhook, WebhookCounts

logger = logging.getLogger("batchcrew.crew")
Receive: TypeAlias = Callable[[Webhook], Awaitable[None]]
"""Receives what a webhook reports."""

MAX_BODY = 4 * 2**20
"""Largest body in bytes; of a larger one only its arrival counts."""
MAX_QUEUED = 2000
"""Webhooks that wait to be read."""
MAX_QUEUED_BYTES = 32 * 2**20
MAX_READING = 64
"""Bodies that arrive at the same time."""
BODY_SECONDS = 10.0
"""How long a body may take to arrive."""
AT_ONCE = 20
"""Webhooks that are read before the run's other tasks continue."""
BACKLOG = 1024
SHUTDOWN_SECONDS = 1.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - known, not listened on


class WebhookListener:
    """An HTTP server for the webhooks of one batch. Use as an async context manager.

    Args:
        address: where to listen.
        secret: of the batch.
        counts: the counts of refused webhooks are added here.
        receive: receives each webhook that was understood. It must not raise.
        clock: the age of a signature is measured by it.
        human: decides which webhooks about human input come from the crew; None: they are not received.
    """

    def __init__(
        self,
        address: Address,
        secret: bytes,
        counts: WebhookCounts,
        receive: Receive,
        *,
        clock: Clock,
        human: HumanWebhookCheck | None = None,
    ) -> None:
        self._address = address
        self._secret = secret
        self._counts = counts
        self._receive = receive
        self._clock = clock
        self._human = human
        self._queue: deque[tuple[str, Kind, bytes | None]] = deque()
        self._queued_bytes = 0
        self._reading = 0
        self._some = asyncio.Event()
        self._read: asyncio.Task[None] | None = None
        self._open = AsyncExitStack()
        self.url = ""
        """URL on this machine, once it listens."""

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            UsageError: the address is in use or not valid.
        """
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._answer)
        async with AsyncExitStack() as stack:
            runner = web.AppRunner(
                app,
                access_log=None,
                handle_signals=False,
                shutdown_timeout=SHUTDOWN_SECONDS,
                lingering_time=0,
                keepalive_timeout=15,
            )
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await self._listen(runner)
            self._open = stack.pop_all()
        host, port = runner.addresses[0][:2]
        host = _EVERYWHERE.get(host, host)
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._read = asyncio.create_task(self._read_all(), name="webhooks")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()
        if self._read is not None:
            self._read.cancel()
            await asyncio.gather(self._read, return_exceptions=True)

    async def _listen(self, runner: web.AppRunner) -> None:
        address = self._address
        try:
            await web.TCPSite(runner, address.host, address.port, backlog=BACKLOG).start()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UsageError(
                    f"webhooks: {address} is in use by another program (another run, or `batchcrew listen`);"
                    " nothing was started; give another address with --webhook-listen, or port 0 for any free one"
                ) from error
            raise UsageError(
                f"webhooks: cannot listen on {address}: {error.strerror or error}; nothing was started;"
                " give another address with --webhook-listen"
            ) from error

    async def _answer(self, request: web.Request) -> web.Response:
        """Answer 503 to requests that may be sent again later, and 200 to all others."""
        named = addressee(self._secret, request.path)
        if named is None or request.method != "POST" or (named[1] == "human" and self._human is None):
            self._counts.forged += 1
            return _refused(404)
        self._counts.received += 1
        if len(self._queue) >= MAX_QUEUED or self._queued_bytes >= MAX_QUEUED_BYTES or self._reading >= MAX_READING:
            self._counts.dropped += 1
            return _refused(503)
        self._reading += 1
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body: bytes | None = await request.read()
        except web.HTTPRequestEntityTooLarge:
            self._counts.oversized += 1
            body = None
        except TimeoutError:
            self._counts.malformed += 1
            return _refused(408)
        finally:
            self._reading -= 1
        if named[1] == "human" and self._human is not None and body is not None:
            why = self._human.refusal(request.headers, body, self._clock.now())
            if why is not None:
                logger.debug("a webhook about human input is ignored: %s", why)
                self._counts.forged += 1
                return _refused(401)
        self._queue.append((*named, body))
        self._queued_bytes += len(body or b"")
        self._some.set()
        return web.Response() if body is not None else _refused(413)

    async def _read_all(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            for number in range(1, len(self._queue) + 1):
                attempt_id, kind, body = self._queue.popleft()
                self._queued_bytes -= len(body or b"")
                for webhook in self._understood(attempt_id, kind, body):
                    await self._receive(webhook)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
            if self._queue:
                self._some.set()

    def _understood(self, attempt_id: str, kind: Kind, body: bytes | None) -> list[Webhook]:
        if body is None:  # its token is valid: it may bring a poll forward
            return [Webhook(attempt_id=attempt_id, ended=kind == "crew")]
        try:
            return read_webhook(attempt_id, kind, body)
        except NotUnderstood:
            self._counts.malformed += 1
        except Exception:  # a defect in reading must not end the run
            self._counts.malformed += 1
            logger.exception("a webhook could not be read")
        return []


def _refused(status: int) -> web.Response:
    """Return an answer after which the connection is closed: the body is not read."""
    response = web.Response(status=status)
    response.force_close()
    return response

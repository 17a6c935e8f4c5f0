"""Starting and stopping the embedded crew server."""

import asyncio
import errno
import os
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aiohttp import web

from batchcrew.base.crew_details import CrewDetails
from batchcrew.base.descriptors import soft_limit
from batchcrew.base.errors import UsageError
from batchcrew.server.api.app import CrewApi, FaultSource
from batchcrew.server.api.connections import MOST_STRANGERS, Connections
from batchcrew.server.api.executor import Executor, ExecutorContext
from batchcrew.server.api.log import RequestLog, limit_lines, report_accept_errors
from batchcrew.server.executors import make_executor
from batchcrew.server.faults import ChanceFaults
from batchcrew.server.options import ServeOptions
from batchcrew.server.webhook_targets import WebhookTargets, is_local

SHUTDOWN_SECONDS = 5.0
"""How long to wait for requests that are being answered when the server stops."""
LINGERING_SECONDS = 1.0
"""How long to read the rest of a body that was refused (413), so that the client receives the answer."""
BACKLOG = 1024
"""Connections that may wait to be accepted: a load test opens many at once."""
ACCEPTED_AT_ONCE = 128
"""Connections that are accepted before any of them is looked at: each takes a descriptor."""
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - known, not listened on


def _most_strangers() -> int:
    """Return how many connections may be without a token: half of the descriptors, because the others are needed
    elsewhere."""
    limit = soft_limit()
    return MOST_STRANGERS if limit is None else max(16, min(MOST_STRANGERS, limit // 2 - ACCEPTED_AT_ONCE))


def steady_clock() -> Callable[[], float]:
    """Return a clock of seconds since the epoch that does not jump when the machine's time is set."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class CrewServer:
    """The embedded crew server. Use as an async context manager.

    Args:
        now: returns seconds since the epoch; default: a `steady_clock`.
        sleep: waits for webhooks, time limits and new workers.
        rng: decides faults and the outcomes of demo executions; default: seeded with the options' seed.
        warn: reports what crews do to each other; default: the log.
        faults: failures on purpose; default: random ones at the options' rates.
    """

    def __init__(
        self,
        options: ServeOptions | None = None,
        *,
        now: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
        faults: FaultSource | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.options = options or ServeOptions()
        self.token = self.options.token or secrets.token_urlsafe(24)
        self.url = ""
        """Set when the server has started."""
        self._targets = WebhookTargets(
            self.options.webhook_allow, local=is_local(self.options.host), inside=self.options.private
        )
        rng = rng or random.Random(self.options.seed)
        self._context = ExecutorContext(
            now=now or steady_clock(), sleep=sleep, rng=rng, targets=self._targets, warn=warn
        )
        self._faults = faults or ChanceFaults(self.options, rng)
        self._executor: Executor | None = None
        self._api: CrewApi | None = None
        self._open = AsyncExitStack()

    async def start(self) -> None:
        """Start to listen, and set `url`.

        Raises:
            UsageError: the address cannot be listened on, or the state file cannot be used.
        """
        limit_lines()
        async with AsyncExitStack() as stack:
            executor = make_executor(self.options, self._context)
            stack.push_async_callback(executor.close)
            await executor.open()
            api = CrewApi(self.options, token=self.token, executor=executor, targets=self._targets, faults=self._faults)
            runner = web.AppRunner(
                api.application(),
                access_log=None,
                logger=RequestLog(),
                handle_signals=False,
                shutdown_timeout=SHUTDOWN_SECONDS,
                lingering_time=LINGERING_SECONDS,
            )
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            listening = await self._listen(runner, stack)
            self._open = stack.pop_all()
        self._executor, self._api = executor, api
        host, port = listening.sockets[0].getsockname()[:2]
        host = _EVERYWHERE.get(host, host)
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _listen(self, runner: web.AppRunner, stack: AsyncExitStack) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        make = runner.server
        assert make is not None  # noqa: S101 - the runner is set up
        connections = Connections(make, call_later=loop.call_later, strangers=_most_strangers())
        host, port = self.options.host, self.options.port
        try:
            listening = await loop.create_server(connections, host, port, backlog=ACCEPTED_AT_ONCE, reuse_address=True)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UsageError(
                    f"port {port} on {host} is in use by another program; give another --port, or 0 for any free one"
                ) from error
            raise UsageError(
                f"cannot listen on {host}:{port}: {error.strerror or error}; give another --host or --port"
            ) from error
        stack.callback(connections.close)
        stack.callback(listening.close)  # before the runner's clean-up: no connection comes while requests end
        for one in listening.sockets:
            with socket.socket(fileno=os.dup(one.fileno())) as twin:
                twin.listen(BACKLOG)
        stack.callback(report_accept_errors(loop))
        return listening

    @property
    def name(self) -> str:
        """Return what is served, for messages."""
        return self._executor.name if self._executor else ""

    @property
    def details(self) -> CrewDetails | None:
        """Return what else is known about a real crew, if the options request it."""
        return self._executor.details if self._executor else None

    async def drain(self) -> None:
        """Accept no more kickoffs; return when no execution runs, or after the options' time to stop."""
        if self._executor is not None:
            await self._executor.drain()

    async def stop(self) -> None:
        """Stop listening, finish the requests that are being answered, and close everything. It may be called twice."""
        self._api = self._executor = None
        await self._open.aclose()

    @property
    def stats(self) -> dict[str, int]:
        """Return the same counts as `GET /stats`; nothing if the server has not started."""
        return self._api.stats() if self._api else {}

    def kickoffs_of(self, job: str) -> int:
        """Return how many executions there are of the batchcrew job with that id (`meta.batchcrew.job`)."""
        return self._executor.kickoffs_of(job) if self._executor else 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

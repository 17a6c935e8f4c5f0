"""Starting and stopping the embedded crew server."""

import asyncio
import errno
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aiohttp import web

from batchcrew.base.errors import UsageError
from batchcrew.server.api.app import CrewApi, FaultSource
from batchcrew.server.api.executor import Executor, ExecutorContext
from batchcrew.server.executors import make_executor
from batchcrew.server.faults import ChanceFaults
from batchcrew.server.options import ServeOptions

SHUTDOWN_SECONDS = 5.0
"""How long requests that are being answered may take once the server stops."""
LINGERING_SECONDS = 1.0
"""How long the rest of a body that was refused (413) is still read, so that the client sees why."""
BACKLOG = 1024
"""Connections that may wait to be taken: a load test opens many at once."""
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - known, not listened on


def steady_clock() -> Callable[[], float]:
    """Seconds since the epoch, read from the wall once: setting the machine's time moves no execution."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class CrewServer:
    """The embedded crew server. Use as an async context manager.

    Args:
        now: seconds since the epoch; executions are a function of it. Default: a `steady_clock`.
        sleep: used for webhooks, time limits and new workers.
        rng: what misbehaviour and the fate of executions are drawn from; default: seeded with the options' seed.
        faults: what goes wrong; by chance at the options' rates if not given.
    """

    def __init__(
        self,
        options: ServeOptions | None = None,
        *,
        now: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
        faults: FaultSource | None = None,
    ) -> None:
        self.options = options or ServeOptions()
        self.token = self.options.token or secrets.token_urlsafe(24)
        self.url = ""
        """Known once it has started."""
        rng = rng or random.Random(self.options.seed)
        self._context = ExecutorContext(now=now or steady_clock(), sleep=sleep, rng=rng)
        self._faults = faults or ChanceFaults(self.options, rng)
        self._executor: Executor | None = None
        self._api: CrewApi | None = None
        self._open = AsyncExitStack()

    async def start(self) -> None:
        """Listen; `url` is known afterwards.

        Raises:
            UsageError: the address cannot be listened on, or the state file cannot be used.
        """
        async with AsyncExitStack() as stack:
            executor = make_executor(self.options, self._context)
            stack.push_async_callback(executor.close)
            await executor.open()
            api = CrewApi(self.options, token=self.token, executor=executor, faults=self._faults)
            runner = web.AppRunner(
                api.application(),
                access_log=None,
                handle_signals=False,
                shutdown_timeout=SHUTDOWN_SECONDS,
                lingering_time=LINGERING_SECONDS,
            )
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await self._listen(runner)
            self._open = stack.pop_all()
        self._executor, self._api = executor, api
        host, port = runner.addresses[0][:2]
        host = _EVERYWHERE.get(host, host)
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _listen(self, runner: web.AppRunner) -> None:
        host, port = self.options.host, self.options.port
        try:
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UsageError(
                    f"port {port} on {host} is in use by another program; give another --port, or 0 for any free one"
                ) from error
            raise UsageError(
                f"cannot listen on {host}:{port}: {error.strerror or error}; give another --host or --port"
            ) from error

    @property
    def name(self) -> str:
        """What is served, for people."""
        return self._executor.name if self._executor else ""

    async def drain(self) -> None:
        """Accept no more kickoffs; return when nothing runs any more, or after the options' time to stop."""
        if self._executor is not None:
            await self._executor.drain()

    async def stop(self) -> None:
        """Stop listening, let requests be answered, close everything. Once is enough; twice does no harm."""
        self._api = self._executor = None
        await self._open.aclose()

    @property
    def stats(self) -> dict[str, int]:
        """The same as `GET /stats`; empty when it is not started."""
        return self._api.stats() if self._api else {}

    def kickoffs_of(self, job: str) -> int:
        """Executions that were started for the batchcrew job of that id (from `meta.batchcrew.job`)."""
        return self._executor.kickoffs_of(job) if self._executor else 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

"""Starting and stopping the embedded crew server."""

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from batchcrew.errors import UsageError
from batchcrew.server.app import CrewApi, FaultSource
from batchcrew.server.dialects import SPEECHES
from batchcrew.server.faults import ChanceFaults
from batchcrew.server.options import ServeOptions
from batchcrew.server.state import Executions
from batchcrew.server.webhooks import Webhooks

SHUTDOWN_SECONDS = 5.0
"""How long requests that are being answered may take once the server stops."""


class CrewServer:
    """The embedded crew server. Use as an async context manager.

    Args:
        now: seconds since the epoch; executions are a function of it.
        sleep: used for webhooks only.
        faults: what goes wrong; by chance at the options' rates if not given.
    """

    def __init__(
        self,
        options: ServeOptions | None = None,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: random.Random | None = None,
        faults: FaultSource | None = None,
    ) -> None:
        self.options = options or ServeOptions()
        self.token = self.options.token or secrets.token_urlsafe(24)
        self.url = ""
        self._now = now
        self._sleep = sleep
        self._chance = chance or random.Random(self.options.seed)
        self._faults = faults or ChanceFaults(self.options, self._chance)
        self._executions: Executions | None = None
        self._webhooks: Webhooks | None = None
        self._api: CrewApi | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; `url` is known afterwards.

        Raises:
            UsageError: the address cannot be listened on, or the state file cannot be used.
        """
        options = self.options
        self._executions = Executions(options.state, now=self._now())
        self._webhooks = Webhooks(SPEECHES[options.dialect], now=self._now, sleep=self._sleep)
        self._api = CrewApi(
            options,
            token=self.token,
            executions=self._executions,
            webhooks=self._webhooks,
            faults=self._faults,
            chance=self._chance,
            now=self._now,
        )
        self._runner = web.AppRunner(
            self._api.application(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, handle_signals=False
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, options.host, options.port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            await self.stop()
            raise UsageError(
                f"cannot listen on {options.host}:{options.port}: {error.strerror}; name another --host or --port"
            ) from error
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening, let requests be answered, close everything."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._webhooks is not None:
            await self._webhooks.close()
        if self._executions is not None:
            self._executions.close()

    @property
    def stats(self) -> dict[str, int]:
        """The same as `GET /stats`."""
        return self._api.stats() if self._api else {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

"""The clients of a run's crews, opened when they are needed."""

import asyncio
import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from batchcrew.app.fit_concurrency import fit_concurrency
from batchcrew.app.set_values import settings_in_force
from batchcrew.app.webhook_extras import kickoff_extras
from batchcrew.app.wiring import open_crews, open_former
from batchcrew.config.settings import RunSettings
from batchcrew.crew.extras import KickoffExtras
from batchcrew.engine import TICK_SECONDS, RunEnvironment, request_inputs
from batchcrew.jobfile import JobFile
from batchcrew.model.crew_answers import CrewInputs
from batchcrew.model.events import Event

if TYPE_CHECKING:
    from batchcrew.crew import CrewClient


class RunCrews:
    """Clients for the crews of a run, opened when the first is needed: a finished batch needs none.

    Args:
        base: settings of the job file and the command line.
        overrides: the values that `set` has replaced.
    """

    def __init__(
        self,
        jobfile: JobFile,
        base: RunSettings,
        ledger: Path,
        environment: RunEnvironment,
        *,
        overrides: Mapping[str, Any],
    ) -> None:
        self.jobfile = jobfile
        self.base = base
        self.overrides = overrides
        self._ledger = ledger
        self._environment = environment
        self._stack = AsyncExitStack()
        self._clients: dict[str, CrewClient] | None = None
        self.settings = settings_in_force(base, overrides, environment.warn, jobfile.crews)
        """The run's settings; `open` fits the concurrency to the file descriptors that are available."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def open(self) -> "Mapping[str, CrewClient]":
        """Return an open client for each crew."""
        if self._clients is None:
            self.settings, warning = await asyncio.to_thread(fit_concurrency, self.settings, self.jobfile.crews)
            if warning is not None:
                self._environment.warn(warning)
            opening = open_crews(
                self.jobfile,
                concurrency=self.settings.most_in_progress,
                ledger=self._ledger,
                clock=self._environment.clock,
                warn=self._environment.warn,
                stop=self._environment.stop,
            )
            self._clients = await self._stack.enter_async_context(opening)
        return self._clients

    @property
    def slots(self) -> int:
        """The most executions of all crews together that may be in progress."""
        most = self.settings.most_in_progress
        return min(most, sum(min(crew.concurrency or most, most) for crew in self.jobfile.crews.values()))

    async def name_webhooks(self, received: KickoffExtras) -> None:
        """Let kickoffs name their webhooks from now on.

        Args:
            received: the fields of the webhooks that the run receives itself.
        """
        for name, client in (await self.open()).items():
            client.extras = kickoff_extras(self.jobfile.crews[name], self.settings, received)

    async def resize(self, settings: RunSettings) -> RunSettings:
        """Prepare the open clients for other settings; return the settings, fitted to the file descriptors.

        Raises:
            UsageError: there are not even descriptors for one execution at a time.
        """
        fitted, warning = await asyncio.to_thread(fit_concurrency, settings, self.jobfile.crews)
        if warning is not None:
            self._environment.warn(warning)
        for name, client in (self._clients or {}).items():
            most = fitted.most_in_progress
            client.widen(min(self.jobfile.crews[name].concurrency or most, most))
        self.settings = fitted
        return fitted

    def open_former(
        self, addresses: Iterable[tuple[str, str]]
    ) -> "AbstractAsyncContextManager[dict[tuple[str, str], CrewClient]]":
        """Open clients for (crew, address) pairs at which the crews were before; see `wiring.open_former`."""
        return open_former(
            self.jobfile,
            addresses,
            concurrency=self.settings.most_in_progress,
            clock=self._environment.clock,
            warn=self._environment.warn,
        )

    async def request_inputs(self, names: frozenset[str], *, once: bool) -> Mapping[str, CrewInputs | None]:
        """Request the inputs of these crews.

        Args:
            once: True in a tick.
        """
        clients = await self.open()
        # a tick requests them once more when it begins to work, and reports then what fails
        environment = replace(self._environment, observe=_ignore) if once else self._environment
        return await request_inputs(
            {name: clients[name] for name in sorted(names)},
            environment,
            self.settings,
            single_pass=once,
            longest=TICK_SECONDS if once else self.settings.max_runtime or math.inf,
        )


def _ignore(event: Event) -> None:
    del event

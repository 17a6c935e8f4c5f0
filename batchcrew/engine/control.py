"""Apply the commands that other processes give to the batch of a run: pause, set, cancel, stop.

They reach the run through the ledger, where a run looks each second and a tick at its start. What they change is there
before this run reads it, so nothing is lost if the run is killed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from batchcrew.base.errors import LedgerError, UsageError
from batchcrew.engine.context import RunContext
from batchcrew.engine.in_progress import InProgress
from batchcrew.model.attempt import Attempt
from batchcrew.model.control import Control, Given
from batchcrew.model.events import Controlled
from batchcrew.model.run import StopReason

CONTROL_SECONDS = 1.0
"""How often a run looks for commands."""


class RunControl:
    """The commands that apply to a run.

    Args:
        in_doubt: kickoffs in doubt of earlier runs that are not settled yet.
        changed: set when a command has arrived; the loop then calls `apply`.
        settings_changed: called with the reason after `context.settings` was replaced.
    """

    def __init__(
        self,
        context: RunContext,
        in_progress: InProgress,
        in_doubt: Mapping[str, Sequence[Attempt]],
        changed: asyncio.Event,
        settings_changed: Callable[[str], Awaitable[None]],
    ) -> None:
        self._context = context
        self._in_progress = in_progress
        self._in_doubt = in_doubt
        self._changed = changed
        self._settings_changed = settings_changed
        self._due = context.changer is not None
        self._version = 0
        self._letting_go = 0
        self._overrides: Mapping[str, Any] | None = None
        self._pause: Given | None = None

    @property
    def paused_by(self) -> str:
        """Who has paused the batch, and why; empty while it is not paused."""
        return "" if self._pause is None else str(self._pause)

    async def watch(self) -> None:
        """Look for commands until the task is cancelled."""
        context = self._context
        while context.changer is not None:
            await context.clock.sleep(CONTROL_SECONDS)
            try:
                version = await context.ledger.control_version(context.batch)
            except LedgerError:  # the next transition reports the error
                continue
            if version != self._version or self._letting_go:
                self._due = True
                self._changed.set()

    async def apply(self) -> None:
        """Apply what has arrived since the last call.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        if not self._due:
            return
        self._due = False
        context = self._context
        control = await context.ledger.control(context.batch, context.run_id)
        self._version = control.version
        await self._let_go(control)
        await self._change_settings(control)
        self._change_pause(control.pause)
        if control.stop is not None:
            context.stop.request(StopReason.COMMAND, f"stopped {control.stop}", leave=not context.stop.drains)

    def stop_if_paused(self) -> bool:
        """Stop the run because of a pause, when only pending jobs are left. Return whether it does."""
        if self._pause is None:
            return False
        self._context.stop.request(StopReason.PAUSED, f"paused {self._pause}", leave=False)
        return True

    async def finish(self) -> None:
        """Cancel the requested executions that are not watched any more. Call it when the run has ended."""
        if self._letting_go:
            await self._context.ledger.let_go(self._context.batch)

    async def _let_go(self, control: Control) -> None:
        self._letting_go = control.letting_go
        if control.letting_go:
            unsettled = [attempt.job_key for attempts in self._in_doubt.values() for attempt in attempts]
            jobs = [*self._in_progress.jobs(), *unsettled]
            found = await self._context.ledger.let_go(self._context.batch, jobs)
            for job, given in found:
                self._in_progress.let_go(job, given)
            self._letting_go = len(found)

    async def _change_settings(self, control: Control) -> None:
        changer, overrides = self._context.changer, control.overrides
        if changer is None or overrides == self._overrides:
            return
        first, self._overrides = self._overrides is None, overrides
        try:
            settings = await changer.apply(overrides)
        except UsageError as error:
            self._context.warn(f"the settings of `set` are not used: {error}")
            return
        if settings != self._context.settings:
            self._context.settings = settings
            latest = max((each.given for each in control.settings.values()), key=lambda given: given.at, default=None)
            await self._settings_changed("settings were reset" if latest is None else f"set {latest}")
        if not first:
            self._context.observe(Controlled(_settings_text(control)))

    def _change_pause(self, pause: Given | None) -> None:
        before, self._pause = self._pause, pause
        self._context.paused = pause is not None
        if pause is not None and before is None:
            self._context.observe(Controlled(f"paused {pause}: no new jobs will start"))
        elif pause is None and before is not None:
            self._context.observe(Controlled("unpaused: jobs start again"))


def _settings_text(control: Control) -> str:
    if not control.settings:
        return "settings were reset to those of the job file and the command line"
    shown = ", ".join(f"{name}={each.value}" for name, each in control.settings.items())
    return f"settings: {shown}"

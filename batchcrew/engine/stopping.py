"""Stop a run: record why no new jobs start, and whether the run waits for the executions in progress."""

import asyncio

from batchcrew.model.run import StopReason


class Stop:
    """A run's stop, requested by a signal, a limit or a crew that cannot be used.

    `leave` means that executions remain `kicked_off` for the next run; without it, the run waits for them.
    The first reason is kept, and a later request may only turn waiting into leaving. There is one exception: a crew
    that becomes unusable while the run waits replaces the reason, because the exit code must report it.

    Args:
        drains: a stop that an operator requests waits for the executions in progress (`--drain`).
    """

    def __init__(self, *, drains: bool = False) -> None:
        self.drains = drains
        self.reason: StopReason | None = None
        self.detail = ""
        self.leave = False
        self.changed = asyncio.Event()

    @property
    def requested(self) -> bool:
        return self.reason is not None

    def leaving(self) -> bool:
        """Return whether the executions in progress are left to the next run; the answer may change at each await."""
        return self.leave

    def request(self, reason: StopReason, detail: str, *, leave: bool) -> None:
        """Start no new jobs from now on."""
        if self.reason is None or (reason is StopReason.CREW_UNUSABLE and not self.leave):
            self.reason, self.detail = reason, detail
        self.leave = self.leave or leave
        self.changed.set()

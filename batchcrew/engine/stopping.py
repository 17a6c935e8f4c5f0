"""Why nothing new starts any more, and whether what is in flight is waited for."""

import asyncio

from batchcrew.model.run import StopReason


class Stop:
    """A run's stop, asked for by a signal, a limit or a crew that cannot be worked with.

    `leave` means that executions stay `kicked_off` for the next run; without it they are waited for.
    The first reason is kept; a later one may still turn waiting into leaving. A crew that turns out to be unusable
    while executions are waited for is the reason from then on: the exit code must say so.
    """

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self.detail = ""
        self.leave = False
        self.changed = asyncio.Event()

    @property
    def requested(self) -> bool:
        return self.reason is not None

    def leaving(self) -> bool:
        """Whether what is in flight is left for the next run; asked again after each wait."""
        return self.leave

    def request(self, reason: StopReason, detail: str, *, leave: bool) -> None:
        """Start nothing new from now on."""
        if self.reason is None or (reason is StopReason.CREW_UNUSABLE and not self.leave):
            self.reason, self.detail = reason, detail
        self.leave = self.leave or leave
        self.changed.set()

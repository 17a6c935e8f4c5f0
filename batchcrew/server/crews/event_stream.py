"""The webhooks for the library's events: several events in one webhook, or each one immediately (`realtime`)."""

import asyncio
from collections.abc import Awaitable, Callable

from batchcrew.server.workers.messages import LibraryEvent

BATCH_SECONDS = 2.0
"""Longest time that an event waits for further events."""
BATCH_EVENTS = 50
"""Most events in one webhook."""


class EventStream:
    """Collects the events of all executions.

    Args:
        send: sends events of one execution, given its kickoff id.
        sleep: waits for further events.
    """

    def __init__(
        self, send: Callable[[str, list[LibraryEvent]], None], *, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._send = send
        self._sleep = sleep
        self._collected: dict[str, list[LibraryEvent]] = {}
        self._some = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send."""
        self._work = asyncio.create_task(self._run(), name="event stream")

    async def close(self) -> None:
        """Send the collected events, and stop."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        self._flush_all()

    def add(self, event: LibraryEvent, *, realtime: bool) -> None:
        """Add an event."""
        collected = self._collected.setdefault(event.kickoff_id, [])
        collected.append(event)
        if realtime or len(collected) >= BATCH_EVENTS:
            self.flush(event.kickoff_id)
        else:
            self._some.set()

    def flush(self, kickoff_id: str) -> None:
        """Send the collected events of an execution."""
        events = self._collected.pop(kickoff_id, None)
        if events:
            self._send(kickoff_id, events)

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            await self._sleep(BATCH_SECONDS)
            self._flush_all()

    def _flush_all(self) -> None:
        for kickoff_id in list(self._collected):
            self.flush(kickoff_id)

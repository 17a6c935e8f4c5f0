"""The stream of the library's own events: gathered for a few seconds, or sent one by one (`realtime`)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

Event: TypeAlias = Mapping[str, Any]
BATCH_SECONDS = 2.0
"""Longest time that an event waits for others."""
BATCH_EVENTS = 50
"""Most events that are sent together."""


class EventStream:
    """Gathers the events of all executions.

    Args:
        send: takes the kickoff id and its events.
        sleep: how the gathering is timed.
    """

    def __init__(self, send: Callable[[str, list[Event]], None], *, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._send = send
        self._sleep = sleep
        self._gathered: dict[str, list[Event]] = {}
        self._some = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send."""
        self._work = asyncio.create_task(self._run(), name="event stream")

    async def close(self) -> None:
        """Send what is gathered, and stop."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        self._flush_all()

    def add(self, kickoff_id: str, event: Event, *, realtime: bool) -> None:
        """Take an event."""
        gathered = self._gathered.setdefault(kickoff_id, [])
        gathered.append(event)
        if realtime or len(gathered) >= BATCH_EVENTS:
            self.flush(kickoff_id)
        else:
            self._some.set()

    def flush(self, kickoff_id: str) -> None:
        """Send what is gathered of an execution: it has ended."""
        events = self._gathered.pop(kickoff_id, None)
        if events:
            self._send(kickoff_id, events)

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            await self._sleep(BATCH_SECONDS)
            self._flush_all()

    def _flush_all(self) -> None:
        for kickoff_id in list(self._gathered):
            self.flush(kickoff_id)

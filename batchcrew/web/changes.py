"""Report that the ledger has changed, as server-sent events, while a browser watches.

A look is three calls of stat on the ledger's files, and whether a run holds the batch: nothing is opened and nothing is
read, so that a run in another process is not slowed down. The pages read the ledger when the browser requests them.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from batchcrew.base.clock import Clock
from batchcrew.ledger import change_stamp, is_held

LOOK_SECONDS = 0.5
SETTLED_LOOKS = 3
"""Looks after the last change until one more is reported: a run releases its batch after its last commit."""
RUNNING_LOOKS = 20
"""Looks after which a change is reported while a run holds a watched batch: ages are shown."""
HEARTBEAT_SECONDS = 15.0
"""How often an idle connection is written to, so that a closed one is noticed."""


class Changes:
    """Watches a ledger while at least one browser does.

    Args:
        ledger: need not exist.
    """

    def __init__(self, ledger: Path, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._watched: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.looks = 0
        """Number of checks of the ledger."""
        self.version = 0
        """Incremented with each change."""
        self.closed = False

    @asynccontextmanager
    async def watching(self, batch: str) -> AsyncIterator[None]:
        """Watch the ledger during the block.

        Args:
            batch: the batch that is shown; empty: all.
        """
        self._watched[batch] += 1
        if self._task is None:
            self._task = asyncio.create_task(self._look_again_and_again(), name="ledger-changes")
        try:
            yield
        finally:
            self._watched[batch] -= 1
            self._watched += Counter()  # removes those that are 0
            if not self._watched and self._task is not None:
                task, self._task = self._task, None
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def next(self, seen: int) -> int:
        """Wait for a change after the version `seen`. Return the version: the same one if none came for a while."""
        if self.version == seen:
            await self._clock.wait(self._changed, HEARTBEAT_SECONDS)
        return self.version

    def close(self) -> None:
        """End all waits."""
        self.closed = True
        self._report()

    def _report(self) -> None:
        self.version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _look_again_and_again(self) -> None:
        before = await self._look()
        since_change = SETTLED_LOOKS
        since_report = 0
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            now = await self._look()
            since_change = 0 if now != before else since_change + 1
            since_report += 1
            is_running = bool(now[1])
            before = now
            if since_change in (0, SETTLED_LOOKS) or (is_running and since_report >= RUNNING_LOOKS):
                since_report = 0
                self._report()

    async def _look(self) -> tuple[object, frozenset[str]]:
        self.looks += 1
        watched = [batch for batch in self._watched if batch]
        return await asyncio.to_thread(_look, self._ledger, watched)


def _look(ledger: Path, batches: list[str]) -> tuple[object, frozenset[str]]:
    return change_stamp(ledger), frozenset(batch for batch in batches if is_held(ledger, batch))


async def events(request: web.Request, changes: Changes) -> web.StreamResponse:
    """Send `changed` after each change, until the browser closes the connection."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    with suppress(ConnectionResetError):  # the browser has closed the page
        async with changes.watching(request.query.get("batch", "")):
            await response.write(b"retry: 1000\n\n")
            seen = changes.version
            while not changes.closed:
                version = await changes.next(seen)
                await response.write(b": still here\n\n" if version == seen else b"event: changed\ndata: 1\n\n")
                seen = version
    return response

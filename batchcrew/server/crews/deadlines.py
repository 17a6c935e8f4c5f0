"""Time limits of many executions, with one timer."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable

from batchcrew.server.waiting import wait_for_change


class Deadlines:
    """Calls `passed` with the id of each execution that reaches its time limit.

    Args:
        now: returns seconds.
        sleep: waits until the next time limit.
    """

    def __init__(
        self, passed: Callable[[str], None], *, now: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._passed = passed
        self._now = now
        self._sleep = sleep
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._changed = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch the time limits."""
        self._work = asyncio.create_task(self._run(), name="deadlines")

    async def close(self) -> None:
        """Stop watching."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    def set(self, kickoff_id: str, seconds: float) -> None:
        """Set the execution's time limit, in seconds from now."""
        at = self._now() + seconds
        self._at[kickoff_id] = at
        heapq.heappush(self._heap, (at, kickoff_id))
        self._changed.set()

    def clear(self, kickoff_id: str) -> float | None:
        """Remove the execution's time limit, and return the seconds that were left; None if it had no limit."""
        at = self._at.pop(kickoff_id, None)
        return None if at is None else max(0.0, at - self._now())

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
                heapq.heappop(self._heap)  # its limit was removed or changed
            if not self._heap:
                await self._changed.wait()
            elif self._heap[0][0] <= self._now():
                _, kickoff_id = heapq.heappop(self._heap)
                del self._at[kickoff_id]
                self._passed(kickoff_id)
            else:
                await wait_for_change(self._changed, self._heap[0][0] - self._now(), self._sleep)

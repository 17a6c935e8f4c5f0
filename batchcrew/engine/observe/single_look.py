"""The single look: how a tick watches an execution."""

from datetime import timedelta

from batchcrew.base.clock import Clock, to_text
from batchcrew.engine.observe.polling import StatusRequests
from batchcrew.engine.observe.watcher import NotDue, Observed


class SingleLook:
    """Polls an execution if it is due now, and reports when it will be due: a tick waits for nothing."""

    def __init__(self, requests: StatusRequests, clock: Clock) -> None:
        self._requests = requests
        self._clock = clock

    async def next(self, *, within: float) -> Observed:
        """Poll if a poll is due (see `Watcher.next`)."""
        wait = self._requests.due_in(within)
        if wait > 0:
            return NotDue(
                self._requests.sent, to_text(self._clock.now() + timedelta(seconds=wait)), self._empty_since()
            )
        await self._clock.sleep(wait)
        return await self._requests.send()

    def _empty_since(self) -> str | None:
        since = self._requests.settling.since
        if since is None:
            return None
        return to_text(self._clock.now() - timedelta(seconds=self._clock.monotonic() - since))

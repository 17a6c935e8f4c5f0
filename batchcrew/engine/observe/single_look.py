"""Watch an execution in a tick: poll it once if it is due."""

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
            requests = self._requests
            return NotDue(
                polls=requests.sent,
                next_at=to_text(self._clock.now() + timedelta(seconds=wait)),
                empty_since=self._text(requests.settling.since),
                running_at=self._text(requests.running_at),
            )
        await self._clock.sleep(wait)
        return await self._requests.send()

    def _text(self, moment: float | None) -> str | None:
        """Return a monotonic moment as the ledger writes it."""
        if moment is None:
            return None
        return to_text(self._clock.now() - timedelta(seconds=self._clock.monotonic() - moment))

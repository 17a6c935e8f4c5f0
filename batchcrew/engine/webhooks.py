"""Deliver the webhooks of a run: a mailbox for each attempt in progress, and whether a crew's webhooks arrive.

A webhook is a hint. It brings the next poll forward and shows progress; the answer to the poll decides. Only with
`webhooks: {trust: true}` does the result in a webhook count.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from batchcrew.base.clock import Clock
from batchcrew.config.webhooks import WebhookSettings
from batchcrew.crew.extras import KickoffExtras, no_extras
from batchcrew.model.attempt import Attempt
from batchcrew.model.events import Announced, Observe
from batchcrew.model.webhook import Webhook, WebhookCounts

REPEATED_SECONDS = 5.0
"""A further webhook about the end of an execution brings a poll forward only after this time."""
MAX_EARLY = 1000
"""Attempts without a mailbox whose webhooks are kept: an earlier run's attempt may be resumed a little later."""
MAX_TASKS = 1000
"""Tasks of one execution that are counted."""
PROVEN_TIMES = 3
PROVEN_SHARE = 0.9
_MEMORY = 0.95
"""Weight of an execution in a crew's share of webhooks that arrive, relative to the one after it."""


class Mailbox:
    """The reports of webhooks about one attempt."""

    def __init__(self, attempt: Attempt, clock: Clock, counts: WebhookCounts) -> None:
        self.attempt = attempt
        self.changed = asyncio.Event()
        self.counts = counts
        self.announced = False
        """Whether any webhook has reported the end."""
        self.announced_at = 0.0
        """Monotonic moment at which the latest one arrived."""
        self.current_task: str | None = None
        self._kickoff_id = attempt.kickoff_id
        self._reported_id: str | None = None
        self._end: Webhook | None = None
        self._tasks: set[str] = set()
        self._progressed = False
        self._paused = False
        self._paused_at = -REPEATED_SECONDS
        self._clock = clock

    @property
    def completed_tasks(self) -> int:
        return len(self._tasks)

    def add(self, webhook: Webhook) -> None:
        """Add a webhook; one that repeats or contradicts what is known changes nothing."""
        known = self._kickoff_id or self._reported_id
        if webhook.kickoff_id is not None:
            if known is not None and known != webhook.kickoff_id:
                self.counts.mismatched += 1
                return
            self._reported_id = webhook.kickoff_id
        if webhook.ended:
            self._add_end(webhook)
        elif webhook.paused:
            self._add_pause()
        elif webhook.task is not None or webhook.current_task is not None:
            self._add_progress(webhook)
        if self._kickoff_id is None or self._end is not None or self._progressed or self._paused:
            self.changed.set()

    def _add_end(self, webhook: Webhook) -> None:
        now = self._clock.monotonic()
        if self.announced and now - self.announced_at < REPEATED_SECONDS:
            self.counts.repeated += 1
            return
        self._end, self.announced, self.announced_at = webhook, True, now

    def _add_pause(self) -> None:
        now = self._clock.monotonic()
        if self.announced or now - self._paused_at < REPEATED_SECONDS:
            self.counts.repeated += 1
            return
        self._paused, self._paused_at = True, now

    def _add_progress(self, webhook: Webhook) -> None:
        if webhook.task in self._tasks or len(self._tasks) >= MAX_TASKS or self.announced:
            self.counts.repeated += webhook.task in self._tasks
            return
        if webhook.task is not None:
            self._tasks.add(webhook.task)
            self.current_task = None
        elif webhook.current_task not in self._tasks:  # its start may arrive after its end
            self.current_task = webhook.current_task
        self.counts.progress += 1
        self._progressed = True

    def accept(self, kickoff_id: str) -> None:
        """Record the kickoff_id that the crew answered with; forget what was reported about another one."""
        if self._reported_id is not None and self._reported_id != kickoff_id:
            self.counts.mismatched += 1
            self._end, self.announced = None, False
        self._kickoff_id = kickoff_id

    def take_end(self) -> Webhook | None:
        """Return the webhook that reports the end, once."""
        end, self._end = self._end, None
        return end

    def take_pause(self) -> bool:
        """Return whether a webhook has reported since the last call that the execution waits for human input."""
        paused, self._paused = self._paused, False
        return paused

    def take_progress(self) -> bool:
        """Return whether a webhook has shown progress since the last call."""
        progressed, self._progressed = self._progressed, False
        return progressed

    async def kickoff_id(self, within: float) -> str | None:
        """Wait for a webhook that names the execution's kickoff_id; None if none comes within these seconds."""
        until = self._clock.monotonic() + within
        while self._reported_id is None:
            left = until - self._clock.monotonic()
            if left <= 0:
                return None
            self.changed.clear()
            await self._clock.wait(self.changed, left)
        return self._reported_id


@dataclass(slots=True)
class _Arrivals:
    """How many executions of a crew were announced by a webhook before a poll found their end."""

    times: int = 0
    announced: float = 0.0
    ended: float = 0.0

    def add(self, *, announced: bool) -> None:
        self.times += announced
        self.announced = self.announced * _MEMORY + announced
        self.ended = self.ended * _MEMORY + 1

    @property
    def proven(self) -> bool:
        return self.times >= PROVEN_TIMES and self.announced >= PROVEN_SHARE * self.ended


class Webhooks:
    """The webhooks of a run.

    Args:
        store: keeps a webhook for an attempt that this run does not have in progress; the next run reads it.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        *,
        clock: Clock,
        store: Callable[[Webhook], None],
        observe: Observe,
    ) -> None:
        self.settings = settings
        self.counts = WebhookCounts()
        self.base = ""
        """URL at which crews reach this run, once it listens."""
        self.fields: KickoffExtras = no_extras
        """Returns the webhook fields of a kickoff, once the run listens."""
        self.record: Callable[[Mapping[str, int]], None] = _record_nowhere
        """Records the counts, once the run has its id."""
        self._recorded = self.counts.as_dict()
        self._any_in_doubt = False
        self._observe = observe
        self._clock = clock
        self._store = store
        self._boxes: dict[str, Mailbox] = {}
        self._early: OrderedDict[str, Webhook] = OrderedDict()
        self._unannounced: OrderedDict[str, str] = OrderedDict()
        """Ended attempts without a webhook so far, with their crew's address."""
        self._arrivals: dict[str, _Arrivals] = {}

    def open(self, attempt: Attempt) -> Mailbox:
        """Return the mailbox of an attempt that begins or is resumed, with what has arrived for it already."""
        box = self._boxes[attempt.attempt_id] = Mailbox(attempt, self._clock, self.counts)
        early = self._early.pop(attempt.attempt_id, None)
        if early is not None:
            box.add(early)
        return box

    def close(self, attempt: Attempt) -> None:
        """Forget the mailbox of an attempt."""
        self._boxes.pop(attempt.attempt_id, None)

    def first_in_doubt(self) -> bool:
        """Return whether this is the first call: only the first kickoff in doubt of a run is reported."""
        first, self._any_in_doubt = not self._any_in_doubt, True
        return first

    def proven(self, address: str) -> bool:
        """Return whether the webhooks of the crew at this address arrive."""
        arrivals = self._arrivals.get(address)
        return arrivals is not None and arrivals.proven

    def ended(self, attempt: Attempt, address: str, *, announced: bool) -> None:
        """Record that a poll has found the end of an execution, and whether a webhook came before it."""
        self._arrivals.setdefault(address, _Arrivals()).add(announced=announced)
        if not announced:
            _add_bounded(self._unannounced, attempt.attempt_id, address)

    async def receive(self, webhook: Webhook) -> None:
        """Deliver a webhook whose token is valid."""
        if webhook.contradicts_itself:
            self.counts.mismatched += 1
            return
        box = self._boxes.get(webhook.attempt_id)
        if box is None:
            self._without_mailbox(webhook)
            return
        announced = box.announced
        box.add(webhook)
        if box.announced and not announced:
            self._observe(Announced(box.attempt))

    def start_counting(self, record: Callable[[Mapping[str, int]], None], *, found_again: int) -> None:
        """Record the counts with this function from now on, as the run has its id.

        Args:
            found_again: jobs on hold whose executions stored webhooks have named, before the run had its id.
        """
        self.record = record
        self.counts.found_again += found_again
        self.record(self.counts.as_dict())

    def record_counts(self) -> None:
        """Record the counts if they have changed."""
        counts = self.counts.as_dict()
        if counts != self._recorded:
            self.record(counts)
            self._recorded = counts

    def restore(self, webhook: Webhook) -> None:
        """Deliver a webhook that was stored for a run, now or when its attempt is resumed."""
        self.counts.received += 1
        box = self._boxes.get(webhook.attempt_id)
        if box is not None:
            box.add(webhook)
        else:
            _add_bounded(self._early, webhook.attempt_id, webhook)

    def _without_mailbox(self, webhook: Webhook) -> None:
        self.counts.late += 1
        address = self._unannounced.pop(webhook.attempt_id, None) if webhook.ended else None
        if address is not None:  # the poll was a little faster
            self._arrivals[address].times += 1
            self._arrivals[address].announced += 1
        before = self._early.get(webhook.attempt_id)
        kept = webhook if before is None else _merged(before, webhook)
        if kept != before and (kept.ended or kept.paused or kept.kickoff_id is not None):
            _add_bounded(self._early, webhook.attempt_id, kept)
            self._store(kept)


def _record_nowhere(counts: Mapping[str, int]) -> None:
    del counts


def _merged(before: Webhook, after: Webhook) -> Webhook:
    """Return two webhooks of an attempt as one; where they differ, the first one counts."""
    return replace(
        before,
        kickoff_id=before.kickoff_id or after.kickoff_id,
        ended=before.ended or after.ended,
        paused=before.paused or after.paused,
        body=before.body or after.body,
    )


def _add_bounded(kept: "OrderedDict[str, Any]", key: str, value: Any) -> None:
    kept[key] = value
    if len(kept) > MAX_EARLY:
        kept.popitem(last=False)

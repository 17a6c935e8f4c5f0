"""The demo crew's webhooks for tasks, steps and the crew; they are really sent, and never delay an execution."""

import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

import aiohttp

from batchcrew.server.demo import crew
from batchcrew.server.demo.execution import Record, report, step_report, task_ends, task_report, view
from batchcrew.server.demo.store import Callbacks, DemoStore
from batchcrew.server.demo.webhook_faults import Disturbance, Extra, WebhookFaults
from batchcrew.server.dialects.dialect_format import PAUSED, DialectFormat, meta_field
from batchcrew.server.webhook_sender import WebhookSender, post, redact_url, signature_headers
from batchcrew.server.webhook_targets import WebhookTargets

LOG = logging.getLogger("batchcrew.server")
Key: TypeAlias = tuple[str, int] | Extra
"""The kickoff id and the number of failed tries, one for each execution with webhooks; or a disturbed webhook."""
RETRY_WAITS = (0.5, 2.0, 5.0)
"""Seconds before each retry of a webhook; after the last one it is given up."""


@dataclass(frozen=True, slots=True)
class Call:
    """One webhook of an execution."""

    at: float
    """When it is due, in seconds since the epoch."""
    url: str
    task: int | None = None
    """Its task, counted from 0; None is the crew's own."""
    thought: bool = False
    """True: a step of that task, False: its end."""
    event: str | None = None
    """Name of the event of the library that it reports."""
    human: bool = False
    """It reports that the execution waits for human input."""


def calls(record: Record, urls: Mapping[str, str], events: Sequence[str] = ()) -> list[Call]:
    """Return the webhooks that an execution sends to these URLs, in their order."""
    step_url, task_url, crew_url = (urls.get(f"{kind}WebhookUrl") for kind in ("step", "task", "crew"))
    human_url = urls.get("humanInputWebhook")
    ends = task_ends(record)
    found: list[Call] = []
    stream = urls.get("webhooks")
    begins = record.started

    def add_event(name: str, at: float, task: int | None) -> None:
        if stream and name in events:
            found.append(Call(at, stream, task, event=name))

    for number, end in enumerate([*ends, record.ends][: len(crew.TASKS)]):
        add_event("task_started", begins, number)
        if step_url:
            done = record.review.pause_at if record.review is not None and number == 0 else end
            found.append(Call((begins + done) / 2, step_url, number, thought=True))
        if human_url and record.review is not None and number == 0:
            found.append(Call(record.review.pause_at, human_url, number, human=True))
        if task_url and number < len(ends):
            found.append(Call(end, task_url, number))
        add_event("task_completed" if number < len(ends) else "task_failed", end, number)
        begins = end
    add_event("crew_kickoff_failed" if record.fails else "crew_kickoff_completed", record.ends, None)
    if crew_url:
        found.append(Call(record.ends, crew_url))
    return found


class Webhooks:
    """Sends the webhooks that kickoffs requested; those of one execution in their order.

    Args:
        faults: webhooks that go wrong on purpose.
        targets: where webhooks may be sent.
        secret: signs the webhooks about human input; None: they are not signed.
        now: returns seconds since the epoch.
        sleep: waits until a webhook is due.
    """

    def __init__(
        self,
        dialect_format: DialectFormat,
        executions: DemoStore,
        *,
        faults: WebhookFaults,
        targets: WebhookTargets,
        secret: str | None = None,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._faults = faults
        self._targets = targets
        self._secret = secret
        self._format = dialect_format
        self._executions = executions
        self._now = now
        self._sender = WebhookSender[Key](self._deliver, targets=targets, now=now, sleep=sleep)

    def start(self) -> None:
        """Begin to send, first the webhooks that an earlier server with the same state file left."""
        for kickoff_id in self._executions.calling_back():
            self._add_next(kickoff_id)
        self._sender.start()

    def add(self, record: Record, callbacks: Callbacks) -> None:
        """Send webhooks as the tasks and the crew of an execution end."""
        found = calls(record, callbacks.urls, callbacks.events)
        if found:
            self._send_at((record.kickoff_id, 0), found[0].at)
        else:
            self._executions.set_callbacks(record.kickoff_id, None)

    def resume(self, record: Record, urls: Mapping[str, str], now: float) -> None:
        """Send further webhooks of an execution that was resumed to these URLs only."""
        before = self._executions.callbacks(record.kickoff_id)
        callbacks = Callbacks(urls=urls, meta=None if before is None else before.meta)
        sent = sum(call.at < now for call in calls(record, urls))
        self._executions.set_callbacks(record.kickoff_id, replace(callbacks, sent=sent))
        self._add_next(record.kickoff_id)

    def _send_at(self, key: tuple[str, int], at: float) -> None:
        """Schedule a webhook; what comes after human input is scheduled when that is there."""
        if at != math.inf:
            self._sender.add(key, at)

    async def close(self) -> None:
        """Stop; webhooks that were not sent remain in the state."""
        await self._sender.close()

    def _add_next(self, kickoff_id: str) -> None:
        """Schedule the execution's next webhook, or delete its callbacks if there is none."""
        record, callbacks = self._executions.get(kickoff_id), self._executions.callbacks(kickoff_id)
        if record is None or callbacks is None:
            return
        left = calls(record, callbacks.urls, callbacks.events)[callbacks.sent :]
        if left:
            self._send_at((kickoff_id, 0), left[0].at)
        else:
            self._executions.set_callbacks(kickoff_id, None)

    async def _deliver(self, session: aiohttp.ClientSession, key: Key) -> None:
        if isinstance(key, Extra):
            await post(session, self._targets, key.url, key.body)
            return
        kickoff_id, tries = key
        record, callbacks = self._executions.get(kickoff_id), self._executions.callbacks(kickoff_id)
        if record is None or callbacks is None:
            return
        left = calls(record, callbacks.urls, callbacks.events)[callbacks.sent :]
        if not left or left[0].at > self._now():  # it was resumed meanwhile, with other URLs
            return
        call = left[0]
        body = json.dumps(self._body(record, call, callbacks.meta)).encode()
        if call.human:  # as deployed crews do, it is sent once
            await self._send_about_human(session, kickoff_id, call, body, callbacks)
            return
        disturbed = Disturbance() if tries else self._faults.next(call.url, body)
        for extra in disturbed.extras:
            self._sender.add(extra, self._now() + extra.delay)
        problem = await post(session, self._targets, call.url, body) if disturbed.sent else None
        if problem and tries < len(RETRY_WAITS):
            self._sender.add((kickoff_id, tries + 1), self._now() + RETRY_WAITS[tries])
            return
        self._sent(kickoff_id, call, callbacks, problem)

    async def _send_about_human(
        self, session: aiohttp.ClientSession, kickoff_id: str, call: Call, body: bytes, callbacks: Callbacks
    ) -> None:
        signed = {} if self._secret is None else signature_headers(body, self._secret, self._now())
        problem = await post(session, self._targets, call.url, body, callbacks.authorization, signed)
        self._sent(kickoff_id, call, callbacks, problem)

    def _sent(self, kickoff_id: str, call: Call, callbacks: Callbacks, problem: str | None) -> None:
        """Record that a webhook was sent or given up, and schedule the next one."""
        if problem:
            LOG.warning("a webhook of %s to %s was given up: %s", kickoff_id, redact_url(call.url), problem)
        self._executions.set_callbacks(kickoff_id, replace(callbacks, sent=callbacks.sent + 1))
        self._add_next(kickoff_id)

    def _body(self, record: Record, call: Call, meta: Mapping[str, Any] | None) -> dict[str, Any]:
        seen = view(record, max(call.at, self._now()))
        shown = report(seen)
        if call.event is not None:
            return self._event(record, call, meta)
        if call.human:
            return _about_human(record, meta)
        if call.task is None:
            return self._format.crew_webhook(shown, meta)
        if call.thought:
            return self._format.step_webhook(shown, step_report(crew.TASKS[call.task]), meta)
        return self._format.task_webhook(shown, task_report(seen.task(call.task)), meta)

    def _event(self, record: Record, call: Call, meta: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return a webhook of the event stream, with one event."""
        data = {} if call.task is None else {"task_name": crew.TASKS[call.task].task_id}
        event = {
            "id": f"{record.kickoff_id}-{call.event}-{call.task}",
            "execution_id": record.kickoff_id,
            "timestamp": datetime.fromtimestamp(call.at, UTC).isoformat(),
            "type": call.event,
            "data": data,
            **meta_field(meta),
        }
        return {"events": [event]}


def _about_human(record: Record, meta: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the webhook of an execution that waits for human input."""
    assert record.review is not None  # noqa: S101 - only such executions have this call
    return {
        "execution_id": record.kickoff_id,
        "kickoff_id": record.kickoff_id,
        "task_id": crew.RESEARCH.task_id,
        "status": PAUSED,
        "agent": crew.RESEARCH.agent,
        "output": record.review.revised(crew.research(record.trip)),
        **meta_field(meta),
    }

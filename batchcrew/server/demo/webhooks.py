"""The calls back: task, step and crew webhooks, really sent, never holding an execution up.

One list of what is due and a few senders serve all executions; those of one execution are sent in their order.
"""

import asyncio
import heapq
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from batchcrew.server.demo import crew
from batchcrew.server.demo.execution import Record, report, step_report, task_ends, task_report, view
from batchcrew.server.demo.store import Callbacks, Executions
from batchcrew.server.dialects.dialect_format import DialectFormat
from batchcrew.server.webhook_sender import MAX_DELIVERIES, TIMEOUT, post, redact_url, wait_for_change

LOG = logging.getLogger("batchcrew.server")
RETRY_WAITS = (0.5, 2.0, 5.0)
"""Seconds before a delivery that failed is tried again."""


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


def calls(record: Record, urls: Mapping[str, str]) -> list[Call]:
    """The webhooks that an execution's `urls` ask for, in their order: pure."""
    step_url, task_url, crew_url = (urls.get(f"{kind}WebhookUrl") for kind in ("step", "task", "crew"))
    ends = task_ends(record)
    found: list[Call] = []
    begins = record.started
    for number, end in enumerate([*ends, record.ends][: len(crew.TASKS)]):
        if step_url:
            found.append(Call((begins + end) / 2, step_url, number, thought=True))
        if task_url and number < len(ends):
            found.append(Call(end, task_url, number))
        begins = end
    if crew_url:
        found.append(Call(record.ends, crew_url))
    return found


class Webhooks:
    """Sends what was asked for."""

    def __init__(
        self,
        dialect_format: DialectFormat,
        executions: Executions,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._format = dialect_format
        self._executions = executions
        self._now = now
        self._sleep = sleep
        self._due: list[tuple[float, int, str, int]] = []
        """A heap of moment, order, kickoff id and tries so far: one entry for each execution that calls back."""
        self._order = 0
        self._changed = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send, first what an earlier server on the same state file has left."""
        for kickoff_id in self._executions.calling_back():
            self._next(kickoff_id)
        self._work = asyncio.create_task(self._run(), name="webhooks")

    def follow(self, record: Record, callbacks: Callbacks) -> None:
        """Call back as the tasks and the crew of an execution end."""
        found = calls(record, callbacks.urls)
        if found:
            self._add(found[0].at, record.kickoff_id)
        else:
            self._executions.set_callbacks(record.kickoff_id, None)

    async def close(self) -> None:
        """Stop; what was not sent stays in the state."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    def _add(self, at: float, kickoff_id: str, tries: int = 0) -> None:
        self._order += 1
        heapq.heappush(self._due, (at, self._order, kickoff_id, tries))
        self._changed.set()

    def _next(self, kickoff_id: str) -> None:
        """Put the execution's next call into the list, or forget its callbacks if there is none."""
        record, callbacks = self._executions.get(kickoff_id), self._executions.callbacks(kickoff_id)
        if record is None or callbacks is None:
            return
        left = calls(record, callbacks.urls)[callbacks.sent :]
        if left:
            self._add(left[0].at, kickoff_id)
        else:
            self._executions.set_callbacks(kickoff_id, None)

    async def _run(self) -> None:
        queue: asyncio.Queue[tuple[str, int]] = asyncio.Queue(maxsize=1)  # the rest waits in the list of what is due
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(timeout=TIMEOUT, cookie_jar=jar) as session, asyncio.TaskGroup() as group:
            for number in range(MAX_DELIVERIES):
                group.create_task(self._send(queue, session), name=f"webhooks-{number}")
            while True:
                self._changed.clear()
                if self._due and self._due[0][0] <= self._now():
                    _, _, kickoff_id, tries = heapq.heappop(self._due)
                    await queue.put((kickoff_id, tries))
                else:
                    await wait_for_change(
                        self._changed, self._due[0][0] - self._now() if self._due else None, self._sleep
                    )

    async def _send(self, queue: asyncio.Queue[tuple[str, int]], session: aiohttp.ClientSession) -> None:
        while True:
            kickoff_id, tries = await queue.get()
            try:
                await self._send_one(session, kickoff_id, tries)
            except Exception:  # a defect costs one execution's webhooks, not those of all
                LOG.exception("the webhooks of %s were given up", kickoff_id)

    async def _send_one(self, session: aiohttp.ClientSession, kickoff_id: str, tries: int) -> None:
        record, callbacks = self._executions.get(kickoff_id), self._executions.callbacks(kickoff_id)
        if record is None or callbacks is None:
            return
        call = calls(record, callbacks.urls)[callbacks.sent]
        problem = await post(session, call.url, json.dumps(self._body(record, call, callbacks.meta)).encode())
        if problem and tries < len(RETRY_WAITS):
            self._add(self._now() + RETRY_WAITS[tries], kickoff_id, tries + 1)
            return
        if problem:
            LOG.warning("a webhook of %s to %s was given up: %s", kickoff_id, redact_url(call.url), problem)
        self._executions.set_callbacks(kickoff_id, replace(callbacks, sent=callbacks.sent + 1))
        self._next(kickoff_id)

    def _body(self, record: Record, call: Call, meta: Mapping[str, Any] | None) -> dict[str, Any]:
        seen = view(record, max(call.at, self._now()))
        told = report(seen)
        if call.task is None:
            return self._format.crew_webhook(told, meta)
        if call.thought:
            return self._format.step_webhook(told, step_report(crew.TASKS[call.task]), meta)
        return self._format.task_webhook(told, task_report(seen.task(call.task)), meta)

"""The calls back: task, step and crew webhooks, really sent, never holding an execution up."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from batchcrew.server.dialects import Speech
from batchcrew.server.execution import Record, task_ends, view

LOG = logging.getLogger("batchcrew.server")
MAX_DELIVERIES = 16
"""Deliveries on the wire at once."""
RETRY_WAITS = (0.5, 2.0, 5.0)
"""Seconds before a delivery that failed is tried again."""
TIMEOUT = aiohttp.ClientTimeout(total=10)
URL_KEYS = ("taskWebhookUrl", "stepWebhookUrl", "crewWebhookUrl")


class Webhooks:
    """Sends what was asked for; one task for each running execution that asked."""

    def __init__(self, speech: Speech, *, now: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        self._speech = speech
        self._now = now
        self._sleep = sleep
        self._wire = asyncio.Semaphore(MAX_DELIVERIES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def start(self, record: Record, urls: Mapping[str, str]) -> None:
        """Follow an execution and call back as its tasks and the crew end."""
        task = asyncio.create_task(self._follow(record, urls), name=f"webhooks-{record.kickoff_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop; what was not delivered is not."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _follow(self, record: Record, urls: Mapping[str, str]) -> None:
        for number, end in enumerate(task_ends(record)):
            await self._sleep(max(0.0, end - self._now()))
            seen = view(record, max(end, self._now()))
            task = seen.tasks[number]
            if url := urls.get("stepWebhookUrl"):
                await self._deliver(url, self._speech.step_webhook(seen, task))
            if url := urls.get("taskWebhookUrl"):
                await self._deliver(url, self._speech.task_webhook(seen, task))
        await self._sleep(max(0.0, record.ends - self._now()))
        if url := urls.get("crewWebhookUrl"):
            await self._deliver(url, self._speech.crew_webhook(view(record, max(record.ends, self._now()))))

    async def _deliver(self, url: str, body: Mapping[str, Any]) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        problem = ""
        for wait in (0.0, *RETRY_WAITS):
            await self._sleep(wait)
            try:
                async with self._wire, self._session.post(url, json=body, allow_redirects=False) as answer:
                    if answer.status < 300:
                        return
                    problem = f"HTTP {answer.status}"
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                problem = str(error) or type(error).__name__
        LOG.warning("a webhook to %s was given up: %s", url, problem)

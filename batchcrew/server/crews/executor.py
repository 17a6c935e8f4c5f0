"""The executor of real crews: it stores executions, queues them, and sends webhooks about them.

The pool runs executions; this follows each one from its kickoff to its end. Executions that have not ended are in
memory (`ActiveExecution`), and their reports in the store after each step; ended ones are only in the store.
"""

import asyncio
import logging
import shutil
import tempfile
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from batchcrew.base.crew_details import CrewDetails, sanitized
from batchcrew.base.serving import INTERRUPTED
from batchcrew.base.text import clean_text
from batchcrew.server.api.executor import (
    Accepted,
    Busy,
    ExecutorContext,
    ExecutorKind,
    KeyReused,
    NoExecution,
    NotPaused,
)
from batchcrew.server.api.kickoff import Body, refuse_missing
from batchcrew.server.api.metrics import EndedCounts, open_metrics
from batchcrew.server.api.resume import Resume
from batchcrew.server.crews.callbacks import Callbacks, read_callbacks
from batchcrew.server.crews.deadlines import Deadlines
from batchcrew.server.crews.event_stream import EventStream
from batchcrew.server.crews.execution_state import ActiveExecution, apply
from batchcrew.server.crews.outbox import Outbox
from batchcrew.server.crews.outputs import delete_outputs
from batchcrew.server.crews.store import ExecutionStore, Order
from batchcrew.server.dialects import DIALECTS
from batchcrew.server.file_names import job_folder
from batchcrew.server.options import CrewOptions, ServeOptions
from batchcrew.server.report import Input, Report
from batchcrew.server.webhook_targets import WebhookTargets
from batchcrew.server.workers.messages import AboutExecution, Ended, LibraryEvent, Note, Paused, Ready, TaskEnded
from batchcrew.server.workers.pool import Pool
from batchcrew.server.workers.processes import ProcessPool

LOG = logging.getLogger("batchcrew.server")
STORED_AFTER = (TaskEnded, Paused, Ended)
"""Messages after which an execution's report is stored. Other changes are lost with the server."""
CLEANING_SECONDS = 600.0
"""How often ended executions that are too old or too many are deleted."""
RETRY_AFTER = (1, 60)
"""Shortest and longest `Retry-After` of a refused kickoff, in seconds."""
MAX_NOTE = 500
"""Characters of a worker's note in the log."""


class CrewExecutor:
    """Implements `Executor` for real crews, and `PoolListener`.

    Args:
        targets: where webhooks may be sent.
        now: returns seconds since the epoch.
        sleep: waits for webhooks, time limits and new workers.
        pool: where executions run; default: worker processes.
        warn: reports what crews do to each other; default: the log.
    """

    real = True
    description = "CrewAI, run by batchcrew."

    def __init__(
        self,
        serve: ServeOptions,
        options: CrewOptions,
        *,
        targets: WebhookTargets,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        pool: Pool | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._options = options
        self._format = DIALECTS[serve.dialect]
        self._now = now
        self._sleep = sleep
        self._store = ExecutionStore(serve.state, now=now())
        self._temporary = None if serve.state else tempfile.mkdtemp(prefix="batchcrew-")
        storage = Path(self._temporary) if self._temporary else Path(f"{serve.state}.crewai").resolve()
        self._outputs = storage.parent / f"{storage.name}-outputs" if serve.state else None
        outputs = self._outputs
        if outputs is None and options.log is not None:
            outputs = options.log.resolve().with_suffix(".outputs")
        self._artifacts = options.artifacts or storage / "artifacts"
        self._pool: Pool = pool or ProcessPool(options, storage=storage, sleep=sleep, outputs=outputs, warn=warn)
        self._outbox = Outbox(self._store, targets=targets, now=now, sleep=sleep)
        self._stream = EventStream(self._send_events, sleep=sleep)
        self._deadlines = Deadlines(self._overdue, now=now, sleep=sleep)
        self._active: dict[str, ActiveExecution] = {}
        self._queue: deque[str] = deque()
        self._ended = EndedCounts()
        self._running = 0
        self._peak = 0
        self._stopping = False
        self._idle = asyncio.Event()
        self._cleaner: asyncio.Task[None] | None = None
        self._described = Ready(name="", what="crew", inputs=(), total=0, events=())
        self._events: frozenset[str] = frozenset()
        self.name = options.target.name
        self.inputs: Sequence[Input] = ()
        self.details: CrewDetails | None = None

    async def open(self) -> None:
        """Load the crew; continue with the executions that an earlier server left in the state."""
        self._described = await self._pool.open(self)
        self._events = frozenset(self._described.events)
        self.name = f"the {self._described.what} {self._described.name}"
        self.inputs = self._described.inputs
        self.details = sanitized(self._described.details)
        self._restore()
        self._clean()
        self._outbox.start()
        self._stream.start()
        self._deadlines.start()
        self._cleaner = asyncio.create_task(self._clean_repeatedly(), name="cleaning")
        self.on_free()

    async def drain(self) -> None:
        """Refuse kickoffs, start nothing more, and wait for running executions, up to the options' time to stop."""
        self._stopping = True
        self._update_idle()
        timer = asyncio.ensure_future(self._sleep(self._options.stop_timeout))
        idle = asyncio.ensure_future(self._idle.wait())
        try:
            await asyncio.wait({timer, idle}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in (timer, idle):
                wait.cancel()
            await asyncio.gather(timer, idle, return_exceptions=True)

    async def close(self) -> None:
        """Kill the workers.

        The next server with the same state file starts the executions that waited; those that ran have failed.
        """
        if self._cleaner is not None:
            self._cleaner.cancel()
            await asyncio.gather(self._cleaner, return_exceptions=True)
        await self._deadlines.close()
        await self._pool.close()
        await self._stream.close()
        await self._outbox.close()
        self._store.close()
        if self._temporary is not None:
            await asyncio.to_thread(shutil.rmtree, self._temporary, ignore_errors=True)

    def repeated(self, body: Body, key: str | None) -> Accepted | None:
        """Return the execution that was started with `key`, whatever else the body contains than its inputs."""
        known = None if key is None else self._store.by_key(key)
        if known is None:
            return None
        if self._store.has_other_inputs(known, body.inputs):
            raise KeyReused
        return Accepted(known, repeated=True)

    def accept(self, body: Body, key: str | None) -> Accepted:
        """Start or queue an execution, or return the one that was started with `key`."""
        known = self.repeated(body, key)
        if known is not None:
            return known
        refuse_missing([entry.name for entry in self.inputs if entry.required and entry.name not in body.inputs])
        callbacks = read_callbacks(body, events=self._events)
        self._check_limit()
        kickoff_id = str(uuid.uuid4())
        report = Report(kickoff_id=kickoff_id, phase="waiting", total=self._described.total)
        order = Order(kickoff_id=kickoff_id, inputs=body.inputs, callbacks=callbacks.to_json())
        self._store.add(report, key=key, job=body.job, order=order, now=self._now())
        self._active[kickoff_id] = ActiveExecution(report=report, callbacks=callbacks)
        self._queue.append(kickoff_id)
        self.on_free()
        return Accepted(kickoff_id, repeated=False)

    def report(self, kickoff_id: str) -> Report | None:
        """Return the execution as it is now; None if it is unknown."""
        active = self._active.get(kickoff_id)
        return active.report if active else self._store.report(kickoff_id)

    def resume(self, resume: Resume) -> str:
        """Pass the human input to a paused execution, and return the status word of the answer."""
        kickoff_id = resume.execution_id
        active = self._active.get(kickoff_id)
        if active is None:
            if self._store.report(kickoff_id) is None:
                raise NoExecution(kickoff_id)
            raise NotPaused("the execution has ended; it does not wait for human input")
        if not active.paused:
            raise NotPaused("the execution does not wait for human input")
        if active.paused_task != resume.task_id:
            raise NotPaused(f"the execution waits at another task: task_id {active.paused_task}")
        active.callbacks = replace(active.callbacks, urls=resume.urls)
        active.report = replace(active.report, phase="running", question=None)
        self._store.save(active.report, now=self._now())
        self._running += 1
        self._set_deadline(kickoff_id, active.seconds_left)
        self._pool.answer(kickoff_id, approved=resume.approved, text=resume.feedback)
        return "resumed" if resume.approved else "retrying"

    def stats(self) -> dict[str, int]:
        """Return counts; `kickoffs` and `max_kickoffs_per_job` count since the state was created."""
        phases = self._phases()
        return {
            "kickoffs": self._store.kickoffs(),
            "running": phases["running"],
            "peak_running": self._peak,
            "max_kickoffs_per_job": self._store.most_of_one_job,
            "waiting": phases["waiting"],
            "paused": phases["paused"],
            "succeeded": self._ended.succeeded,
            "failed": self._ended.failed,
            **self._pool.gauges(),
        }

    def metrics(self) -> str:
        """Return the counts as OpenMetrics text."""
        return open_metrics(
            phases=self._phases(),
            ended=self._ended,
            kickoffs=self._store.kickoffs(),
            pool=self._pool.gauges(),
            webhooks={
                "sent": self._outbox.sent,
                "given_up": self._outbox.given_up,
                "waiting": self._outbox.waiting(),
            },
        )

    def kickoffs_of(self, job: str) -> int:
        """Return how many executions there are of the batchcrew job with that id."""
        return self._store.kickoffs_of(job)

    def _phases(self) -> dict[str, int]:
        waiting = len(self._queue)
        paused = sum(active.paused for active in self._active.values())
        return {"waiting": waiting, "running": len(self._active) - waiting - paused, "paused": paused}

    def _check_limit(self) -> None:
        if self._stopping:
            raise Busy("the server is about to stop", 5, stopping=True)
        if len(self._queue) < self._options.max_queue or (self._pool.free() and not self._queue):
            return
        least, most = RETRY_AFTER
        places = self._options.places
        wait = min(max(least, round(self._ended.mean_seconds() / places)), most)
        raise Busy(f"{len(self._queue)} executions wait for a free thread, which is the limit (--max-queue)", wait)

    def on_free(self) -> None:
        """Start queued executions, as long as the pool is free."""
        while self._queue and not self._stopping and self._pool.free():
            kickoff_id = self._queue.popleft()
            active = self._active[kickoff_id]
            order = self._store.order(kickoff_id)
            active.report = replace(active.report, phase="running")
            self._store.save(active.report, now=self._now())
            self._running += 1
            self._peak = max(self._peak, self._running)
            self._set_deadline(kickoff_id, self._options.execution_timeout)
            events = frozenset(active.callbacks.stream.events) if active.callbacks.stream else frozenset[str]()
            folder = job_folder(self._artifacts, self._store.job(kickoff_id), kickoff_id)
            self._pool.start(kickoff_id, order.inputs, events, artifacts=str(folder))

    def on_message(self, message: AboutExecution) -> None:
        """Apply a worker's message about an execution, and send its webhooks."""
        kickoff_id = message.kickoff_id
        active = self._active.get(kickoff_id)
        if active is None:
            return
        if isinstance(message, LibraryEvent):
            stream = active.callbacks.stream
            if stream is not None and message.type in stream.events:
                self._stream.add(message, realtime=stream.realtime)
            return
        if isinstance(message, Note):
            LOG.warning("%s: %s", kickoff_id, clean_text(message.text, limit=MAX_NOTE))
            return
        was_paused = active.paused
        if was_paused and isinstance(message, Paused):
            LOG.warning("%s: a second pause was ignored; the execution already waits for human input", kickoff_id)
            return
        if isinstance(message, Ended):
            message = replace(message, artifacts=self._own(message.artifacts))
        calls = apply(active, message, self._format)
        if isinstance(message, Paused):
            active.seconds_left = self._deadlines.clear(kickoff_id)
            self._running -= 1
            self._update_idle()
        if isinstance(message, Ended):
            self._end(active, was_paused=was_paused)
        if isinstance(message, STORED_AFTER):
            self._store.save(active.report, now=self._now())
        self._outbox.put(kickoff_id, calls)

    def _end(self, active: ActiveExecution, *, was_paused: bool) -> None:
        """Remove an ended execution from memory; this comes before anything that could fail."""
        kickoff_id = active.report.kickoff_id
        self._running -= not was_paused
        self._deadlines.clear(kickoff_id)
        self._stream.flush(kickoff_id)
        self._outbox.ended(kickoff_id)
        self._ended.add(active.report)
        del self._active[kickoff_id]
        self._update_idle()

    def _own(self, artifacts: Sequence[str]) -> tuple[str, ...]:
        """Return those of the paths that are in the folder for artifacts: a crew's code can name any others."""
        return tuple(
            path for path in artifacts if ".." not in Path(path).parts and Path(path).is_relative_to(self._artifacts)
        )

    def _set_deadline(self, kickoff_id: str, seconds: float | None) -> None:
        if seconds is not None:
            self._deadlines.set(kickoff_id, seconds)

    def _overdue(self, kickoff_id: str) -> None:
        limit = self._options.execution_timeout
        self._pool.cancel(kickoff_id, f"it took longer than {limit:g} s (--execution-timeout) and was ended")

    def _send_events(self, kickoff_id: str, events: Sequence[LibraryEvent]) -> None:
        active = self._active.get(kickoff_id)
        if active is not None:
            self._outbox.put(kickoff_id, active.callbacks.events(events))

    def _update_idle(self) -> None:
        if self._running == 0:
            self._idle.set()
        else:
            self._idle.clear()

    def _restore(self) -> None:
        """Queue the executions that waited; those that ran have ended with the server that ran them."""
        for kickoff_id, phase in self._store.active():
            order, report = self._store.order(kickoff_id), self._store.report(kickoff_id)
            assert report is not None  # noqa: S101 - it is in the store
            active = ActiveExecution(report=report, callbacks=Callbacks.from_json(order.callbacks))
            if phase == "waiting":
                active.report = replace(report, total=self._described.total)
                self._active[kickoff_id] = active
                self._queue.append(kickoff_id)
                continue
            calls = apply(active, Ended(kickoff_id=kickoff_id, error=INTERRUPTED), self._format)
            self._store.save(active.report, now=self._now())
            self._outbox.put(kickoff_id, calls)

    def _clean(self) -> None:
        self._store.save_unwritten()
        self._store.delete(ended_before=self._now() - self._options.keep_seconds, kept=self._options.keep_count)
        if self._outputs is not None:
            try:
                delete_outputs(self._outputs, self._store.has)
            except OSError as error:
                LOG.warning("outputs in %s cannot be deleted: %s", self._outputs, error.strerror or error)

    async def _clean_repeatedly(self) -> None:
        while True:
            await self._sleep(CLEANING_SECONDS)
            self._clean()


def _make(options: ServeOptions, context: ExecutorContext) -> CrewExecutor:
    assert options.crew is not None  # noqa: S101 - CREWS serves no other options
    return CrewExecutor(
        options, options.crew, targets=context.targets, now=context.now, sleep=context.sleep, warn=context.warn
    )


CREWS = ExecutorKind(serves=lambda options: options.crew is not None, make=_make)

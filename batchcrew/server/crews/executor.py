"""Real crews behind the routes: what is kept, who waits for room, and who is called back of what is heard.

The pool runs executions; this follows each from its kickoff to its end. What is known of those that have not ended
is in memory (`Live`), and at each step in the store; of the others only in the store.
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

from batchcrew.server.api.executor import Accepted, Busy, ExecutorContext, ExecutorKind, NoExecution, NotPaused
from batchcrew.server.api.kickoff import Body, refuse_missing
from batchcrew.server.api.metrics import Ended, open_metrics
from batchcrew.server.api.resume import Resume
from batchcrew.server.crews.callbacks import Callbacks, allowed_urls, read_callbacks
from batchcrew.server.crews.deadlines import Deadlines
from batchcrew.server.crews.event_stream import Event, EventStream
from batchcrew.server.crews.execution_state import Live, fail, follow
from batchcrew.server.crews.outbox import Outbox
from batchcrew.server.crews.store import ExecutionStore, Order
from batchcrew.server.dialects import DIALECTS
from batchcrew.server.options import CrewOptions, ServeOptions
from batchcrew.server.report import INTERRUPTED, Input, Report
from batchcrew.server.workers.messages import Message
from batchcrew.server.workers.pool import Description, Pool
from batchcrew.server.workers.processes import ProcessPool

LOG = logging.getLogger("batchcrew.server")
KEPT_AT = frozenset({"task_ended", "paused", "ended"})
"""Messages after which an execution's report is written down; the rest is of the moment."""
HOUSEKEEPING_SECONDS = 600.0
"""How often ended executions that are too old or too many are forgotten."""
RETRY_AFTER = (1, 60)
"""Shortest and longest wait in seconds that a refused kickoff is told."""


class CrewExecutor:
    """Implements `Executor` for real crews, and is the pool's `PoolListener`.

    Args:
        now: seconds since the epoch.
        sleep: for webhooks, time limits and new workers.
        pool: where executions run; worker processes if not given.
    """

    real = True
    description = "CrewAI, run by batchcrew."

    def __init__(
        self,
        serve: ServeOptions,
        options: CrewOptions,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        pool: Pool | None = None,
    ) -> None:
        self._options = options
        self._format = DIALECTS[serve.dialect]
        self._now = now
        self._sleep = sleep
        self._store = ExecutionStore(serve.state, now=now())
        self._temporary = None if serve.state else tempfile.mkdtemp(prefix="batchcrew-")
        storage = Path(self._temporary) if self._temporary else Path(f"{serve.state}.crewai").resolve()
        self._pool: Pool = pool or ProcessPool(options, storage=storage, sleep=sleep)
        self._outbox = Outbox(self._store, now=now, sleep=sleep)
        self._stream = EventStream(self._send_events, sleep=sleep)
        self._deadlines = Deadlines(self._overdue, now=now, sleep=sleep)
        self._live: dict[str, Live] = {}
        self._queue: deque[str] = deque()
        self._ended = Ended()
        self._running = 0
        self._peak = 0
        self._stopping = False
        self._idle = asyncio.Event()
        self._housekeeper: asyncio.Task[None] | None = None
        self._described = Description(name="", what="crew", inputs=(), total=0, events=frozenset())
        self.name = options.target.name
        self.inputs: Sequence[Input] = ()

    async def open(self) -> None:
        """Load the crew; take up what an earlier server on the same state has left."""
        self._described = await self._pool.open(self)
        self.name = f"the {self._described.what} {self._described.name}"
        self.inputs = tuple(
            Input(name=entry["name"], type=entry["type"], required=entry["required"])
            for entry in self._described.inputs
        )
        self._take_up()
        self._forget()
        self._outbox.start()
        self._stream.start()
        self._deadlines.start()
        self._housekeeper = asyncio.create_task(self._keep_house(), name="housekeeping")
        self.free()

    async def drain(self) -> None:
        """Refuse kickoffs, start nothing more, and wait for what runs, for as long as the options say."""
        self._stopping = True
        self._note_idle()
        timer = asyncio.ensure_future(self._sleep(self._options.stop_timeout))
        idle = asyncio.ensure_future(self._idle.wait())
        try:
            await asyncio.wait({timer, idle}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in (timer, idle):
                wait.cancel()
            await asyncio.gather(timer, idle, return_exceptions=True)

    async def close(self) -> None:
        """Kill the workers. In a state file, what ran is found interrupted and what waited is taken up again."""
        if self._housekeeper is not None:
            self._housekeeper.cancel()
            await asyncio.gather(self._housekeeper, return_exceptions=True)
        await self._deadlines.close()
        await self._pool.close()
        await self._stream.close()
        await self._outbox.close()
        self._store.close()
        if self._temporary is not None:
            await asyncio.to_thread(shutil.rmtree, self._temporary, ignore_errors=True)

    def accept(self, body: Body, key: str | None) -> Accepted:
        """Start an execution or let it wait, or find the one that `key` has started."""
        known = None if key is None else self._store.by_key(key)
        if known is not None:  # whatever the body says: it is the same kickoff, sent again
            return Accepted(known, repeated=True)
        refuse_missing([entry.name for entry in self.inputs if entry.required and entry.name not in body.inputs])
        callbacks = read_callbacks(body, allow=self._options.webhook_allow, events=self._described.events)
        self._make_room()
        kickoff_id = str(uuid.uuid4())
        report = Report(kickoff_id=kickoff_id, phase="waiting", total=self._described.total)
        order = Order(kickoff_id=kickoff_id, inputs=body.inputs, wishes=callbacks.to_json())
        self._store.add(report, key=key, job=body.job, order=order, now=self._now())
        self._live[kickoff_id] = Live(report=report, callbacks=callbacks)
        self._queue.append(kickoff_id)
        self.free()
        return Accepted(kickoff_id, repeated=False)

    def report(self, kickoff_id: str) -> Report | None:
        """The execution as it is now."""
        live = self._live.get(kickoff_id)
        return live.report if live else self._store.report(kickoff_id)

    def resume(self, resume: Resume) -> str:
        """Give a person's word to a paused execution; it goes on when the word has reached its worker."""
        kickoff_id = resume.execution_id
        live = self._live.get(kickoff_id)
        if live is None:
            if self._store.report(kickoff_id) is None:
                raise NoExecution(kickoff_id)
            raise NotPaused("the execution has ended; it does not wait for a person")
        if live.report.phase != "paused":
            raise NotPaused("the execution does not wait for a person")
        if live.asked != resume.task_id:
            raise NotPaused(f"the execution waits at another task: task_id {live.asked}")
        live.callbacks = replace(live.callbacks, urls=allowed_urls(resume.urls, self._options.webhook_allow))
        live.asked = ""
        live.report = replace(live.report, phase="running")
        self._store.keep(live.report, now=self._now())
        self._running += 1
        self._limit(kickoff_id, live.left)
        self._pool.answer(kickoff_id, approved=resume.approved, text=resume.feedback)
        return "resumed" if resume.approved else "retrying"

    def stats(self) -> dict[str, int]:
        """`kickoffs` and `max_kickoffs_per_job` are of the state file's whole life."""
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
        """OpenMetrics text."""
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
        """Executions of the batchcrew job of that id."""
        return self._store.kickoffs_of(job)

    def _phases(self) -> dict[str, int]:
        waiting = len(self._queue)
        paused = sum(live.report.phase == "paused" for live in self._live.values())
        return {"waiting": waiting, "running": len(self._live) - waiting - paused, "paused": paused}

    def _make_room(self) -> None:
        if self._stopping:
            raise Busy("the server is about to stop", 5, stopping=True)
        if len(self._queue) < self._options.max_queue or (self._pool.room() and not self._queue):
            return
        least, most = RETRY_AFTER
        places = self._options.workers * self._options.threads
        wait = min(max(least, round(self._ended.mean_seconds() / places)), most)
        raise Busy(f"{len(self._queue)} executions wait for a free thread, and no more may (--max-queue)", wait)

    def free(self) -> None:
        """Start who waits, as long as there is room."""
        while self._queue and not self._stopping and self._pool.room():
            kickoff_id = self._queue.popleft()
            live = self._live[kickoff_id]
            order = self._store.order(kickoff_id)
            live.report = replace(live.report, phase="running")
            self._store.keep(live.report, now=self._now())
            self._running += 1
            self._peak = max(self._peak, self._running)
            self._limit(kickoff_id, self._options.execution_timeout)
            events = frozenset(live.callbacks.stream.events) if live.callbacks.stream else frozenset[str]()
            self._pool.start(kickoff_id, order.inputs, events)

    def hear(self, message: Message) -> None:
        """What a worker says of an execution."""
        kickoff_id, kind = message["id"], message["kind"]
        live = self._live.get(kickoff_id)
        if live is None:
            return
        if kind == "event":
            realtime = live.callbacks.stream is not None and live.callbacks.stream.realtime
            self._stream.add(kickoff_id, message["event"], realtime=realtime)
            return
        if kind == "note":
            LOG.warning("%s: %s", kickoff_id, message["text"])
            return
        calls = follow(live, message, self._format)
        if kind == "paused":
            live.left = self._deadlines.clear(kickoff_id)
            self._running -= 1
            self._note_idle()
        if kind == "ended":
            self._end(live)
        if kind in KEPT_AT:
            self._store.keep(live.report, now=self._now())
        self._outbox.put(kickoff_id, calls)

    def _end(self, live: Live) -> None:
        """What is left to do in memory; it comes before anything that could fail."""
        kickoff_id = live.report.kickoff_id
        self._running -= live.asked == ""
        self._deadlines.clear(kickoff_id)
        self._stream.flush(kickoff_id)
        self._outbox.ended(kickoff_id)
        self._ended.add(live.report)
        del self._live[kickoff_id]
        self._note_idle()

    def _limit(self, kickoff_id: str, seconds: float | None) -> None:
        if seconds is not None:
            self._deadlines.set(kickoff_id, seconds)

    def _overdue(self, kickoff_id: str) -> None:
        limit = self._options.execution_timeout
        self._pool.cancel(kickoff_id, f"it took longer than {limit:g} s (--execution-timeout) and was ended")

    def _send_events(self, kickoff_id: str, events: Sequence[Event]) -> None:
        live = self._live.get(kickoff_id)
        if live is not None:
            self._outbox.put(kickoff_id, live.callbacks.events(kickoff_id, events))

    def _note_idle(self) -> None:
        if self._running == 0:
            self._idle.set()
        else:
            self._idle.clear()

    def _take_up(self) -> None:
        """What waited is started; what ran has ended with the server that ran it."""
        for kickoff_id, phase in self._store.active():
            order, report = self._store.order(kickoff_id), self._store.report(kickoff_id)
            assert report is not None  # noqa: S101 - it is in the store
            live = Live(report=report, callbacks=Callbacks.from_json(order.wishes))
            if phase == "waiting":
                live.report = replace(report, total=self._described.total)
                self._live[kickoff_id] = live
                self._queue.append(kickoff_id)
                continue
            calls = fail(live, INTERRUPTED, self._format)
            self._store.keep(live.report, now=self._now())
            self._outbox.put(kickoff_id, calls)

    def _forget(self) -> None:
        self._store.keep_what_waits()
        self._store.forget(ended_before=self._now() - self._options.keep_seconds, kept=self._options.keep_count)

    async def _keep_house(self) -> None:
        while True:
            await self._sleep(HOUSEKEEPING_SECONDS)
            self._forget()


def _make(options: ServeOptions, context: ExecutorContext) -> CrewExecutor:
    assert options.crew is not None  # noqa: S101 - what CREWS serves
    return CrewExecutor(options, options.crew, now=context.now, sleep=context.sleep)


CREWS = ExecutorKind(serves=lambda options: options.crew is not None, make=_make)

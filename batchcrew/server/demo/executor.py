"""The executor of the demo crew: its executions are a function of the clock, nothing runs."""

import asyncio
import math
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence

from batchcrew.server.api.executor import Accepted, Busy, ExecutorContext, ExecutorKind, NoExecution
from batchcrew.server.api.kickoff import Body
from batchcrew.server.api.resume import Resume
from batchcrew.server.demo import crew
from batchcrew.server.demo.execution import Record, report, simulate, view
from batchcrew.server.demo.kickoff import demand
from batchcrew.server.demo.store import Callbacks, DemoStore
from batchcrew.server.demo.webhook_faults import WebhookFaults
from batchcrew.server.demo.webhooks import Webhooks
from batchcrew.server.dialects import DIALECTS
from batchcrew.server.options import ServeOptions
from batchcrew.server.report import Input, Report


class DemoExecutor:
    """Implements `Executor` for the demo crew.

    Args:
        rng: gives the seed of the executions' outcomes.
        now: returns seconds since the epoch.
        sleep: used for webhooks only.
    """

    real = False
    name = "the demo crew"
    description = crew.NO_MODEL
    inputs: Sequence[Input] = tuple(Input(name=name) for name in crew.INPUTS)

    def __init__(
        self,
        options: ServeOptions,
        *,
        rng: random.Random,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._options = options
        self._seed = rng.getrandbits(63)
        self._now = now
        self._executions = DemoStore(options.state, now=now())
        self._webhooks = Webhooks(
            DIALECTS[options.dialect],
            self._executions,
            faults=WebhookFaults(options, random.Random(self._seed)),
            now=now,
            sleep=sleep,
        )

    async def open(self) -> None:
        """Begin to send webhooks."""
        self._webhooks.start()

    async def drain(self) -> None:
        """Return at once: nothing runs."""

    async def close(self) -> None:
        """Stop sending webhooks; those that were not sent remain in the state."""
        await self._webhooks.close()
        self._executions.close()

    def accept(self, body: Body, key: str | None) -> Accepted:
        """Start an execution, or return the one that was started with `key`."""
        wanted = demand(body)
        known = self._repeated(key)
        if known is not None:
            return known
        now = self._now()
        self._check_limit(now)
        turn = self._executions.turn(wanted.work)
        outcome = simulate(
            seed=self._seed,
            work=wanted.work,
            turn=turn,
            execution_time=self._options.execution_time,
            fail_rate=self._options.fail_rate,
        )
        record = Record(
            kickoff_id=str(uuid.uuid4()),
            trip=wanted.trip,
            started=now,
            duration=outcome.duration,
            fails=outcome.fails,
        )
        callbacks = Callbacks(urls=wanted.urls, meta=wanted.meta, events=wanted.events) if wanted.urls else None
        while not self._executions.add(
            record, work=wanted.work, turn=turn, key=key, job=wanted.job, callbacks=callbacks
        ):
            known = self._repeated(key)  # another server with the same state file was first
            if known is not None:
                return known
        if callbacks is not None:
            self._webhooks.add(record, callbacks)
        return Accepted(record.kickoff_id, repeated=False)

    def _repeated(self, key: str | None) -> Accepted | None:
        known = None if key is None else self._executions.by_key(key)
        return None if known is None else Accepted(known.kickoff_id, repeated=True)

    def _check_limit(self, now: float) -> None:
        most = self._options.max_running
        if most is None or self._executions.running(now) < most:
            return
        next_end = self._executions.next_end()
        wait = max(1, math.ceil((next_end or now) - now))
        raise Busy(f"{most} executions are running, which is the limit (--max-running)", wait)

    def report(self, kickoff_id: str) -> Report | None:
        """Return the execution as it is now; None if it is unknown."""
        record = self._executions.get(kickoff_id)
        return None if record is None else report(view(record, self._now()))

    def resume(self, resume: Resume) -> str:
        """Refuse: the demo crew needs no human input, and `/resume` is not served."""
        raise NoExecution(resume.execution_id)

    def stats(self) -> dict[str, int]:
        """Return counts; `kickoffs` and `max_kickoffs_per_job` count since the state file was created."""
        return {
            "kickoffs": self._executions.kickoffs(),
            "running": self._executions.running(self._now()),
            "peak_running": self._executions.peak_running,
            "max_kickoffs_per_job": self._executions.most_of_one_job,
        }

    def metrics(self) -> str:
        """Return no metrics: `/metrics` is not served."""
        return "# EOF\n"

    def kickoffs_of(self, job: str) -> int:
        """Return how many executions there are of the batchcrew job with that id."""
        return self._executions.kickoffs_of(job)


def _make(options: ServeOptions, context: ExecutorContext) -> DemoExecutor:
    return DemoExecutor(options, rng=context.rng, now=context.now, sleep=context.sleep)


DEMO = ExecutorKind(serves=lambda options: options.crew is None, make=_make)

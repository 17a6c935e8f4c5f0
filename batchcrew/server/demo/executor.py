"""The demo crew behind the routes: executions are a function of the clock, nothing runs."""

import asyncio
import math
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence

from batchcrew.server.api.executor import Accepted, Busy, ExecutorContext, ExecutorKind, NoExecution
from batchcrew.server.api.kickoff import Body
from batchcrew.server.api.resume import Resume
from batchcrew.server.demo import crew
from batchcrew.server.demo.execution import Record, fate, report, view
from batchcrew.server.demo.kickoff import demand
from batchcrew.server.demo.store import Callbacks, Executions
from batchcrew.server.demo.webhooks import Webhooks
from batchcrew.server.dialects import DIALECTS
from batchcrew.server.options import ServeOptions
from batchcrew.server.report import Input, Report


class DemoExecutor:
    """Implements `Executor` for the demo crew.

    Args:
        rng: the seed of the executions' fates is drawn from it.
        now: seconds since the epoch.
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
        self._executions = Executions(options.state, now=now())
        self._webhooks = Webhooks(DIALECTS[options.dialect], self._executions, now=now, sleep=sleep)

    async def open(self) -> None:
        """Begin to call back."""
        self._webhooks.start()

    async def drain(self) -> None:
        """Nothing runs: there is nothing to wait for."""

    async def close(self) -> None:
        """Stop calling back; what was not sent stays in the state."""
        await self._webhooks.close()
        self._executions.close()

    def accept(self, body: Body, key: str | None) -> Accepted:
        """Start an execution, or find the one that `key` has started."""
        wanted = demand(body)
        known = self._repeated(key)
        if known is not None:
            return known
        now = self._now()
        self._make_room(now)
        turn = self._executions.turn(wanted.work)
        destiny = fate(
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
            duration=destiny.duration,
            fails=destiny.fails,
        )
        callbacks = Callbacks(urls=wanted.urls, meta=wanted.meta) if wanted.urls else None
        while not self._executions.add(
            record, work=wanted.work, turn=turn, key=key, job=wanted.job, callbacks=callbacks
        ):
            known = self._repeated(key)  # another server on the same state file was quicker
            if known is not None:
                return known
        if callbacks is not None:
            self._webhooks.follow(record, callbacks)
        return Accepted(record.kickoff_id, repeated=False)

    def _repeated(self, key: str | None) -> Accepted | None:
        known = None if key is None else self._executions.by_key(key)
        return None if known is None else Accepted(known.kickoff_id, repeated=True)

    def _make_room(self, now: float) -> None:
        most = self._options.max_running
        if most is None or self._executions.running(now) < most:
            return
        next_end = self._executions.next_end()
        wait = max(1, math.ceil((next_end or now) - now))
        raise Busy(f"{most} executions are running, and no more may (--max-running)", wait)

    def report(self, kickoff_id: str) -> Report | None:
        """The execution as it is now."""
        record = self._executions.get(kickoff_id)
        return None if record is None else report(view(record, self._now()))

    def resume(self, resume: Resume) -> str:
        """The demo crew asks no person anything, and `/resume` is not served."""
        raise NoExecution(resume.execution_id)

    def stats(self) -> dict[str, int]:
        """`kickoffs` and `max_kickoffs_per_job` are of the state file's whole life."""
        return {
            "kickoffs": self._executions.kickoffs(),
            "running": self._executions.running(self._now()),
            "peak_running": self._executions.peak_running,
            "max_kickoffs_per_job": self._executions.most_of_one_job,
        }

    def metrics(self) -> str:
        """Not served."""
        return "# EOF\n"

    def kickoffs_of(self, job: str) -> int:
        """Executions of the batchcrew job of that id."""
        return self._executions.kickoffs_of(job)


def _make(options: ServeOptions, context: ExecutorContext) -> DemoExecutor:
    return DemoExecutor(options, rng=context.rng, now=context.now, sleep=context.sleep)


DEMO = ExecutorKind(serves=lambda options: options.crew is None, make=_make)

"""The executor of the demo crew: its executions are a function of the clock, nothing runs."""

import asyncio
import math
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from batchcrew.base.crew_details import CrewDetails
from batchcrew.server.api.executor import (
    Accepted,
    Busy,
    ExecutorContext,
    ExecutorKind,
    KeyReused,
    NoExecution,
    NotPaused,
)
from batchcrew.server.api.kickoff import Body
from batchcrew.server.api.resume import Resume
from batchcrew.server.demo import crew
from batchcrew.server.demo.execution import Record, report, simulate, view
from batchcrew.server.demo.kickoff import demand, digest
from batchcrew.server.demo.review import Review
from batchcrew.server.demo.store import Callbacks, DemoStore
from batchcrew.server.demo.webhook_faults import WebhookFaults
from batchcrew.server.demo.webhooks import Webhooks
from batchcrew.server.dialects import DIALECTS
from batchcrew.server.options import ServeOptions
from batchcrew.server.phases import Phases
from batchcrew.server.report import Input, Report
from batchcrew.server.webhook_targets import WebhookTargets

T = TypeVar("T")


class DemoExecutor:
    """Implements `Executor` for the demo crew.

    Args:
        rng: gives the seed of the executions' outcomes.
        targets: where webhooks may be sent.
        now: returns seconds since the epoch.
        sleep: used for webhooks only.
    """

    real = False
    name = "the demo crew"
    description = crew.NO_MODEL
    details: CrewDetails | None = None
    inputs: Sequence[Input] = tuple(Input(name=name) for name in crew.INPUTS)

    def __init__(
        self,
        options: ServeOptions,
        *,
        rng: random.Random,
        targets: WebhookTargets,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._options = options
        self._seed = rng.getrandbits(63)
        self._now = now
        self._began = now()
        self._started = 0
        """Executions of this server: `Phases` may depend on their number."""
        self._execution_time = Phases.of(options.execution_time)
        self._max_running = None if options.max_running is None else Phases.of(options.max_running)
        self._executions = DemoStore(options.state, now=now())
        self._webhooks = Webhooks(
            DIALECTS[options.dialect],
            self._executions,
            faults=WebhookFaults(options, random.Random(self._seed)),
            targets=targets,
            secret=options.webhook_secret,
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

    def repeated(self, body: Body, key: str | None) -> Accepted | None:
        """Return the execution that was started with `key`; None if there is none."""
        known = None if key is None else self._executions.by_key(key)
        if known is None:
            return None
        kickoff_id, work = known
        if work != digest(body.inputs):
            raise KeyReused
        return Accepted(kickoff_id, repeated=True)

    def accept(self, body: Body, key: str | None) -> Accepted:
        """Start an execution, or return the one that was started with `key`."""
        wanted = demand(body)
        known = self.repeated(body, key)
        if known is not None:
            return known
        now = self._now()
        self._check_limit(now)
        turn = self._executions.turn(wanted.work)
        outcome = simulate(
            seed=self._seed,
            work=wanted.work,
            turn=turn,
            execution_time=self._current(self._execution_time, now),
            fail_rate=self._options.fail_rate,
            human_rate=self._options.human_rate,
        )
        pause_at = now + crew.RESEARCH.share * outcome.duration
        record = Record(
            kickoff_id=str(uuid.uuid4()),
            trip=wanted.trip,
            started=now,
            duration=outcome.duration,
            fails=outcome.fails,
            review=Review(pause_at=pause_at) if outcome.asks else None,
        )
        callbacks = None
        if wanted.urls:
            callbacks = Callbacks(
                urls=wanted.urls, meta=wanted.meta, events=wanted.events, authorization=wanted.authorization
            )
        while not self._executions.add(
            record, work=wanted.work, turn=turn, key=key, job=wanted.job, callbacks=callbacks
        ):
            known = self.repeated(body, key)  # another server with the same state file was first
            if known is not None:
                return known
        self._started += 1
        if callbacks is not None:
            self._webhooks.add(record, callbacks)
        return Accepted(record.kickoff_id, repeated=False)

    def _check_limit(self, now: float) -> None:
        if self._max_running is None:
            return
        most, running = self._current(self._max_running, now), self._executions.running(now)
        if running < most:
            return
        free_at = self._executions.next_end(running - most + 1)
        wait = max(1, math.ceil((free_at or now) - now))
        limit = "which is the limit" if running == most else f"and the limit is {most} now"
        raise Busy(f"{running} executions are running, {limit} (--max-running)", wait)

    def _current(self, phases: Phases[T], now: float) -> T:
        return phases.at(executions=self._started, seconds=now - self._began)

    def report(self, kickoff_id: str) -> Report | None:
        """Return the execution as it is now; None if it is unknown."""
        record = self._executions.get(kickoff_id)
        return None if record is None else report(view(record, self._now()))

    def resume(self, resume: Resume) -> str:
        """Continue an execution whose first task was approved, or repeat that task with feedback."""
        record, now = self._executions.get(resume.execution_id), self._now()
        if record is None:
            raise NoExecution(resume.execution_id)
        review = record.review
        if review is None or not review.waits(now):
            raise NotPaused("the execution does not wait for human input")
        if resume.task_id != crew.RESEARCH.task_id:
            raise NotPaused(f"the execution waits at another task: task_id {crew.RESEARCH.task_id}")
        review = replace(review, answers=review.answers + 1, feedback=resume.feedback)
        if resume.approved:
            review = replace(review, approved_at=now)
        else:
            again = now + crew.RESEARCH.share * record.duration
            review = replace(review, rejected=review.rejected + 1, pause_at=again)
        record = self._executions.answered(record, review)
        self._webhooks.resume(record, resume.urls, now)
        return "resumed" if resume.approved else "retrying"

    def stats(self) -> dict[str, int]:
        """Return counts; `kickoffs` and `max_kickoffs_per_job` count since the state file was created."""
        paused, answers = self._executions.human(self._now())
        return {
            "kickoffs": self._executions.kickoffs(),
            "running": self._executions.running(self._now()),
            "peak_running": self._executions.peak_running,
            "max_kickoffs_per_job": self._executions.most_of_one_job,
            "paused": paused,
            "human_answers": answers,
        }

    def metrics(self) -> str:
        """Return no metrics: `/metrics` is not served."""
        return "# EOF\n"

    def kickoffs_of(self, job: str) -> int:
        """Return how many executions there are of the batchcrew job with that id."""
        return self._executions.kickoffs_of(job)


def _make(options: ServeOptions, context: ExecutorContext) -> DemoExecutor:
    return DemoExecutor(options, rng=context.rng, targets=context.targets, now=context.now, sleep=context.sleep)


DEMO = ExecutorKind(serves=lambda options: options.crew is None, make=_make)

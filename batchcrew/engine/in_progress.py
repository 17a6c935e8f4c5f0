"""Manage the attempts in progress, each in its own task, also when a run stops."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from batchcrew.base.clock import Clock
from batchcrew.engine.attempt import AttemptTask, Phase
from batchcrew.engine.stopping import Stop
from batchcrew.model.control import Given

GRACE_SECONDS = 10.0
"""How long a run that leaves waits for the answers of kickoffs on the wire."""
LEAVING_TICK_SECONDS = 0.05
"""How often a run that leaves checks which kickoffs have their answer."""


class InProgress:
    """The one set of attempts in progress. Memory grows with concurrency: nothing else has a task.

    Args:
        changed: set when an attempt's task ends.
    """

    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed
        self._tasks: dict[asyncio.Task[None], AttemptTask] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, group: asyncio.TaskGroup, attempt: AttemptTask, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`, which runs the attempt and records its outcome, in a new task."""
        task = group.create_task(work)
        self._tasks[task] = attempt
        task.add_done_callback(self._forget)  # a task that is cancelled before it has begun does not run `finally`

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task).abandon()
        self._changed.set()

    def on_the_wire(self) -> bool:
        """Return whether a kickoff waits for its answer: if it is refused, another one may leave in its place."""
        return any(attempt.phase is Phase.KICKING_OFF for attempt in self._tasks.values())

    def cancel(self, *, on_the_wire: bool) -> None:
        """Stop watching.

        Args:
            on_the_wire: also stop waiting for the answers of kickoffs, except for those that are the results.
        """
        for task, attempt in list(self._tasks.items()):
            if attempt.waits_for_result:
                continue
            if on_the_wire or attempt.phase is Phase.WATCHING:
                task.cancel()

    def jobs(self) -> list[int]:
        """Return the ledger's row numbers of their jobs."""
        return [attempt.attempt.job_key for attempt in self._tasks.values()]

    def apply_timeout(self) -> None:
        """Use a `run.timeout` that was set meanwhile for all of them."""
        for attempt in list(self._tasks.values()):
            attempt.apply_timeout()

    def let_go(self, job: int, given: Given) -> None:
        """Stop watching the execution of a job that an operator has cancelled; a kickoff on the wire is awaited."""
        for task, attempt in self._tasks.items():
            if attempt.attempt.job_key == job:
                attempt.let_go(given)
                if attempt.can_be_let_go:
                    task.cancel()

    async def leave_when_requested(self, stop: Stop, clock: Clock, preparing: Iterable[asyncio.Task[None]]) -> None:
        """Carry out a stop: wake the loop; when the run leaves, cancel watching at once and kickoffs after the grace.

        Kickoffs that are answered with the result end within `run.timeout`; cancelled, they would be paid for in vain.

        Args:
            preparing: tasks that a stop cancels.
        """
        while not stop.leave:
            await stop.changed.wait()
            stop.changed.clear()
            for task in preparing:
                task.cancel()
            self._changed.set()
        until = clock.monotonic() + GRACE_SECONDS
        while self._tasks:
            self.cancel(on_the_wire=clock.monotonic() >= until)
            await clock.sleep(LEAVING_TICK_SECONDS)

"""The attempts in flight, each in a task of its own, and what becomes of them when a run ends."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias

from batchcrew.base.clock import Clock
from batchcrew.engine.attempt import AttemptRunner, AttemptTask, Phase
from batchcrew.engine.limits.gate import Gate
from batchcrew.engine.stopping import Stop
from batchcrew.model.attempt import Attempt, Outcome

GRACE_SECONDS = 10.0
"""How long kickoffs that are on the wire may take to get their answer once a run is leaving."""
LEAVING_TICK_SECONDS = 0.05
"""How often a run that leaves looks which kickoffs have their answer."""

Live: TypeAlias = Callable[[AttemptRunner, AttemptTask], Awaitable[Outcome | None]]


class InProgress:
    """Tasks for what is in flight, and for nothing else: memory grows with concurrency.

    Args:
        live: lives an attempt through to its durable outcome.
        wake: set when one ends.
    """

    def __init__(
        self, gates: Mapping[str, Gate], *, live: Callable[[AttemptTask, Live], Awaitable[None]], wake: asyncio.Event
    ) -> None:
        self._gates = gates
        self._live = live
        self._wake = wake
        self._tasks: dict[asyncio.Task[None], AttemptTask] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, group: asyncio.TaskGroup, attempt: Attempt, live: Live) -> None:
        """Live an attempt whose slot is taken."""
        life = AttemptTask(attempt, Phase.KICKING_OFF if attempt.kickoff_id is None else Phase.WATCHING)
        task = group.create_task(self._run(life, live))
        self._tasks[task] = life
        task.add_done_callback(self._forget)  # a task that is cancelled before it began runs no finally

    async def _run(self, life: AttemptTask, live: Live) -> None:
        await self._live(life, live)

    def _forget(self, task: asyncio.Task[None]) -> None:
        life = self._tasks.pop(task)
        if not (life.ended or life.left):  # the run leaves it for the next one
            self._gates[life.attempt.crew].give_back(accepted=life.accepted)
        self._wake.set()

    def on_the_wire(self) -> bool:
        """Whether a kickoff waits for its answer: it may yet be refused, and then another may leave in its place."""
        return any(life.phase is Phase.KICKING_OFF for life in self._tasks.values())

    def cut_off(self, *, on_the_wire: bool) -> None:
        """Stop watching; with `on_the_wire`, stop waiting for the answers of kickoffs too."""
        for task, life in list(self._tasks.items()):
            if on_the_wire or life.phase is Phase.WATCHING:
                task.cancel()

    async def leave_when_told(self, stop: Stop, clock: Clock, preparing: Iterable[asyncio.Task[None]]) -> None:
        """Carry a stop out: wake the loop; when the run is to leave, cut watching off at once and what is on
        the wire after its grace."""
        while not stop.leave:
            await stop.changed.wait()
            stop.changed.clear()
            for task in preparing:
                task.cancel()
            self._wake.set()
        until = clock.monotonic() + GRACE_SECONDS
        while self._tasks:
            self.cut_off(on_the_wire=clock.monotonic() >= until)
            await clock.sleep(LEAVING_TICK_SECONDS)

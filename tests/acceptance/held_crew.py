"""Run the embedded server in this process with the test's clock: executions end when the test ends them."""

import asyncio
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from cli_process import TOKEN, Process, wait_until

from batchcrew.server import CrewServer, ServeOptions, Spread

START = 1_800_000_000.0
EXECUTION_SECONDS = 10.0


class HeldCrew:
    """A context manager that runs the server. No execution ends before `finish` or `release`."""

    def __init__(self, **options: Any) -> None:
        settings = {"token": TOKEN, "execution_time": Spread(EXECUTION_SECONDS), "idempotency": False, **options}
        self._options = ServeOptions(**settings)
        self._now = START
        self._step = 0.0
        self.answers = 0
        """The number of kickoff and status requests."""
        self._ready: Future[CrewServer] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="held-crew")

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with CrewServer(self._options, now=self._time, faults=self) as server:
            self._ready.set_result(server)
            await self._over.wait()

    def next(self, route: str) -> None:
        """Count a request, and inject no fault."""
        self.answers += 1

    def _time(self) -> float:
        self._now += self._step
        return self._now

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._ready.result()
        self.url = self._server.url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def stats(self) -> dict[str, int]:
        """Return the server's counters."""

        async def read() -> dict[str, int]:
            return self._server.stats

        return asyncio.run_coroutine_threadsafe(read(), self._loop).result()

    @property
    def kickoffs(self) -> int:
        """The number of accepted kickoffs."""
        return self.stats()["kickoffs"]

    def finish(self) -> None:
        """End every running execution."""
        self._now += EXECUTION_SECONDS

    def release(self) -> None:
        """From now on, end an execution before its next status request."""
        self._step = EXECUTION_SECONDS

    def wait_for_kickoffs(self, number: int, process: Process) -> None:
        """Wait until the server has accepted this many kickoffs; fails if the process ends before that."""
        wait_until(lambda: self.kickoffs >= number, process)

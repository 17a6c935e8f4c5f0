"""Executions in worker processes: what runs there cannot keep the server from answering, nor take it down.

Invariants:
- Each execution that was started is heard of as `ended` exactly once, whatever becomes of its worker.
- A worker that ends by itself ends its own executions only, and another takes its place.
- A worker in which an execution was cancelled starts nothing more. It is killed as soon as nothing else runs in it
  (a thread cannot be ended), and another takes its place at once.
- An execution that waits for a person does not use up a thread's place in its worker, up to MAX_PAUSED of them.
"""

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, Any

from batchcrew.base.errors import UsageError
from batchcrew.server.options import CrewOptions
from batchcrew.server.workers.messages import MAX_MESSAGE, Message, encode, receive
from batchcrew.server.workers.pool import Description, PoolListener

LOG = logging.getLogger("batchcrew.server")
MAX_PAUSED = 100
"""Executions of one worker that may wait for a person beside those that run: each keeps a thread."""
MAX_LOG = 10 * 2**20
"""Bytes of a log; a larger one is begun anew."""
RESTART_WAITS = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds before a worker is started again that ended before it was ready; the last one stays."""


class Worker:
    """One process and what runs in it."""

    def __init__(self, process: Process, number: int) -> None:
        self.process = process
        self.number = number
        """Of no other one that lives: a folder goes with it."""
        self.ready = False
        self.retired = False
        """True: it starts nothing more."""
        self.running: set[str] = set()
        self.paused: set[str] = set()
        self.left = asyncio.Event()
        """Set when another is to take its place."""

    def room(self, threads: int) -> int:
        """How many executions it could start now."""
        if not self.ready or self.retired:
            return 0
        return max(0, threads - len(self.running) + min(len(self.paused), MAX_PAUSED))

    def send(self, message: Message) -> None:
        """Send; what a worker that has gone does not read is heard of by its end."""
        assert self.process.stdin is not None  # noqa: S101 - it was started with a pipe
        if not self.process.stdin.is_closing():
            self.process.stdin.write(encode(message))

    def kill(self) -> None:
        """End it and what its crews have started (it has a process group of its own)."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


class ProcessPool:
    """Implements `Pool`.

    Args:
        storage: an absolute folder; in it each worker has one for what the library keeps by itself.
        sleep: before a worker that cannot start is started again.
    """

    def __init__(self, options: CrewOptions, *, storage: Path, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._options = options
        self._storage = storage
        self._sleep = sleep
        self._workers: list[Worker] = []
        self._of: dict[str, Worker] = {}
        """The worker of each execution that has not ended."""
        self._ear: PoolListener | None = None
        self._places: list[asyncio.Task[None]] = []
        self._follows: set[asyncio.Task[None]] = set()
        self._described: asyncio.Future[Description] | None = None
        self._log: IO[bytes] | None = None
        self._lost = 0

    async def open(self, ear: PoolListener) -> Description:
        """Start the workers; the first one that is ready says what is served."""
        self._ear = ear
        self._described = asyncio.get_running_loop().create_future()
        if self._options.log is not None:
            self._log = _open_log(self._options.log)
        self._places = [
            asyncio.create_task(self._place(), name=f"worker-{number}") for number in range(self._options.workers)
        ]
        try:
            return await self._described
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Kill the workers."""
        self._ear = None
        for place in self._places:
            place.cancel()
        await asyncio.gather(*self._places, return_exceptions=True)
        for worker in self._workers:
            worker.kill()
        await asyncio.gather(*self._follows, return_exceptions=True)  # each ends with its worker
        if self._log is not None:
            self._log.close()
            self._log = None

    def room(self) -> int:
        """How many executions could be started now."""
        return sum(worker.room(self._options.threads) for worker in self._workers)

    def gauges(self) -> Mapping[str, int]:
        """Counts of workers."""
        ready = sum(worker.ready and not worker.retired for worker in self._workers)
        return {"workers": self._options.workers, "workers_ready": ready, "workers_lost": self._lost}

    def start(self, kickoff_id: str, inputs: Mapping[str, Any], events: frozenset[str]) -> None:
        """Start an execution in the worker with most room."""
        worker = max(self._workers, key=lambda one: one.room(self._options.threads))
        self._of[kickoff_id] = worker
        worker.running.add(kickoff_id)
        worker.send({"kind": "start", "id": kickoff_id, "inputs": inputs, "events": sorted(events)})

    def answer(self, kickoff_id: str, *, approved: bool, text: str) -> None:
        """Pass a person's answer on."""
        worker = self._of[kickoff_id]
        worker.paused.discard(kickoff_id)
        worker.send({"kind": "answer", "id": kickoff_id, "approved": approved, "text": text})

    def cancel(self, kickoff_id: str, reason: str) -> None:
        """Give the execution up; its worker ends when nothing else runs in it."""
        worker = self._of[kickoff_id]
        if not worker.retired:
            self._retire(worker)
        self._ended({"kind": "ended", "id": kickoff_id, "error": reason})

    async def _place(self) -> None:
        """Keep one worker at work."""
        misses = 0
        while True:
            if misses:
                await self._sleep(RESTART_WAITS[min(misses, len(RESTART_WAITS)) - 1])
            worker = await self._begun()
            self._workers.append(worker)
            follow = asyncio.create_task(self._follow(worker), name=f"worker {worker.process.pid}")
            self._follows.add(follow)
            follow.add_done_callback(self._follows.discard)
            await worker.left.wait()
            misses = 0 if worker.ready else misses + 1

    async def _begun(self) -> Worker:
        target = self._options.target
        process = await asyncio.create_subprocess_exec(
            *self._options.command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=self._log,
            limit=2 * MAX_MESSAGE,
            start_new_session=True,  # Ctrl-C on the terminal is for the server
        )
        worker = Worker(process, self._free_number())
        storage = self._storage / f"worker-{worker.number}"
        worker.send({"target": target.to_json(), "storage": str(storage)})
        return worker

    def _free_number(self) -> int:
        taken = {worker.number for worker in self._workers}
        return next(number for number in range(1, len(taken) + 2) if number not in taken)

    async def _follow(self, worker: Worker) -> None:
        """Hear a worker until it has gone."""
        assert worker.process.stdout is not None  # noqa: S101 - it was started with a pipe
        try:
            while (message := await receive(worker.process.stdout)) is not None:
                self._hear(worker, message)
        except Exception:  # a message that cannot be understood: the worker is no use any more
            LOG.exception("a worker said something that is no message")
        finally:
            worker.kill()
            self._workers.remove(worker)
            worker.left.set()
        await self._gone(worker, await worker.process.wait())

    def _hear(self, worker: Worker, message: Message) -> None:
        kind, kickoff_id = message["kind"], message.get("id", "")
        if kind == "ready":
            worker.ready = True
            self._describe(message)
            self._free()
        elif kind == "refused":
            self._refuse(message["message"])
        elif self._of.get(kickoff_id) is worker:  # else it was cancelled, and its thread goes on unheard
            if kind == "ended":
                self._ended(message)
                return
            if kind == "paused":
                worker.paused.add(kickoff_id)
            self._tell(message)
            if kind == "paused":
                self._free()

    def _ended(self, message: Message) -> None:
        kickoff_id = message["id"]
        worker = self._of.pop(kickoff_id)
        worker.running.discard(kickoff_id)
        worker.paused.discard(kickoff_id)
        if worker.retired and not worker.running:
            worker.kill()
        self._tell(message)
        self._free()

    def _tell(self, message: Message) -> None:
        if self._ear is None:
            return
        try:
            self._ear.hear(message)
        except Exception:  # a full disk, or a defect: it costs this message, not the worker and all that runs in it
            LOG.exception("what a worker said of %s could not be kept", message["id"])

    def _free(self) -> None:
        if self._ear is not None:
            self._ear.free()

    def _retire(self, worker: Worker) -> None:
        worker.retired = True
        worker.left.set()

    async def _gone(self, worker: Worker, code: int) -> None:
        if worker.ready and not worker.retired and self._ear is not None:
            self._lost += 1
            LOG.warning("a worker %s; another takes its place", _way(code))
        if not worker.ready and self._ear is not None:
            self._refuse(f"{self._options.target.name} cannot be served: its worker {_way(code)} while it was loaded")
        for kickoff_id in list(worker.running):
            self._ended({"kind": "ended", "id": kickoff_id, "error": f"its worker process {_way(code)}"})

    def _describe(self, message: Message) -> None:
        if self._described is not None and not self._described.done():
            self._described.set_result(
                Description(
                    name=message["name"],
                    what=message["what"],
                    inputs=tuple(message["inputs"]),
                    total=message["total"],
                    events=frozenset(message["events"]),
                )
            )

    def _refuse(self, reason: str) -> None:
        """A target that cannot be loaded: at the start it ends the server, later it is tried again."""
        if self._described is not None and not self._described.done():
            self._described.set_exception(UsageError(reason))
        else:
            LOG.warning("%s; it is tried again", reason)


def _open_log(path: Path) -> IO[bytes]:
    """Goes on with the file, or begins it anew when it has grown large.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        large = path.exists() and path.stat().st_size > MAX_LOG
        mode = os.O_TRUNC if large else os.O_APPEND
        # what a crew prints may hold prompts: it is its owner's only
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | mode, 0o600), "wb" if large else "ab")
    except OSError as error:
        raise UsageError(f"the crew's log {path} cannot be written: {error}") from error


def _way(code: int) -> str:
    """How a process has ended, in words."""
    if code >= 0:
        return f"ended by itself with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (the machine may have run out of memory)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"

"""Executions in worker processes: a crew's code cannot keep the server from answering, nor end it.

Invariants:
- The listener receives `Ended` exactly once for each execution that was started, whatever happens to its worker.
- A worker process that ends takes only its own executions with it; another one replaces it.
- A worker in which an execution was cancelled starts nothing more. It is killed as soon as nothing else runs in it
  (a thread cannot be ended); its replacement starts immediately.
- A worker that sends a malformed message is killed: a crew's code wrote to its pipe.
- An execution that waits for human input does not count as one of its worker's threads, up to MAX_PAUSED of them.
- With isolation `process`, a worker runs one execution and is killed; others are loaded in advance.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, Any

from batchcrew.base.errors import UsageError
from batchcrew.base.text import clean_text
from batchcrew.server.options import CrewOptions
from batchcrew.server.workers.frames import MAX_MESSAGE, frame, receive
from batchcrew.server.workers.messages import (
    AboutExecution,
    Ended,
    FromWorker,
    HumanAnswer,
    Load,
    LoadFailed,
    MalformedMessage,
    Paused,
    Ready,
    Start,
    ToWorker,
    Warned,
)
from batchcrew.server.workers.pool import PoolListener

LOG = logging.getLogger("batchcrew.server")
MAX_PAUSED = 100
"""Executions of one worker that may wait for human input in addition to those that run: each keeps a thread."""
MAX_PAUSED_ALONE = 10
"""The same with isolation `process`, where each keeps a process."""
MAX_SPARE = 2
"""Workers that are loaded in advance with isolation `process`, in addition to those that run executions."""
MAX_LOG = 10 * 2**20
"""Size in bytes from which a log is started again."""
MAX_SHOWN = 500
"""Characters of a worker's text in the server's log."""
MAX_WARNINGS = 200
"""Warnings about the target in the server's log."""
YIELD_EVERY = 100
"""Messages of a worker after which the server's other tasks run, also if the worker sends without a pause."""
_ALONE = "alone-"
"""Beginning of the folder of a worker that runs one execution."""
RESTART_WAITS = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds before the replacement of a worker that ended before it was ready; the last value repeats."""


class Worker:
    """One process and its executions."""

    def __init__(self, process: Process, number: int) -> None:
        self.process = process
        self.number = number
        """Unique among the workers that exist now: each number has a folder."""
        self.used = False
        """True: an execution has been started in it."""
        self.ready = False
        self.retired = False
        """True: it starts nothing more."""
        self.fault = ""
        """Why the server killed it; empty if it did not."""
        self.running: set[str] = set()
        self.paused: set[str] = set()
        self.replaceable = asyncio.Event()
        """Set when another worker is to replace it."""

    def free(self, threads: int) -> int:
        """Return how many executions it could start now."""
        if not self.ready or self.retired:
            return 0
        return max(0, threads - len(self.running) + min(len(self.paused), MAX_PAUSED))

    def send(self, message: ToWorker) -> None:
        """Send a message. A worker that has ended does not read it; its end is noticed elsewhere."""
        assert self.process.stdin is not None  # noqa: S101 - it was started with a pipe
        if not self.process.stdin.is_closing():
            self.process.stdin.write(frame(message))

    def kill(self) -> None:
        """Kill it and the processes that its crews started (it has its own process group)."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


class ProcessPool:
    """Implements `Pool`.

    Args:
        storage: an absolute folder, in which each worker has one for the files of the crew's library.
        outputs: an absolute folder for outputs that are too large to be stored; None: they are lost.
        sleep: waits before a worker that cannot start is started again.
        warn: reports what crews do to each other; default: the log.
    """

    def __init__(
        self,
        options: CrewOptions,
        *,
        storage: Path,
        sleep: Callable[[float], Awaitable[None]],
        outputs: Path | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._options = options
        self._storage = storage
        self._outputs = outputs
        self._sleep = sleep
        self._report = warn or (lambda text: LOG.warning("%s: %s", options.target.name, text))
        self._workers: list[Worker] = []
        self._worker_of: dict[str, Worker] = {}
        """The worker of each execution that has not ended."""
        self._listener: PoolListener | None = None
        self._places: list[asyncio.Task[None]] = []
        self._readers: set[asyncio.Task[None]] = set()
        self._described: asyncio.Future[Ready] | None = None
        self._log: IO[bytes] | None = None
        self._lost = 0
        self._alone = options.isolation == "process"
        self._threads = 1 if self._alone else options.threads
        self._started_workers = 0
        self._own = tuple(str(path) for path in (storage, outputs, options.artifacts, options.log) if path is not None)
        self._warned: set[str] = set()

    async def open(self, listener: PoolListener) -> Ready:
        """Start the workers, and return the description of the first one that is ready."""
        self._listener = listener
        self._described = asyncio.get_running_loop().create_future()
        if self._options.log is not None:
            self._log = _open_log(self._options.log)
        if self._alone:  # what an earlier server has left
            await asyncio.to_thread(_remove_all, self._storage, f"{_ALONE}*")
        self._keep_workers(self._options.workers)
        try:
            return await self._described
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Kill the workers."""
        self._listener = None
        for place in self._places:
            place.cancel()
        await asyncio.gather(*self._places, return_exceptions=True)
        for worker in self._workers:
            worker.kill()
        await asyncio.gather(*self._readers, return_exceptions=True)  # each ends with its worker
        if self._log is not None:
            self._log.close()
            self._log = None

    def free(self) -> int:
        """Return how many executions could be started now."""
        free = sum(worker.free(self._threads) for worker in self._workers if not (self._alone and worker.used))
        if not self._alone:
            return free
        paused = sum(len(worker.paused) for worker in self._workers)
        return max(0, min(free, self._options.workers - len(self._worker_of) + min(paused, MAX_PAUSED_ALONE)))

    def gauges(self) -> Mapping[str, int]:
        """Return counts of workers."""
        ready = sum(worker.ready and not worker.retired for worker in self._workers)
        return {"workers": len(self._places), "workers_ready": ready, "workers_lost": self._lost}

    def start(self, kickoff_id: str, inputs: Mapping[str, Any], events: frozenset[str], *, artifacts: str = "") -> None:
        """Start an execution in the worker with the most free threads."""
        fresh = (worker for worker in self._workers if not (self._alone and worker.used))
        worker = max(fresh, key=lambda one: one.free(self._threads))
        if self._alone and len(self._places) == self._options.workers:  # none before: `check` starts no execution
            self._keep_workers(min(self._options.workers, MAX_SPARE))
        worker.used = True
        self._worker_of[kickoff_id] = worker
        worker.running.add(kickoff_id)
        worker.send(Start(kickoff_id=kickoff_id, inputs=inputs, events=tuple(sorted(events)), artifacts=artifacts))

    def answer(self, kickoff_id: str, *, approved: bool, text: str) -> None:
        """Pass the human input to the execution's worker."""
        worker = self._worker_of[kickoff_id]
        worker.paused.discard(kickoff_id)
        worker.send(HumanAnswer(kickoff_id=kickoff_id, approved=approved, text=text))

    def cancel(self, kickoff_id: str, reason: str) -> None:
        """End the execution with an error; its worker ends when nothing else runs in it."""
        worker = self._worker_of[kickoff_id]
        worker.retired = True
        worker.replaceable.set()
        self._end(Ended(kickoff_id=kickoff_id, error=reason))

    def _keep_workers(self, count: int) -> None:
        begin = len(self._places)
        self._places += [
            asyncio.create_task(self._keep_worker(), name=f"worker-{begin + number}") for number in range(count)
        ]

    async def _keep_worker(self) -> None:
        """Keep one worker running: start it, and replace it when it ends or is retired."""
        misses = 0
        while True:
            if misses:
                await self._sleep(RESTART_WAITS[min(misses, len(RESTART_WAITS)) - 1])
            worker = await self._started()
            self._workers.append(worker)
            reader = asyncio.create_task(self._read(worker), name=f"worker {worker.process.pid}")
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
            await worker.replaceable.wait()
            misses = 0 if worker.ready else misses + 1

    async def _started(self) -> Worker:
        process = await asyncio.create_subprocess_exec(
            *self._options.command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=self._log,
            limit=2 * MAX_MESSAGE,
            env=None if self._options.environment is None else dict(self._options.environment),
            start_new_session=True,  # Ctrl-C on the terminal is for the server
        )
        worker = Worker(process, self._free_number())
        worker.send(self._load(worker.number))
        return worker

    def _load(self, number: int) -> Load:
        options = self._options
        return Load(
            target=options.target,
            storage=str(self._folder(number)),
            outputs="" if self._outputs is None else str(self._outputs),
            log="" if options.log is None else str(options.log),
            seconds=options.load_timeout,
            inputs=options.inputs,
            describe=options.describe,
            flows=str(self._storage / "flows"),
            memory=options.memory,
            own=self._own,
            single_use=self._alone,
        )

    def _folder(self, number: int) -> Path:
        return self._storage / f"{_ALONE if self._alone else 'worker-'}{number}"

    def _free_number(self) -> int:
        if self._alone:
            self._started_workers += 1
            return self._started_workers
        taken = {worker.number for worker in self._workers}
        return next(number for number in range(1, len(taken) + 2) if number not in taken)

    async def _read(self, worker: Worker) -> None:
        """Handle the messages of a worker until it has ended."""
        assert worker.process.stdout is not None  # noqa: S101 - it was started with a pipe
        try:
            handled = 0
            while (message := await receive(worker.process.stdout)) is not None:
                self._handle(worker, message)
                handled += 1
                if handled % YIELD_EVERY == 0:  # receiving a message that is buffered already does not yield
                    await asyncio.sleep(0)
        except MalformedMessage as error:
            worker.fault = f"sent a malformed message: {error}"
        except Exception:  # a defect of the server costs this worker, not the others
            LOG.exception("a message of a worker could not be handled")
            worker.fault = "was stopped, because its message could not be handled"
        finally:
            worker.kill()
            self._workers.remove(worker)
            worker.replaceable.set()
        code = await worker.process.wait()
        self._gone(worker, worker.fault or describe_exit(code))
        if self._alone:
            await asyncio.to_thread(shutil.rmtree, self._folder(worker.number), ignore_errors=True)

    def _handle(self, worker: Worker, message: FromWorker) -> None:
        if isinstance(message, Warned):
            self._warn(message.text)
        elif isinstance(message, Ready | LoadFailed):
            if worker.ready:
                raise MalformedMessage(f"{type(message).__name__} is only valid before a worker is ready")
            if isinstance(message, LoadFailed):
                self._refuse(message.message)
                return
            worker.ready = True
            if self._described is not None and not self._described.done():
                self._described.set_result(message)
            self._notify_free()
        elif self._worker_of.get(message.kickoff_id) is worker:  # else it was cancelled; its thread still runs
            if isinstance(message, Ended):
                self._end(message)
                return
            if isinstance(message, Paused):
                worker.paused.add(message.kickoff_id)
                if self._alone and sum(len(one.paused) for one in self._workers) <= MAX_PAUSED_ALONE:
                    worker.replaceable.set()
            self._notify(message)
            if isinstance(message, Paused):
                self._notify_free()

    def _warn(self, text: str) -> None:
        """Report a worker's warning, unless another worker has sent the same one."""
        if text not in self._warned and len(self._warned) < MAX_WARNINGS:
            self._warned.add(text)
            self._report(clean_text(text, limit=MAX_SHOWN))

    def _end(self, message: Ended) -> None:
        worker = self._worker_of.pop(message.kickoff_id)
        worker.running.discard(message.kickoff_id)
        worker.paused.discard(message.kickoff_id)
        if self._alone:
            worker.retired = True
            worker.replaceable.set()
        if worker.retired and not worker.running:
            worker.kill()
        self._notify(message)
        self._notify_free()

    def _notify(self, message: AboutExecution) -> None:
        if self._listener is None:
            return
        try:
            self._listener.on_message(message)
        except Exception:  # a full disk, or a defect: it costs this message, not the worker and all its executions
            LOG.exception("a message about %s could not be stored", message.kickoff_id)

    def _notify_free(self) -> None:
        if self._listener is not None:
            self._listener.on_free()

    def _gone(self, worker: Worker, how: str) -> None:
        if self._listener is not None:
            if not worker.ready:
                self._refuse(f"{self._options.target.name} cannot be served: its worker {how} while loading it")
            elif not worker.retired:
                self._lost += 1
                LOG.warning("a worker %s; another one replaces it", how)
        for kickoff_id in list(worker.running):
            self._end(Ended(kickoff_id=kickoff_id, error=f"its worker process {how}"))

    def _refuse(self, reason: str) -> None:
        """Report a target that cannot be loaded: at the start it ends the server, later loading is tried again."""
        if self._described is not None and not self._described.done():
            self._described.set_exception(UsageError(reason))
        else:
            LOG.warning("%s; trying again", clean_text(reason, limit=MAX_SHOWN))


def _remove_all(folder: Path, pattern: str) -> None:
    for found in folder.glob(pattern):
        shutil.rmtree(found, ignore_errors=True)


def _open_log(path: Path) -> IO[bytes]:
    """Open the log at its end, or empty it if it has grown large.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        large = path.exists() and path.stat().st_size > MAX_LOG
        mode = os.O_TRUNC if large else os.O_APPEND
        # A crew's output may contain prompts: only the owner may read it.
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | mode, 0o600), "wb" if large else "ab")
    except OSError as error:
        raise UsageError(f"the crew's log {path} cannot be written: {error}") from error


def describe_exit(code: int) -> str:
    """Return how a process ended, as the end of a sentence about it."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (the machine may have run out of memory)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"

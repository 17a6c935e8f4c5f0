"""Start `batchcrew` in separate processes, as you and cron do, and crew servers for it."""

import atexit
import csv
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

TOKEN = "a-token-of-the-tests"
JOB_FILE = """
crew: {{url: "{url}", token: "${{CREW_TOKEN}}"}}
run: {{concurrency: 6, poll: {{initial: 20ms, max: 100ms}}, retry: {{backoff: 20ms}}}}
jobs: [{{rows: trips.csv}}]
"""
INPUTS = {"budget": "1", "interests": "x", "duration": "1 day", "age": "3"}
LONGEST_SECONDS = 240.0
"""Shorter than pytest's timeout, so that the report of a hanging process includes its output."""


def environment(**more: str) -> dict[str, str]:
    """Return this environment without your own batchcrew settings, and with those of `more`."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("BATCHCREW_", "CREW_"))}
    return {**plain, "CREW_TOKEN": TOKEN, **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """How a process differs from a plain call.

    Args:
        stdout: a descriptor to use instead of the pipe that the test reads.
        stderr: a descriptor to use instead of the pipe that the test reads.
        closed: the standard descriptors (0, 1, 2) to close, as `>&-` does in a shell.
        limits: soft and hard limits by their name in `resource`.
        umask: the umask of the process; None: that of the tests.
        script: a Python file to run instead of `batchcrew`.
    """

    stdout: int | None = None
    stderr: int | None = None
    closed: tuple[int, ...] = ()
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)
    umask: int | None = None
    script: Path | None = None


PLAIN = ProcessOptions()


class Process:
    """A `batchcrew` process, with the part of the API of `subprocess.Popen` that the tests use."""

    def __init__(self, pid: int, stdout: IO[str], stderr: IO[str], status: IO[str]) -> None:
        self.pid = pid
        self.stdout, self.stderr = stdout, stderr
        self.returncode: int | None = None
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, args=(status,), daemon=True)
        self._watcher.start()

    def _watch(self, status: IO[str]) -> None:
        with status:
            line = status.readline()
        self.returncode = int(line) if line else -signal.SIGKILL
        self._ended.set()

    def poll(self) -> int | None:
        """Return the exit status; None: it is still running."""
        return self.returncode

    def wait(self, timeout: float = LONGEST_SECONDS) -> int:
        """Wait until it has ended; returns the exit status."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"batchcrew (pid {self.pid})", timeout)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):  # it ended just now, and its exit status has not been read yet
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it (SIGKILL)."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = LONGEST_SECONDS) -> tuple[str, str]:
        """Wait until it has ended; returns the unread rest of both streams."""
        read = ["", ""]

        def drain(index: int, stream: IO[str]) -> None:
            with stream:
                read[index] = stream.read()

        readers = [
            threading.Thread(target=drain, args=(index, stream), daemon=True)
            for index, stream in enumerate((self.stdout, self.stderr))
            if not stream.closed
        ]
        for reader in readers:
            reader.start()
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired as late:
            self.kill()
            for reader in readers:
                reader.join(timeout=30)
            late.stdout, late.stderr = read  # type: ignore[assignment]  # text, as with Popen in text mode
            raise AssertionError(f"it did not end within {timeout:g} s; it printed {read}") from late
        for reader in readers:
            reader.join(timeout=timeout)
        return read[0], read[1]

    def close(self) -> None:
        """Kill it if it is still running, and close its streams."""
        self.kill()
        self._ended.wait(30)
        self.stdout.close()
        self.stderr.close()


class Zygote:
    """The process that forks the others (`cli_zygote.py`); each worker of pytest has one."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        script = str(Path(__file__).with_name("cli_zygote.py"))
        self._process = subprocess.Popen(
            [sys.executable, script, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=environment(),
        )
        theirs.close()
        self._lock = threading.Lock()
        atexit.register(self.close)

    def start(
        self, folder: Path, arguments: tuple[str, ...], variables: dict[str, str], options: ProcessOptions
    ) -> Process:
        """Start `batchcrew ARGUMENTS` in a folder."""
        request = {
            "arguments": arguments,
            "cwd": str(folder),
            "environment": environment(**variables),
            "closed": options.closed,
            "limits": options.limits,
            "umask": options.umask,
            "script": str(options.script) if options.script else None,
        }
        data = json.dumps(request).encode()
        with Path(os.devnull).open() as nothing:
            ours, theirs = zip(*(os.pipe() for _ in range(3)), strict=True)
            given = (options.stdout, options.stderr, None)
            passed = [pipe if other is None else other for pipe, other in zip(theirs, given, strict=True)]
            with self._lock:
                socket.send_fds(self._control, [struct.pack("I", len(data))], [nothing.fileno(), *passed])
                self._control.sendall(data)
            for descriptor in theirs:
                os.close(descriptor)
        stdout, stderr, status = (os.fdopen(descriptor, encoding="utf-8") for descriptor in ours)
        return Process(int(status.readline()), stdout, stderr, status)

    def close(self) -> None:
        self._control.close()
        self._process.wait()


_zygotes: list[Zygote] = []
_started: list[Process] = []


def start(folder: Path, *arguments: str, **variables: str) -> Process:
    """Start `batchcrew ARGUMENTS`; at the end of the test it is killed if it is still running."""
    return start_with(PLAIN, folder, *arguments, **variables)


def start_with(options: ProcessOptions, folder: Path, *arguments: str, **variables: str) -> Process:
    """Start `batchcrew ARGUMENTS` or a script with these options."""
    if not _zygotes:
        _zygotes.append(Zygote())
    process = _zygotes[0].start(folder, arguments, variables, options)
    _started.append(process)
    return process


@contextmanager
def closing() -> Iterator[None]:
    """Kill, at the end, the processes that were started in the block and are still running."""
    before = len(_started)
    yield
    while len(_started) > before:
        _started.pop().close()


def call(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run `batchcrew ARGUMENTS` to its end."""
    return call_with(PLAIN, folder, *arguments, **variables)


def call_with(
    options: ProcessOptions, folder: Path, *arguments: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run `batchcrew ARGUMENTS` or a script with these options to its end."""
    process = start_with(options, folder, *arguments, **variables)
    stdout, stderr = process.communicate()
    assert process.returncode is not None
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def call_fresh(folder: Path, *arguments: str, **how: Any) -> "subprocess.CompletedProcess[str]":
    """Run `python -m batchcrew ARGUMENTS` in a new interpreter, to test its start; it takes half a second longer."""
    how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    command = [sys.executable, "-m", "batchcrew", *arguments]
    return subprocess.run(
        command, check=False, cwd=folder, env=environment(), text=True, timeout=LONGEST_SECONDS, **how
    )


def read_until(process: Process, text: str) -> str:
    """Read stderr up to the first line with `text`; fails with all of it if the process ends before that."""
    read = ""
    for line in process.stderr:
        read += line
        if text in line:
            return read
    raise AssertionError(f"it ended with {process.wait()} and never printed {text!r}:\n{read}")


def wait_until(condition: Callable[[], bool], process: Process) -> None:
    """Wait until the process has made the condition true; fails with its stderr if it ends before that."""
    pause = threading.Event()
    while not condition():
        if process.poll() is not None and not condition():
            raise AssertionError(f"it ended with {process.returncode}:\n{process.communicate()[1]}")
        pause.wait(0.01)


class Crew:
    """`batchcrew serve` in its own process."""

    def __init__(self, folder: Path, *options: str, limits: dict[str, tuple[int, int]] | None = None) -> None:
        arguments = ("serve", "--port", "0", "--seed", "3", *options)
        how = ProcessOptions(limits=limits or {})
        self.process = start_with(how, folder, *arguments, BATCHCREW_SERVE_TOKEN=TOKEN)
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.process.communicate()[1]

    def stats(self) -> dict[str, Any]:
        """Return the server's counters."""
        request = urllib.request.Request(f"{self.url}/stats", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=LONGEST_SECONDS) as answer:
            stats: dict[str, Any] = json.load(answer)
        return stats

    def kickoff(self) -> str:
        """Kick off without batchcrew, as another script does; returns the kickoff_id."""
        request = urllib.request.Request(
            f"{self.url}/kickoff",
            data=json.dumps({"inputs": INPUTS}).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=LONGEST_SECONDS) as answer:
            return str(json.load(answer)["kickoff_id"])

    def stop(self) -> str:
        """Stop the server by SIGTERM; returns what it printed to stderr."""
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate()
        assert self.process.returncode == 0, said
        return said


def write_trips(folder: Path, number: int) -> None:
    """Write the rows file that `JOB_FILE` names."""
    with (folder / "trips.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "budget", "interests", "duration", "age"])
        writer.writerows([f"trip-{n}", f"{n} USD", "games, food", "3 days", "35"] for n in range(number))

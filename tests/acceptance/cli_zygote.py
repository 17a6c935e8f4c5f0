"""Start `batchcrew` by forking: each call is a separate process, without half a second of imports.

    cli_zygote.py CONTROL

CONTROL is the descriptor of a Unix socket. A request on it is the length of a JSON document, with four descriptors
(stdin, stdout, stderr, status), then the document:

- `arguments`, `cwd` and `environment`
- `closed`: the standard descriptors (0, 1, 2) to close, as `>&-` does in a shell
- `limits`: soft and hard limits by their name in `resource`
- `umask`: null for that of the tests
- `script`: a Python file to run with these arguments instead of `batchcrew`; null for `batchcrew`

This program writes the pid of the new process to `status`, and its exit status (negative for a signal, as in
`subprocess`) when it ends.
"""

import atexit
import gc
import importlib
import json
import os
import resource
import runpy
import select
import signal
import socket
import struct
import sys
import threading
from contextlib import suppress
from typing import Any, NoReturn

from batchcrew.cli import COMMANDS, main

STANDARD = (0, 1, 2)
MOST_DESCRIPTORS = 4096
"""More descriptors than this program has open: a new process closes all of them except the standard ones."""


def serve(control: socket.socket) -> None:
    """Fork for each request until the socket is closed, then wait for the processes that are still running."""
    running: dict[int, int] = {}
    """The status descriptor of each process."""
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)  # it wakes `select`
    sources = [control.fileno(), woken]
    while len(sources) == 2 or running:
        ready, _, _ = select.select(sources, [], [])
        if woken in ready:
            os.read(woken, 1024)
            _report_ended(running)
        if control.fileno() in ready and not _start(control, running):
            sources = [woken]


def _start(control: socket.socket, running: dict[int, int]) -> bool:
    """Read one request and start its process; False: the socket is closed."""
    head, descriptors, _, _ = socket.recv_fds(control, 4, 4)
    if not head:
        return False
    (length,) = struct.unpack("I", head)
    request = json.loads(_read(control, length))
    *standard, status = descriptors
    pid = os.fork()
    if pid == 0:
        control.detach()
        _become(request, standard)
    for descriptor in standard:
        os.close(descriptor)
    running[pid] = status
    _report(status, pid)
    return True


def _report_ended(running: dict[int, int]) -> None:
    """Report every process that has ended."""
    for pid, status in list(running.items()):
        found, ended = os.waitpid(pid, os.WNOHANG)
        if found:
            _report(status, os.waitstatus_to_exitcode(ended))
            os.close(running.pop(pid))


def _report(status: int, number: int) -> None:
    with suppress(BrokenPipeError):  # the test that waited for it has ended
        os.write(status, f"{number}\n".encode())


def _read(control: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += control.recv(length - len(data))
    return data


def _become(request: dict[str, Any], standard: list[int]) -> NoReturn:
    """Become a `batchcrew` process as if a shell had started it."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for target, name, descriptor in zip(STANDARD, ("stdin", "stdout", "stderr"), standard, strict=True):
        if target in request["closed"]:
            os.close(target)
            setattr(sys, name, None)  # as the interpreter does when it starts
            setattr(sys, f"__{name}__", None)
        else:
            os.dup2(descriptor, target)
    os.closerange(len(STANDARD), MOST_DESCRIPTORS)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    if request["umask"] is not None:
        os.umask(request["umask"])
    for name, limits in request["limits"].items():
        resource.setrlimit(getattr(resource, name), tuple(limits))
    sys.argv = [request["script"] or "batchcrew", *request["arguments"]]
    try:
        if request["script"] is None:
            main(request["arguments"])
        runpy.run_path(request["script"], run_name="__main__")
        code: Any = 0
    except SystemExit as end:
        code = end.code
    _end(code or 0)


def _end(code: int) -> NoReturn:
    """Exit as the interpreter does: join threads, run the `atexit` functions, collect garbage, flush the streams.

    It does not free every object of every module: that would copy the memory that is shared with the parent process,
    which takes longer than most commands.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError:
            code = 120  # the interpreter's exit status when a flush fails
    os._exit(code)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which then closes the socket
    for command in COMMANDS.values():
        command.load()
    for module in (
        "batchcrew.server.server",
        "batchcrew.crew.client",
        "batchcrew.crew.ping",
        "batchcrew.progress.live",
        "encodings.idna",
    ):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))

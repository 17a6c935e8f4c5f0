"""Starts `batchcrew` by forking: each call is a process of its own, without half a second of imports.

    cli_zygote.py CONTROL

CONTROL is the descriptor of a Unix socket. A request on it is the length of a JSON document, with four descriptors
(stdin, stdout, stderr, status), then the document: {"arguments", "cwd", "environment"}. The pid of the new process is
written to `status`, and its exit status (as `subprocess` counts it) when it ends.
"""

import gc
import importlib
import json
import os
import signal
import socket
import struct
import sys
from typing import Any, NoReturn

from batchcrew.cli import COMMANDS, main

STANDARD = (0, 1, 2)


def serve(control: socket.socket) -> None:
    """Fork for each request until the socket is closed."""
    while True:
        head, descriptors, _, _ = socket.recv_fds(control, 4, 4)
        if not head:
            _reap()
            return
        (length,) = struct.unpack("I", head)
        request = json.loads(_read(control, length))
        if os.fork() == 0:
            control.close()
            _watch(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _reap(os.WNOHANG)


def _reap(options: int = 0) -> None:
    """Collect the processes that watched a call, so that their time is counted with the tests'."""
    try:
        while os.waitpid(-1, options)[0]:
            pass
    except ChildProcessError:
        return


def _read(control: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += control.recv(length - len(data))
    return data


def _watch(request: dict[str, Any], descriptors: list[int]) -> None:
    """Fork once more, and report how that process ends. Only that process returns."""
    *standard, status = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(status)
        _become(request, standard)
    for descriptor in standard:
        os.close(descriptor)
    os.write(status, f"{pid}\n".encode())
    _, ended = os.waitpid(pid, 0)
    os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
    os._exit(0)


def _become(request: dict[str, Any], standard: list[int]) -> NoReturn:
    """Be `batchcrew` as a shell would have started it."""
    for target, descriptor in zip(STANDARD, standard, strict=True):
        os.dup2(descriptor, target)
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.argv = ["batchcrew", *request["arguments"]]
    main(request["arguments"])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which then closes the socket
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for module, _ in COMMANDS.values():
        importlib.import_module(module)
    for module in ("batchcrew.server", "batchcrew.progress.live", "encodings.idna"):
        importlib.import_module(module)
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))

"""Ending the process, also where a thread is stuck in a call of the system. Imports nothing heavy, as `--help`."""

import os
import signal
import sys
import threading
from typing import NoReturn

from batchcrew.base.errors import OutputError


def leave(code: int) -> NoReturn:
    """End the process, also where a thread is stuck in a call of the system."""
    # daemon threads count too: the interpreter joins those of an executor, which inherit that flag
    if any(thread is not threading.main_thread() for thread in threading.enumerate()):
        end_now(code)
    # the interpreter, as it ends, puts the default action in the place of every handler but of this one
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def end_now(code: int) -> NoReturn:
    """End the process without waiting for anything, after the output is flushed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError, OutputError, RuntimeError):
            continue  # the stream is closed, or a signal arrived during a write
    os._exit(code)

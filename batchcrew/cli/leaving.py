"""Ending the process, also where a thread is stuck in a call of the system. Imports nothing heavy, as `--help`."""

import os
import sys
import threading
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End the process, also where a thread is stuck in a call of the system."""
    if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
        end_now(code)
    sys.exit(code)


def end_now(code: int) -> NoReturn:
    """End the process without waiting for anything; what was said is said whole."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            continue  # it went away
    os._exit(code)

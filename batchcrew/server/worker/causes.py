"""Finds where in the target's own code an error came from, and refuses prompts, which a worker cannot answer."""

import builtins
import getpass
import linecache
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from batchcrew.server.worker.running import describe_error

MAX_LINE = 80
"""Characters of a source line in an error."""
_OWN = str(Path(__file__).parents[2])
_CURE = "take the value from the job's inputs, or set human_input=True on the task"


class NeedsTerminal(BaseException):
    """The target called `input()` or `getpass()`.

    It is not an Exception, so that an agent does not take it for a failed tool and calls its model again and again.
    """


class MissingPackage(BaseException):
    """A tool needs a package that is not installed; the cause is the ImportError.

    It is not an Exception, for the same reason as NeedsTerminal.
    """


def refuse_input() -> None:
    """From now on, `input()` and `getpass()` raise NeedsTerminal."""
    builtins.input = _refused
    getpass.getpass = _refused_secret


def _refused(prompt: object = "") -> NoReturn:
    raise NeedsTerminal(f"input() was called, and a worker has no terminal; {_CURE}")


def _refused_secret(prompt: object = "", stream: object = None) -> NoReturn:
    raise NeedsTerminal(
        "getpass() was called, and a worker has no terminal; set the secret in the environment or in the project's .env"
    )


def described(error: BaseException, folder: str) -> str:
    """Return the error with the line of the target that it came from.

    Args:
        folder: the target's.
    """
    if isinstance(error, MissingPackage) and error.__cause__ is not None:
        error = error.__cause__
    text = str(error) if isinstance(error, NeedsTerminal) else describe_error(error)
    place = place_of(error, folder)
    return f"{text}; at {place}" if place else text


def place_of(error: BaseException, folder: str) -> str:
    """Return the innermost line of the target's own code, as `file:line (text)`; empty if there is none."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return _shown(error.filename, error.lineno)
    found, trace = "", error.__traceback__
    while trace is not None:
        if is_own(trace.tb_frame.f_code.co_filename, folder):
            found = _shown(trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    return found


def current_place(thread: int, folder: str) -> str:
    """Return the line of the target's own code that a thread is at; of other code if it is at none."""
    frame: FrameType | None = sys._current_frames().get(thread)  # noqa: SLF001 - the documented way to a thread's frame
    innermost = "" if frame is None else _shown(frame.f_code.co_filename, frame.f_lineno)
    return own_place(frame, folder) or innermost


def own_place(frame: FrameType | None, folder: str) -> str:
    """Return the innermost line of the target's own code in this frame and those that called it; empty: it has none."""
    while frame is not None:
        if is_own(frame.f_code.co_filename, folder):
            return _shown(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return ""


def is_own(file: str, folder: str) -> bool:
    """Return whether a file of code is the target's own."""
    return Path(file).is_relative_to(folder) and "site-packages" not in file and not file.startswith(_OWN)


def _shown(file: str, line: int) -> str:
    text = linecache.getline(file, line).strip()
    text = text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]}…"
    return f"{file}:{line}" + (f" ({text})" if text else "")


class LoadWatch:
    """Ends the loading of a target that takes too long.

    Args:
        seconds: how long it may take.
        report: sends the place where the loading is.
    """

    def __init__(self, seconds: float, folder: str, report: Callable[[str], None]) -> None:
        self._thread, self._folder, self._report = threading.get_ident(), folder, report
        self._first = threading.Lock()
        self._timer = threading.Timer(seconds, self._late)
        self._timer.daemon = True
        self._timer.start()

    def loaded(self) -> None:
        """Return if the loading has ended in time; else wait until the process ends."""
        self._first.acquire()
        self._timer.cancel()

    def _late(self) -> None:
        if self._first.acquire(blocking=False):
            self._report(current_place(self._thread, self._folder))

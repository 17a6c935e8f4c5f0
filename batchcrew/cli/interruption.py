"""Handle signals before and after a command handles them itself. Imports no large module, for `--help`.

A process passes through three phases, and each change of phase replaces one handler by the next without a gap:

1. `interruptible`: a signal raises `Interrupted`; the command ends with exit 3 and one line.
2. `with_signals` (see `signals`): a run stops in order.
3. `uninterruptible`: the work is done; nothing may cut its summary or change its exit code.
"""

import contextlib
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeAlias

from batchcrew.base.errors import OutputError
from batchcrew.cli.leaving import end_now
from batchcrew.model import exit_codes

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CLEANUP_SECONDS = 3.0
"""How long an interrupted command may clean up. The exception can hit the event loop between two of its steps, and then
the command would wait forever."""
Handler: TypeAlias = Callable[[int, FrameType | None], Any]


class Interrupted(KeyboardInterrupt):
    """A signal ended a command that does not handle signals itself."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


class _Raised:
    """The interruption that has been raised in this process, if one has."""

    error: Interrupted | None = None


def raised() -> Interrupted | None:
    """Return the interruption that a signal has raised, if one has.

    Any later failure is a consequence of it, because it may have interrupted the event loop or a hand-over between
    threads.
    """
    return _Raised.error


def set_handler(handler: Handler | signal.Handlers) -> None:
    """Handle the signals by `handler` from now on. `nohup` ignores SIGHUP: it stays ignored."""
    for number in SIGNALS:
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        signal.signal(number, handler)


def interruptible() -> None:
    """Raise `Interrupted` on a signal."""
    set_handler(interrupt)


def uninterruptible() -> None:
    """Ignore every signal from now on."""
    set_handler(ignore)
    signal.setitimer(signal.ITIMER_REAL, 0)


def interrupt(number: int, frame: FrameType | None) -> None:
    """End the command in order; a second signal ends it at once."""
    set_handler(_end_at_once)
    sys.unraisablehook = _where_nothing_can_be_raised
    warnings.simplefilter("ignore", RuntimeWarning)  # about a coroutine that was made and will never begin
    threading.excepthook = lambda arguments: None  # for a thread whose loop is closed
    if "logging" in sys.modules:  # asyncio reports the generators and tasks that the exception has interrupted
        sys.modules["logging"].disable()
    _Raised.error = error = Interrupted(signal.Signals(number))
    signal.signal(signal.SIGALRM, lambda number, frame: _print_and_end(error))
    signal.setitimer(signal.ITIMER_REAL, CLEANUP_SECONDS)
    raise error


def _where_nothing_can_be_raised(unraisable: "sys.UnraisableHookArgs") -> None:
    """End at once if Python swallows the exception: in a generator that is being closed, or in a finalizer.

    Other exceptions that cannot be raised from then on are consequences of the interruption, and are ignored.
    """
    if not isinstance(unraisable.exc_value, Interrupted):
        return
    _print_and_end(unraisable.exc_value)


def _print_and_end(error: Interrupted) -> None:
    with contextlib.suppress(OSError, ValueError, OutputError):
        if sys.stderr is not None:
            sys.stderr.write(f"batchcrew: interrupted by {error}\n")
    end_now(exit_codes.INTERRUPTED)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    end_now(exit_codes.INTERRUPTED)


def ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing. Unlike SIG_IGN, it is not inherited by the processes that this one starts."""

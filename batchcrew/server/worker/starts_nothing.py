"""Loading a target starts nothing: a crew that its own module starts would be paid for by `check` and by each worker.

Scripts and notebooks end in `crew.kickoff(…)`, and some functions that look like factories run the crew they make.
Besides the money, a crew that has run keeps the inputs of that run in its texts: a copy of it would answer every row
with the same answer.
"""

import functools
import linecache
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchcrew.server.worker.running import TargetError

_CREW = (
    "kickoff", "kickoff_async", "akickoff", "kickoff_for_each", "kickoff_for_each_async", "akickoff_for_each",
    "replay", "train", "test",
)  # fmt: skip
_FLOW = ("kickoff", "kickoff_async", "akickoff", "resume", "resume_async")
_AGENT = ("kickoff", "kickoff_async", "execute_task", "aexecute_task")
_TASK = ("execute_sync", "execute_async", "aexecute_sync")
_GUARDED = {
    "Crew": _CREW,
    "Flow": _FLOW,
    "Agent": _AGENT,
    "Task": _TASK,
    "BaseLLM": ("_emit_call_started_event",),
    "LLM": ("call", "acall"),
}
_MAX_LINE = 80
"""Characters of the line that started something, in the error."""


class StartedWhileLoading(BaseException):
    """Something was started while the target was loaded. Not an Exception, so that the target does not catch it."""

    def __init__(self, where: str, line: str) -> None:
        super().__init__(where, line)
        self.where, self.line = where, line


class _State:
    """Whether something is being loaded, and what was started first meanwhile."""

    def __init__(self) -> None:
        self.depth = 0
        self.first: StartedWhileLoading | None = None


class _OfThread(threading.local, _State):
    """The state of each thread."""


_here = _OfThread()
_everywhere = _State()
"""While a module is imported, its other threads must not start anything either."""
_installed = threading.Lock()
_guarded: set[tuple[type[Any], str]] = set()


@contextmanager
def starts_nothing(name: str, *, cure: str, whole_process: bool = False) -> Iterator[None]:
    """Refuse every start of a crew, a flow, an agent or a model call in the block.

    Args:
        name: what is loaded, for the error.
        cure: what to do about a start, for the error.
        whole_process: also in threads that the block starts.

    Raises:
        TargetError: something was started, even if the target caught the exception.
    """
    _install()
    state: _State = _everywhere if whole_process else _here
    state.depth += 1
    try:
        yield
    except StartedWhileLoading as started:
        raise TargetError(_told(name, started, cure)) from None
    finally:
        state.depth -= 1
        first, state.first = state.first, None
    if first is not None:
        raise TargetError(_told(name, first, cure))


def _told(name: str, started: StartedWhileLoading, cure: str) -> str:
    return f"{name} starts a crew while it is loaded: {started.where} ({started.line}); {cure}"


def _install() -> None:
    import crewai

    with _installed:
        for class_name, names in _GUARDED.items():
            kind = getattr(crewai, class_name, None)  # BaseLLM came with 0.117
            for name in names:
                original = getattr(kind, name, None)
                if kind is not None and callable(original) and (kind, name) not in _guarded:
                    setattr(kind, name, _checked(original))
                    _guarded.add((kind, name))


def _checked(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        for state in (_here, _everywhere):
            if state.depth:
                started = StartedWhileLoading(*_caller())
                state.first = state.first or started
                raise started
        return original(*arguments, **named)

    return call


def _caller() -> tuple[str, str]:
    """Return the nearest line that is not the library's, as `file:line`, and its text."""
    import crewai

    library = str(Path(crewai.__file__).parent.parent / "crewai")
    frame = sys._getframe(2)  # noqa: SLF001 - the documented way to the caller's frame without reading all files
    while frame.f_back is not None and (
        frame.f_code.co_filename.startswith(library) or frame.f_code.co_filename == __file__
    ):
        frame = frame.f_back
    file, number = frame.f_code.co_filename, frame.f_lineno
    line = linecache.getline(file, number).strip()
    shown = line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}…"
    return f"{file}:{number}", shown or "its source is not readable"

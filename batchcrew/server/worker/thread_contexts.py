"""Carries the execution into threads that a crew starts: Python itself gives a new thread an empty context."""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any


def carry(variable: "ContextVar[Any]") -> None:
    """Give this variable, in each thread and in each call of a pool of threads, the value that it had at the start."""

    def in_context(work: Callable[..., Any]) -> Callable[..., Any]:
        value = variable.get()

        @functools.wraps(work, assigned=())
        def run(*arguments: Any, **named: Any) -> Any:
            if variable.get() is value:
                return work(*arguments, **named)
            token = variable.set(value)
            try:
                return work(*arguments, **named)
            finally:
                variable.reset(token)

        return run

    start: Any = threading.Thread.start
    submit: Any = ThreadPoolExecutor.submit

    def started(self: threading.Thread) -> None:
        if variable.get() is not None and not self.ident:
            self.run = in_context(self.run)  # type: ignore[method-assign]  # it is what the thread calls
        start(self)

    def submitted(self: Any, work: Any, /, *arguments: Any, **named: Any) -> Any:
        return submit(self, in_context(work), *arguments, **named)

    threading.Thread.start = functools.wraps(start)(started)  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = functools.wraps(submit)(submitted)  # type: ignore[method-assign]

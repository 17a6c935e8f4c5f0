"""The limits of one rendering of a template: its steps, the values that it makes, and its time.

Jinja2's sandbox does not limit them. Loops, calls, filters, operators and outputs charge the `Meter` of a rendering.
Where an operation multiplies a size, its result is estimated before it is computed.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jinja2.exceptions import SecurityError

MAX_TEXT = 2**20
"""Maximum size of one value: the characters of a text, or the items and characters of a list or mapping."""
MAX_PRODUCED = 8 * MAX_TEXT
"""Maximum size of all values that one rendering makes."""
MAX_STEPS = 100_000
"""Maximum number of loop iterations, filters and calls of one rendering."""
MAX_SECONDS = 5.0
"""Maximum processor time of one rendering, in seconds. It is not wall time, so that templates do not fail on a busy
machine."""
_STEPS_PER_LOOK = 16
_LARGE = 10_000

Clock = Callable[[], float]


class LimitReached(SecurityError):
    """A rendering has reached a limit."""


class Meter:
    """Counts what one rendering does.

    Args:
        clock: returns the processor time of this thread in seconds.
        data: the number of characters of fixed text in the template, which each macro call may produce.
        given: the number of characters of the answer that the template is about: its values may be as large.
    """

    __slots__ = ("_clock", "_deadline", "_most", "_most_in_all", "_produced", "_steps", "data")

    def __init__(self, clock: Clock = time.thread_time, data: int = 0, given: int = 0) -> None:
        self.data = data
        self._most = max(MAX_TEXT, given)
        self._most_in_all = MAX_PRODUCED + 4 * given
        self._clock = clock
        self._deadline: float | None = None
        self._steps = 0
        self._produced = 0

    def step(self) -> None:
        """Count one step.

        Raises:
            LimitReached: there are too many, or the time has passed.
        """
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise LimitReached(f"more than {MAX_STEPS:,} loop iterations and calls; use fewer or smaller loops")
        if self._steps % _STEPS_PER_LOOK == 0:  # most templates end before, and need no time
            self._look_at_the_clock()

    def _look_at_the_clock(self) -> None:
        now = self._clock()
        if self._deadline is None:
            self._deadline = now + MAX_SECONDS
        elif now > self._deadline:
            raise LimitReached(f"rendering takes longer than {MAX_SECONDS:g} s; use fewer or smaller loops")

    def produce(self, amount: int) -> None:
        """Count the size of a value.

        Raises:
            LimitReached: this value, or all of them together, are too large.
        """
        if amount > self._most:
            raise LimitReached(f"a value is larger than {self._most:,} characters or items; make it smaller")
        self._produced += amount
        if amount > _LARGE:
            self._look_at_the_clock()
        if self._produced > self._most_in_all:
            raise LimitReached(
                f"the values have more than {self._most_in_all:,} characters and items in total;"
                " use fewer or smaller loops"
            )


class _Current(threading.local):
    meter: Meter | None = None


_current = _Current()


def begin(meter: Meter) -> None:
    """Set the meter of the rendering that begins in this thread."""
    _current.meter = meter


def meter() -> Meter:
    """Return the meter of the rendering in this thread."""
    current = _current.meter
    if current is None:
        current = _current.meter = Meter()
    return current


def size(value: object) -> int:
    """Return the size of a value: characters and items, each as often as the value's text contains it.

    It stops counting above MAX_TEXT.
    """
    if isinstance(value, str | bytes):
        return len(value)
    total = 0
    left: list[Iterator[object]] = [iter((value,))]
    while left:
        for item in left[-1]:
            total += len(item) if isinstance(item, str | bytes) else 1
            if total > MAX_TEXT or len(left) > MAX_TEXT:
                return MAX_TEXT + 1
            if isinstance(item, dict):
                left.append(iter([part for pair in item.items() for part in pair]))
                break
            if isinstance(item, list | tuple | set | frozenset):
                left.append(iter(item))
                break
        else:
            left.pop()
    return total


def limited(value: Any) -> Any:
    """Return a value that a filter, call or operator made, after counting it; an iterator counts its items later."""
    if type(value) is str:
        meter().produce(len(value))
    elif type(value) is int or type(value) is float:
        return value
    elif isinstance(value, str | list | tuple | dict | set | bytes):
        meter().produce(size(value))
    elif isinstance(value, Iterator):
        return counted(value)
    return value


def counted(items: Iterable[Any], data: int = 0) -> Iterator[Any]:
    """Yield the items; each is a step that may produce `data` characters."""
    current = meter()
    for item in items:
        current.step()
        if data:
            current.produce(data)
        yield item


def replaced(text: str, old: str, new: str, count: int = -1) -> None:
    """Refuse a replacement whose result would be too large."""
    times = text.count(old)
    times = times if count < 0 else min(times, count)
    meter().produce(max(0, len(text) + times * (len(new) - len(old))))

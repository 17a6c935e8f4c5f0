"""Recognize warnings that the batch's last run has already reported, and collect those of this run for its result."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from batchcrew.base.text import clean_text
from batchcrew.model.events import Action, Event, Observe, Warned

MOST_KEPT = 100
_LONGEST = 20_000
"""Columns of a message in a result, which may contain long commands. A next step is never cut."""
_NUMBER = re.compile(r"\d+")


class RunWarnings:
    """The warnings of one run as clean lines: each once, at most `MOST_KEPT`."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}
        self._more = False

    def add(self, event: Event) -> None:
        """Add the event if it is a warning."""
        if not isinstance(event, Warned):
            return
        line = clean_text(event.message, limit=_LONGEST)
        if event.next_step:
            line += f"; {clean_text(event.next_step)}"
        if line in self._lines or len(self._lines) < MOST_KEPT:
            self._lines[line] = None
        else:
            self._more = True

    @property
    def lines(self) -> tuple[str, ...]:
        """Return the warnings in the order of their first report; a last line says if there were more."""
        return (*self._lines, *(["further warnings are not listed"] if self._more else []))


class WarningHistory:
    """Passes events on, marks the warnings that were reported before, and adds commands to those that have an action.

    Numbers in warnings may differ. Lasting warnings must be equal, and are not reported again.

    Args:
        observe: gets the events.
        before: the value of `kept` at the end of the last run.
        next_step: makes the sentence with the command of an action.
        warnings: gets the warnings, also the lasting ones that are not passed on again.
    """

    def __init__(
        self, observe: Observe, before: Iterable[str], *, next_step: Callable[[Action], str], warnings: RunWarnings
    ) -> None:
        self._observe = observe
        self._before = frozenset(before)
        self._next_step = next_step
        self._warnings = warnings
        self._seen: dict[str, None] = {}

    def observe(self, event: Event) -> None:
        """Pass an event on."""
        if isinstance(event, Warned):
            words = event.message if event.lasting else _NUMBER.sub("#", event.message)
            if len(self._seen) < MOST_KEPT:
                self._seen[words] = None
            event = replace(event, repeated=words in self._before)
            if event.action is not None:
                event = replace(event, next_step=self._next_step(event.action))
            self._warnings.add(event)
            if event.repeated and event.lasting:
                return
        self._observe(event)

    @property
    def kept(self) -> list[str]:
        """Return the warnings of this run, for the next run."""
        return list(self._seen)

    @property
    def changed(self) -> bool:
        """Return whether this run's warnings differ from the last run's."""
        return self._before != frozenset(self._seen)

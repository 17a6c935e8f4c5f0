"""Recognize the warnings that the batch's last run reported already."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from batchcrew.model.events import Action, Event, Observe, Warned

MOST_KEPT = 100
_NUMBER = re.compile(r"\d+")


class WarningHistory:
    """Passes events on, marks the warnings that were reported before, and adds commands to those that have an action.

    Numbers in warnings may differ. Lasting warnings must be equal, and are not reported again.

    Args:
        observe: gets the events.
        before: the value of `kept` at the end of the last run.
        next_step: makes the sentence with the command of an action.
    """

    def __init__(self, observe: Observe, before: Iterable[str], *, next_step: Callable[[Action], str]) -> None:
        self._observe = observe
        self._before = frozenset(before)
        self._next_step = next_step
        self._seen: dict[str, None] = {}

    def observe(self, event: Event) -> None:
        """Pass an event on."""
        if isinstance(event, Warned):
            words = event.message if event.lasting else _NUMBER.sub("#", event.message)
            if len(self._seen) < MOST_KEPT:
                self._seen[words] = None
            event = replace(event, repeated=words in self._before)
            if event.repeated and event.lasting:
                return
            if event.action is not None:
                event = replace(event, next_step=self._next_step(event.action))
        self._observe(event)

    @property
    def kept(self) -> list[str]:
        """Return the warnings of this run, for the next run."""
        return list(self._seen)

    @property
    def changed(self) -> bool:
        """Return whether this run's warnings differ from the last run's."""
        return self._before != frozenset(self._seen)

"""Which warnings a person knows already: those that the batch's last run said too."""

import re
from collections.abc import Iterable
from dataclasses import replace

from batchcrew.events import Event, Observe, Warned

MOST_KEPT = 100
_NUMBER = re.compile(r"\d+")


class Telling:
    """Passes events on, and marks the warnings that were said before; numbers in them may differ.

    Args:
        observe: who is told.
        before: what `kept` gave at the end of the last run.
    """

    def __init__(self, observe: Observe, before: Iterable[str]) -> None:
        self._observe = observe
        self._before = frozenset(before)
        self._seen: dict[str, None] = {}

    def observe(self, event: Event) -> None:
        if isinstance(event, Warned):
            words = _NUMBER.sub("#", event.message)
            if len(self._seen) < MOST_KEPT:
                self._seen[words] = None
            event = replace(event, repeated=words in self._before)
        self._observe(event)

    @property
    def kept(self) -> list[str]:
        """What the next run is told of."""
        return list(self._seen)

    @property
    def changed(self) -> bool:
        return self._before != frozenset(self._seen)

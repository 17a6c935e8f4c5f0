"""Show a run: one Protocol, and its implementations: live, plain, quiet, and JSON lines.

Import the implementation from its own module: only `live` needs rich.
"""

from typing import Protocol, Self

from batchcrew.model.events import Event


class Progress(Protocol):
    """A context manager around a run that receives every event."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def observe(self, event: Event) -> None:
        """Record one event. Called from the event loop: quick, and it never raises."""
        ...

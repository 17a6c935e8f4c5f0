"""Where executions run: a small Protocol, so that another place than worker processes can be put behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from batchcrew.server.workers.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a pool runs."""

    name: str
    what: str
    """`crew` or `flow`."""
    inputs: tuple[Mapping[str, Any], ...]
    """Each with `name`, `type` and `required`."""
    total: int
    """Tasks of the crew, or methods of the flow."""
    events: frozenset[str]
    """Names of the events that can be passed on."""


class PoolListener(Protocol):
    """Hears what happens in a pool, in the server's loop."""

    def hear(self, message: Message) -> None:
        """A message of a worker about one execution; `ended` is the last, and comes once, whatever happens."""
        ...

    def free(self) -> None:
        """There may be room for another execution."""
        ...


class Pool(Protocol):
    """Runs executions side by side."""

    async def open(self, ear: PoolListener) -> Description:
        """Get ready; at least one execution can be started afterwards.

        Raises:
            UsageError: the target cannot be served.
        """
        ...

    async def close(self) -> None:
        """End everything at once; nothing is heard afterwards."""
        ...

    def room(self) -> int:
        """How many executions could be started now."""
        ...

    def start(self, kickoff_id: str, inputs: Mapping[str, Any], events: frozenset[str]) -> None:
        """Start an execution; there must be room."""
        ...

    def answer(self, kickoff_id: str, *, approved: bool, text: str) -> None:
        """Give a person's answer to an execution that has asked."""
        ...

    def cancel(self, kickoff_id: str, reason: str) -> None:
        """End an execution as an error; it is heard of as `ended` before this returns."""
        ...

    def gauges(self) -> Mapping[str, int]:
        """`workers`, `workers_ready` and `workers_lost` (ever)."""
        ...

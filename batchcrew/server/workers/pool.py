"""The place where executions run: a small Protocol, so that others can replace worker processes."""

from collections.abc import Mapping
from typing import Any, Protocol

from batchcrew.server.workers.messages import AboutExecution, Ready


class PoolListener(Protocol):
    """Receives what happens in a pool, in the server's event loop."""

    def on_message(self, message: AboutExecution) -> None:
        """Handle a worker's message about one execution. `Ended` is the last one, and always comes exactly once."""
        ...

    def on_free(self) -> None:
        """Start waiting executions: another one may fit into the pool."""
        ...


class Pool(Protocol):
    """Runs executions concurrently."""

    async def open(self, listener: PoolListener) -> Ready:
        """Prepare the pool, and describe its target; at least one execution can be started afterwards.

        Raises:
            UsageError: the target cannot be served.
        """
        ...

    async def close(self) -> None:
        """End everything at once; the listener receives nothing afterwards."""
        ...

    def free(self) -> int:
        """Return how many executions could be started now."""
        ...

    def start(self, kickoff_id: str, inputs: Mapping[str, Any], events: frozenset[str], *, artifacts: str = "") -> None:
        """Start an execution; `free` must be at least 1.

        Args:
            artifacts: the folder for the files that its tasks write.
        """
        ...

    def answer(self, kickoff_id: str, *, approved: bool, text: str) -> None:
        """Pass the human input to an execution that waits for it."""
        ...

    def cancel(self, kickoff_id: str, reason: str) -> None:
        """End an execution with an error. The listener receives its `Ended` before this returns."""
        ...

    def gauges(self) -> Mapping[str, int]:
        """Return `workers`, `workers_ready` and `workers_lost` (since the server started)."""
        ...

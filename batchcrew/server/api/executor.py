"""What the routes know of the crew behind them: a small Protocol, and what is told through it.

`demo.py` implements it with the clock alone, `crews.py` with real crews in worker processes. A cluster can be put
behind the same routes by implementing it once more.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from batchcrew.server.api.kickoff import Body
from batchcrew.server.api.resume import Resume
from batchcrew.server.options import ServeOptions
from batchcrew.server.report import Input, Report


@dataclass(frozen=True, slots=True)
class Accepted:
    """A kickoff that was taken."""

    kickoff_id: str
    repeated: bool
    """True: its Idempotency-Key has started it before."""


class Busy(Exception):
    """No more kickoffs for now. `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int, *, stopping: bool = False) -> None:
        super().__init__(message)
        self.retry_after, self.stopping = retry_after, stopping


class NoExecution(Exception):
    """There is no execution of that id."""


class NotPaused(Exception):
    """The execution does not wait for a person, or waits at another task."""


class Executor(Protocol):
    """Runs executions, or has them run elsewhere."""

    real: bool
    """True: real crews, so that `/resume` and `/metrics` are served."""
    name: str
    """Of what is served, for people."""
    description: str
    """What runs behind the API; it is public, so it gives nothing away."""
    inputs: Sequence[Input]

    async def open(self) -> None:
        """Get ready.

        Raises:
            UsageError: it cannot be served as it is.
        """
        ...

    async def drain(self) -> None:
        """Accept nothing more, and let what runs come to its end for a while."""
        ...

    async def close(self) -> None:
        """End what still runs, and forget nothing that a state file keeps."""
        ...

    def accept(self, body: Body, key: str | None) -> Accepted:
        """Start an execution, or find the one that `key` has started.

        Raises:
            BadBody: the kickoff is wrong.
            Busy: too many are running or waiting.
        """
        ...

    def report(self, kickoff_id: str) -> Report | None:
        """The execution as it is now; None: there is none."""
        ...

    def resume(self, resume: Resume) -> str:
        """Give a person's word to a paused execution; the word of the answer: `resumed` or `retrying`.

        Raises:
            NoExecution: there is none of that id.
            NotPaused: it does not wait for this.
        """
        ...

    def stats(self) -> dict[str, int]:
        """Of executions: what runs and what has run."""
        ...

    def metrics(self) -> str:
        """The same and more, as OpenMetrics text."""
        ...

    def kickoffs_of(self, job: str) -> int:
        """Executions of the batchcrew job of that id."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorContext:
    """The time and the randomness that a server passes to its executor."""

    now: Callable[[], float]
    """Returns seconds since the epoch."""
    sleep: Callable[[float], Awaitable[None]]
    rng: random.Random


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorKind:
    """A kind of executor, and the options that it is for."""

    serves: Callable[[ServeOptions], bool]
    make: Callable[[ServeOptions, ExecutorContext], Executor]
    """May raise UsageError: the state file cannot be used."""

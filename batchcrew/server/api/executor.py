"""Define the interface between the routes and the crews: the Protocol `Executor`.

`demo/executor.py` implements it with the clock alone, `crews/executor.py` with real crews in worker processes.
`executors.py` lists them.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from batchcrew.base.crew_details import CrewDetails
from batchcrew.server.api.kickoff import Body
from batchcrew.server.api.resume import Resume
from batchcrew.server.options import ServeOptions
from batchcrew.server.report import Input, Report
from batchcrew.server.webhook_targets import WebhookTargets


@dataclass(frozen=True, slots=True)
class Accepted:
    """A kickoff that was accepted."""

    kickoff_id: str
    repeated: bool
    """True: an earlier kickoff with the same Idempotency-Key started the execution."""


class KeyReused(Exception):
    """The Idempotency-Key was sent with other inputs before: one of the two kickoffs would get the other's answer."""


class Busy(Exception):
    """Kickoffs are refused for now. `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int, *, stopping: bool = False) -> None:
        super().__init__(message)
        self.retry_after, self.stopping = retry_after, stopping


class NoExecution(Exception):
    """There is no execution with this id."""


class NotPaused(Exception):
    """The execution does not wait for human input, or waits for it at another task."""


class Executor(Protocol):
    """Runs executions, here or elsewhere."""

    real: bool
    """True: real crews, so that `/metrics` is served."""
    name: str
    """A description of the crew, for messages."""
    description: str
    """A description of the executor, for the OpenAPI description. It is public, so it contains no secrets."""
    inputs: Sequence[Input]
    details: CrewDetails | None
    """Details of a real crew that has been loaded, if the options request them."""

    async def open(self) -> None:
        """Prepare to run executions.

        Raises:
            UsageError: the crew cannot be served.
        """
        ...

    async def drain(self) -> None:
        """Accept no more kickoffs, and wait for running executions, for a limited time."""
        ...

    async def close(self) -> None:
        """End the running executions. A state file keeps its contents."""
        ...

    def repeated(self, body: Body, key: str | None) -> Accepted | None:
        """Return the execution that was started with `key`; None if there is none.

        Raises:
            KeyReused: its inputs were others.
        """
        ...

    def accept(self, body: Body, key: str | None) -> Accepted:
        """Start an execution, or return the one that was started with `key`. The URLs of its webhooks are checked.

        Raises:
            BadBody: the kickoff is invalid.
            KeyReused: see `repeated`.
            Busy: too many are running or waiting.
        """
        ...

    def report(self, kickoff_id: str) -> Report | None:
        """Return the execution as it is now; None if it is unknown."""
        ...

    def resume(self, resume: Resume) -> str:
        """Pass human input to a paused execution, and return the status word of the answer: `resumed` or `retrying`.

        Raises:
            NoExecution: its id is unknown.
            NotPaused: it does not wait for this input.
        """
        ...

    def stats(self) -> dict[str, int]:
        """Return counts of executions."""
        ...

    def metrics(self) -> str:
        """Return the same counts and further ones, as OpenMetrics text."""
        ...

    def kickoffs_of(self, job: str) -> int:
        """Return how many executions there are of the batchcrew job with that id."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorContext:
    """The time and the randomness that a server passes to its executor."""

    now: Callable[[], float]
    """Returns seconds since the epoch."""
    sleep: Callable[[float], Awaitable[None]]
    rng: random.Random
    targets: WebhookTargets
    """The rules for the targets of webhooks."""
    warn: Callable[[str], None] | None = None
    """Reports what crews do to each other; None: in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorKind:
    """A kind of executor, and the options that it is for."""

    serves: Callable[[ServeOptions], bool]
    make: Callable[[ServeOptions, ExecutorContext], Executor]
    """May raise UsageError: the state file cannot be used."""

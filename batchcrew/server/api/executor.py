"""What the routes know of the crew behind them: a small Protocol, and what is told through it.

`demo.py` implements it with the clock alone, `crews.py` with real crews in worker processes. A cluster can be put
behind the same routes by implementing it once more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from batchcrew.server.api.kickoff import Body
from batchcrew.server.api.resume import Resume

Phase: TypeAlias = Literal["waiting", "running", "paused", "succeeded", "failed"]
ENDED: frozenset[Phase] = frozenset({"succeeded", "failed"})
"""Nothing follows these."""
ACTIVE: frozenset[Phase] = frozenset({"waiting", "running", "paused"})
INTERRUPTED = "interrupted by a restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input of the crew."""

    name: str
    type: str = "string"
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReport:
    """One ended task."""

    task_id: str
    agent: str
    output: str
    execution_time: float
    """Seconds."""
    description: str = ""
    expected_output: str = ""
    summary: str = ""
    output_json: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What an agent has thought, or done with a tool."""

    task_id: str
    agent: str
    prompt: str
    thought: str
    tool: str | None = None
    tool_input: str | None = None
    result: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An execution at one moment."""

    kickoff_id: str
    phase: Phase
    current_task: str = ""
    """Empty before the first one."""
    done: int = 0
    """Tasks that have ended well."""
    total: int = 0
    tasks: tuple[TaskReport, ...] = ()
    output: str = ""
    result_json: Any = None
    error: str = ""
    """Why it failed."""
    execution_time: float = 0.0
    """Seconds, of one that has ended."""
    token_usage: dict[str, int] | None = None
    last_step: StepReport | None = None
    real: bool = True
    """False: the demo crew's, which speaks to the letter of each dialect."""

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    @property
    def failed(self) -> bool:
        return self.phase == "failed"


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

"""Executions as the server reports them, independent of the executor and the dialect."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Phase: TypeAlias = Literal["waiting", "running", "paused", "succeeded", "failed"]
ENDED: frozenset[Phase] = frozenset({"succeeded", "failed"})
"""Final phases."""


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
    """A thought of an agent, or its use of a tool."""

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
    """Tasks that have succeeded."""
    total: int = 0
    tasks: tuple[TaskReport, ...] = ()
    output: str = ""
    result_json: Any = None
    error: str = ""
    """Why it failed."""
    execution_time: float = 0.0
    """Seconds, if it has ended."""
    token_usage: dict[str, int] | None = None
    last_step: StepReport | None = None
    question: dict[str, str] | None = None
    """The human input that a paused execution requires: `{"task_id", "agent", "output"}`."""
    artifacts: tuple[str, ...] = ()
    """Paths of the files that its tasks have written."""
    real: bool = True
    """False: of the demo crew, whose answers contain exactly the fields of each dialect."""

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    @property
    def failed(self) -> bool:
        return self.phase == "failed"

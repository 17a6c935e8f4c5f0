"""An execution as described by one answer of the crew."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """The result of one of the crew's tasks."""

    task_id: str
    output: str | None = None
    agent: str | None = None
    execution_time: float | None = None
    """Seconds, as the crew reports them."""


class ExecutionState(StrEnum):
    """The meaning of a status word, in any dialect."""

    WAITING = "waiting"
    RUNNING = "running"
    WAITING_FOR_HUMAN = "waiting_for_human"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The human input that an execution requires: approval of the output of one of its tasks."""

    task_id: str = ""
    """Empty if the answer does not name it."""
    task: str | None = None
    """The name of the task, or of its agent."""
    output: str | None = None
    """The task's output so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """The meaning of one answer about an execution."""

    state: ExecutionState
    word: str
    """The status word that the crew sent."""
    known_word: bool = True
    """False: the word is unknown; it is treated as running, with one warning."""
    output: str | None = None
    result_json: Json = None
    """The result as JSON, if the crew sent one in addition to text or in its place."""
    tasks: tuple[TaskResult, ...] = ()
    error: str | None = None
    execution_time: float | None = None
    token_usage: Mapping[str, Any] | None = None
    current_task: str | None = None
    completed_tasks: int | None = None
    total_tasks: int | None = None
    question: Question | None = None
    """The human input that it requires, while it waits for it."""
    answer: str = ""
    """The complete body that the crew sent."""
    status_place: str = field(default="", compare=False)
    """The place of the status word in the answer: `data.state`."""
    output_place: str = field(default="", compare=False)
    """The place of the output in the answer: `result.raw`."""

    @property
    def has_output(self) -> bool:
        """Whether it has any output; an empty text and null are none."""
        return bool((self.output or "").strip() or self.result_json or any(task.output for task in self.tasks))

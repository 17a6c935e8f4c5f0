"""An execution: what a crew does between a kickoff and its end, as one answer about it says."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """What one of the crew's tasks answered."""

    task_id: str
    output: str | None = None
    agent: str | None = None
    execution_time: float | None = None
    """Seconds, as the crew says."""


class ExecutionState(StrEnum):
    """What a status word means, whatever its dialect."""

    WAITING = "waiting"
    RUNNING = "running"
    WAITING_FOR_PERSON = "waiting_for_person"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One answer about an execution, understood."""

    state: ExecutionState
    word: str
    """The status word as it came."""
    known_word: bool = True
    """False when the word is in no table: then it is taken as running and warned about once."""
    output: str | None = None
    result_json: Json = None
    """The result as JSON, where the crew gave one beside or in place of text."""
    tasks: tuple[TaskResult, ...] = ()
    error: str | None = None
    execution_time: float | None = None
    token_usage: Mapping[str, Any] | None = None
    current_task: str | None = None
    completed_tasks: int | None = None
    total_tasks: int | None = None
    answer: str = ""
    """The body as it came, whole."""

    @property
    def has_output(self) -> bool:
        """Whether there is anything in it: an empty text and null are nothing."""
        return bool((self.output or "").strip() or self.result_json or any(task.output for task in self.tasks))

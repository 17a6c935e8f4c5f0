"""Apply a worker's message to an execution: update its report, and return the webhooks to send. No I/O."""

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from batchcrew.server.crews.callbacks import Call, Callbacks
from batchcrew.server.dialects.dialect_format import DialectFormat
from batchcrew.server.report import Report, TaskReport
from batchcrew.server.workers.messages import (
    Ended,
    MethodEnded,
    MethodStarted,
    Paused,
    Step,
    TaskEnded,
    TaskStarted,
)

StateMessage: TypeAlias = TaskStarted | TaskEnded | Step | MethodStarted | MethodEnded | Paused | Ended


@dataclass(slots=True, kw_only=True)
class ActiveExecution:
    """An execution that has not ended."""

    report: Report
    callbacks: Callbacks
    begun: list[str] = field(default_factory=list)
    """Tasks that have begun and not ended, including those of a flow's crews."""
    methods: list[str] = field(default_factory=list)
    """Methods of the flow that have begun and not ended."""
    methods_done: int = 0
    seconds_left: float | None = None
    """The rest of its time limit, while it waits for human input."""
    paused_task: str = ""
    """The task that the human input is for."""

    @property
    def paused(self) -> bool:
        """Whether the execution waits for human input."""
        return self.report.phase == "paused"


def apply(active: ActiveExecution, message: StateMessage, dialect_format: DialectFormat) -> list[Call]:
    """Apply a message, and return the webhooks to send.

    Messages of one execution may arrive in another order than its events happened.
    """
    match message:
        case TaskStarted():
            active.begun.append(message.task_id)
        case TaskEnded():
            return _task_ended(active, message.task, dialect_format)
        case Step():
            active.report = replace(active.report, last_step=message.step)
            return active.callbacks.step(dialect_format, active.report, message.step)
        case MethodStarted():
            active.methods.append(message.method)
        case MethodEnded():
            _remove(active.methods, message.method)
            active.methods_done += 1
        case Paused():
            return _paused(active, message)
        case Ended():
            return _ended(active, message, dialect_format)
    _update_progress(active)
    return []


def _task_ended(active: ActiveExecution, task: TaskReport, dialect_format: DialectFormat) -> list[Call]:
    _remove(active.begun, task.task_id)
    active.report = replace(active.report, tasks=(*active.report.tasks, task))
    _update_progress(active)
    return active.callbacks.task(dialect_format, active.report, task)


def _paused(active: ActiveExecution, message: Paused) -> list[Call]:
    active.paused_task = message.task_id
    question = {"task_id": message.task_id, "agent": message.agent, "output": message.output}
    active.report = replace(active.report, phase="paused", current_task=message.task_id, question=question)
    return active.callbacks.paused(message)


def _ended(active: ActiveExecution, message: Ended, dialect_format: DialectFormat) -> list[Call]:
    report = active.report
    known: dict[str, Any] = {
        "question": None,
        "current_task": "",
        "execution_time": report.execution_time if message.execution_time is None else message.execution_time,
        "token_usage": dict(message.usage) or None,
        "artifacts": message.artifacts,
    }
    if message.error is None:
        total = max(report.done, report.total) if active.methods_done == 0 else report.done
        known |= {
            "phase": "succeeded",
            "output": message.output,
            "result_json": message.result_json,
            "total": total,
        }
    else:
        known |= {"phase": "failed", "error": message.error or "it failed without a reason"}
    active.report = replace(report, **known)
    return active.callbacks.crew(dialect_format, active.report)


def _update_progress(active: ActiveExecution) -> None:
    """Update the counts and the current task.

    A flow's progress counts its methods. Its current task is a task of one of its crews, if one is running.
    """
    flow = active.methods_done or active.methods
    done = active.methods_done if flow else len(active.report.tasks)
    current = [*active.methods, *active.begun]
    active.report = replace(
        active.report,
        done=done,
        total=max(active.report.total, done + len(active.methods) if flow else done),
        current_task=current[-1] if current else active.report.current_task,
    )


def _remove(names: list[str], name: str) -> None:
    if name in names:
        names.remove(name)

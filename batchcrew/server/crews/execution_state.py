"""What a worker's message makes of an execution: its report, and who is called back. No I/O."""

from dataclasses import dataclass, field, replace
from typing import Any

from batchcrew.server.crews.callbacks import Call, Callbacks
from batchcrew.server.dialects.dialect_format import DialectFormat
from batchcrew.server.report import Report, StepReport, TaskReport
from batchcrew.server.workers.messages import Message


@dataclass(slots=True, kw_only=True)
class Live:
    """An execution that has not ended."""

    report: Report
    callbacks: Callbacks
    begun: list[str] = field(default_factory=list)
    """Tasks that have begun and not ended; those of a flow's crews too."""
    methods: list[str] = field(default_factory=list)
    """Methods of the flow that have begun and not ended."""
    methods_done: int = 0
    left: float | None = None
    """Seconds of its time limit, while it waits for a person."""
    asked: str = ""
    """The task that a person is asked about."""


def follow(live: Live, message: Message, dialect_format: DialectFormat) -> list[Call]:
    """Take a message in. Messages of one execution may come in another order than things have happened."""
    match message["kind"]:
        case "task_started":
            live.begun.append(message["task_id"])
        case "task_ended":
            return _task_ended(live, TaskReport(**message["task"]), dialect_format)
        case "step":
            step = StepReport(**message["step"])
            live.report = replace(live.report, last_step=step)
            return live.callbacks.step(dialect_format, live.report, step)
        case "method_started":
            live.methods.append(message["method"])
        case "method_ended":
            _remove(live.methods, message["method"])
            live.methods_done += 1
        case "paused":
            return _paused(live, message)
        case "ended":
            return _ended(live, message, dialect_format)
        case kind:
            raise ValueError(f"a worker says {kind!r}, which is no message")
    _show_progress(live)
    return []


def fail(live: Live, error: str, dialect_format: DialectFormat) -> list[Call]:
    """It has ended without having been started."""
    return follow(live, {"kind": "ended", "error": error}, dialect_format)


def _task_ended(live: Live, task: TaskReport, dialect_format: DialectFormat) -> list[Call]:
    _remove(live.begun, task.task_id)
    live.report = replace(live.report, tasks=(*live.report.tasks, task))
    _show_progress(live)
    return live.callbacks.task(dialect_format, live.report, task)


def _paused(live: Live, message: Message) -> list[Call]:
    live.asked = message["task_id"]
    live.report = replace(live.report, phase="paused", current_task=live.asked)
    return live.callbacks.paused(
        live.report.kickoff_id, task_id=live.asked, agent=message["agent"], output=message["output"]
    )


def _ended(live: Live, message: Message, dialect_format: DialectFormat) -> list[Call]:
    error = message.get("error")
    known: dict[str, Any] = {
        "current_task": "",
        "execution_time": message.get("execution_time", live.report.execution_time),
        "token_usage": message.get("usage") or None,
    }
    if error is None:
        total = max(live.report.done, live.report.total) if live.methods_done == 0 else live.report.done
        known |= {
            "phase": "succeeded",
            "output": message["output"],
            "result_json": message["result_json"],
            "total": total,
        }
    else:
        known |= {"phase": "failed", "error": error or "it failed without a word"}
    live.report = replace(live.report, **known)
    return live.callbacks.crew(dialect_format, live.report)


def _show_progress(live: Live) -> None:
    """A flow's progress is that of its methods; what it does now is a task of one of its crews, if there is one."""
    flow = live.methods_done or live.methods
    done = live.methods_done if flow else len(live.report.tasks)
    current = [*live.methods, *live.begun]
    live.report = replace(
        live.report,
        done=done,
        total=max(live.report.total, done + len(live.methods) if flow else done),
        current_task=current[-1] if current else live.report.current_task,
    )


def _remove(names: list[str], name: str) -> None:
    if name in names:
        names.remove(name)

"""Sends the library's events to the server, and passes human input to the crews' agents.

Each execution runs in its own context. The library carries the context into its threads and its event handlers, so
each event belongs to one execution, also an event of a crew inside a flow.
"""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from crewai import Flow

from batchcrew.server.report import StepReport, TaskReport
from batchcrew.server.worker import crewai_versions as library
from batchcrew.server.worker.running import Running
from batchcrew.server.worker.thread_contexts import carry
from batchcrew.server.worker.token_counts import TokenCounts, count_in
from batchcrew.server.workers.messages import (
    HumanAnswer,
    LibraryEvent,
    MethodEnded,
    MethodStarted,
    Step,
    TaskEnded,
    TaskStarted,
)

FLUSH_SECONDS = 30.0
"""How long to wait for the last events of an execution."""
MAX_TEXT = 20_000
"""Characters of a prompt, a thought or a tool's result in a step."""
_current: ContextVar["EventContext | None"] = ContextVar("batchcrew_execution", default=None)
_registered: set[object] = set()
_registering = threading.Lock()


class EventContext:
    """The execution that events belong to, and the names of its tasks."""

    def __init__(self, running: Running, made: Any) -> None:
        self.running = running
        self.kickoff_id = running.kickoff_id
        self.flow = made if isinstance(made, Flow) else None
        self.names: dict[str, str] = {}
        """Names of the crew's tasks by the library's id."""
        self.begun: dict[str, float] = {}
        """Monotonic seconds at which each task began."""
        self.lock = threading.Lock()
        self.tokens = TokenCounts()
        for number, task in enumerate(getattr(made, "tasks", ()), 1):
            self.names[str(task.id)] = task.name or f"task_{number}"

    def name(self, task: Any) -> str:
        """Return the task's name. Inside a flow, tasks without a name are numbered as they start."""
        with self.lock:
            return self.names.setdefault(str(task.id), task.name or f"task_{len(self.names) + 1}")


def event_types() -> dict[str, type[Any]]:
    """Return the library's events by their names."""
    found: dict[str, type[Any]] = {}
    left = [] if library.BaseEvent is None else list(library.BaseEvent.__subclasses__())
    while left:
        kind = left.pop()
        left.extend(kind.__subclasses__())
        name = kind.model_fields["type"].default
        if isinstance(name, str):
            found.setdefault(name, kind)
    return found


@contextmanager
def listening(running: Running, made: Any) -> Iterator[None]:
    """Send the server what happens in this context, and get human input through it."""
    _register(running.events)
    library.suppress_panels()  # the setting is part of the context, and each execution has its own
    context = EventContext(running, made)
    token = _current.set(context)
    library.provide_human_input(CrewHumanInput(), FlowHumanInput(), _wait_for_feedback)
    try:
        yield
    finally:
        library.flush(FLUSH_SECONDS)
        _current.reset(token)
        running.usage.update(context.tokens.totals())


def _register(events: frozenset[str]) -> None:
    """Listen to the events that are always needed, and to those that a kickoff requested."""
    kinds = event_types() if events else {}
    with _registering:
        if not _registered:
            library.allow_threads()
            carry(_current)
            count_in(_current)
            for name, handler in _HANDLERS.items():
                library.listen(name, handler)
        for name in events:
            if kinds[name] not in _registered:
                library.listen_to(kinds[name], _send_event)
                _registered.add(kinds[name])
        _registered.add("always")


def _send_event(source: Any, event: Any) -> None:
    context = _current.get()
    if context is None or event.type not in context.running.events:
        return
    context.running.send(
        LibraryEvent(
            kickoff_id=context.kickoff_id,
            event_id=getattr(event, "event_id", None) or uuid.uuid4().hex,  # it has none before 1.0
            timestamp=event.timestamp.isoformat(),
            type=event.type,
            data=event.to_json() if hasattr(event, "to_json") else event.model_dump(),
        )
    )


def _task_started(source: Any, event: Any) -> None:
    context, task = _current.get(), getattr(event, "task", None) or source
    if context is not None and task is not None:
        context.begun[str(task.id)] = time.monotonic()
        context.running.send(TaskStarted(kickoff_id=context.kickoff_id, task_id=context.name(task)))


def _task_completed(source: Any, event: Any) -> None:
    context, task = _current.get(), getattr(event, "task", None) or source
    if context is None or task is None:
        return
    seconds = task.execution_duration
    if seconds is None:
        seconds = time.monotonic() - context.begun.get(str(task.id), time.monotonic())
    output = event.output
    typed = output.pydantic.model_dump(mode="json") if output.pydantic is not None else output.json_dict
    report = TaskReport(
        task_id=context.name(task),
        agent=output.agent.strip(),
        output=output.raw,
        execution_time=max(0.0, round(seconds, 3)),  # the library reads a clock that can be set back
        description=task.description.strip(),
        expected_output=task.expected_output.strip(),
        summary=output.summary or "",
        output_json=typed,
    )
    context.running.send(TaskEnded(kickoff_id=context.kickoff_id, task=report))


def _llm_call_completed(source: Any, event: Any) -> None:
    context, usage = _current.get(), getattr(event, "usage", None)
    if context is not None and usage:
        context.tokens.named(source, getattr(event, "call_id", None), usage)


def _tool_used(source: Any, event: Any) -> None:
    context = _current.get()
    if context is None:
        return
    task = getattr(event, "task_id", None) or ""  # before 1.0, these events do not name their task
    step = StepReport(
        task_id=context.names.get(task, getattr(event, "task_name", None) or ""),
        agent=(event.agent_role or "").strip(),
        prompt="",
        thought="",
        tool=event.tool_name,
        tool_input=_cut(event.tool_args),
        result=_cut(getattr(event, "error", None) or getattr(event, "output", "")),
    )
    context.running.send(Step(kickoff_id=context.kickoff_id, step=step))


def _agent_ended(source: Any, event: Any) -> None:
    context = _current.get()
    if context is None or getattr(event, "task", None) is None:
        return
    step = StepReport(
        task_id=context.name(event.task),
        agent=event.agent.role.strip(),
        prompt=_cut(event.task.description.strip()),
        thought=_cut(event.output),
    )
    context.running.send(Step(kickoff_id=context.kickoff_id, step=step))


def _method_started(source: Any, event: Any) -> None:
    context = _current.get()
    if context is not None and source is context.flow:
        context.running.send(MethodStarted(kickoff_id=context.kickoff_id, method=str(event.method_name)))


def _method_finished(source: Any, event: Any) -> None:
    context = _current.get()
    if context is not None and source is context.flow:
        context.running.send(MethodEnded(kickoff_id=context.kickoff_id, method=str(event.method_name)))


_HANDLERS: dict[str, Callable[[Any, Any], None]] = {
    "TaskStartedEvent": _task_started,
    "TaskCompletedEvent": _task_completed,
    "LLMCallCompletedEvent": _llm_call_completed,
    "ToolUsageFinishedEvent": _tool_used,
    "ToolUsageErrorEvent": _tool_used,
    "AgentExecutionCompletedEvent": _agent_ended,
    "MethodExecutionStartedEvent": _method_started,
    "MethodExecutionFinishedEvent": _method_finished,
}


def _cut(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


class CrewHumanInput(library.HumanInputProvider):
    """Gets the human input of a crew from `POST /resume` in place of a terminal.

    It repeats the library's own loop, except that each round shows the latest answer, not the first one.
    """

    def handle_feedback(self, formatted_answer: Any, context: Any) -> Any:
        """Repeat until the answer is approved, and return it."""
        answer = formatted_answer
        while context.ask_for_human_input:
            if _approved(_wait_for_feedback(answer, context), context):
                break
            answer = context._invoke_loop()  # noqa: SLF001 - the library's protocol for providers has this name
        return answer

    async def handle_feedback_async(self, formatted_answer: Any, context: Any) -> Any:
        """Do the same for crews that run in an event loop."""
        answer = formatted_answer
        while context.ask_for_human_input:
            feedback = await asyncio.to_thread(_wait_for_feedback, answer, context)  # it copies the context
            if _approved(feedback, context):
                break
            answer = await context._ainvoke_loop()  # noqa: SLF001 - as above
        return answer


def _approved(feedback: HumanAnswer, context: Any) -> bool:
    """Return whether the agent's answer is approved; if not, add the feedback to the agent's messages."""
    if not feedback.approved:
        context.messages.append(context._format_feedback_message(feedback.text))  # noqa: SLF001 - as above
        return False
    context.ask_for_human_input = False
    return True


def _event_context() -> EventContext:
    context = _current.get()
    if context is None:
        raise EOFError("human input is not available: this is not an execution of the server")
    return context


class FlowHumanInput:
    """Gets the human input of a flow: `@human_feedback` and `Flow.ask`. Its text is the answer, approved or not."""

    def request_feedback(self, context: Any, flow: Any) -> str:
        """Return the feedback on a method's output."""
        return _flow_input(str(context.method_name), f"{context.message}\n{context.method_output}", flow)

    def request_input(self, message: str, flow: Any, metadata: Any = None) -> str:
        """Return the answer to a message of the flow."""
        return _flow_input("ask", message, flow)


def _flow_input(task_id: str, shown: str, flow: Any) -> str:
    running = _event_context().running
    return running.wait_for_human(task_id=task_id, agent=str(flow.name or ""), output=_cut(shown)).text


def _wait_for_feedback(answer: Any, context: Any) -> HumanAnswer:
    current, task = _event_context(), context.task
    return current.running.wait_for_human(
        task_id=current.name(task) if task is not None else "",
        agent=str(getattr(context.agent, "role", "")).strip(),
        output=_cut(getattr(answer, "output", "")),
    )

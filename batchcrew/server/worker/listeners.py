"""What the library's events say of an execution, and how its agents ask a person.

Each execution runs in a context of its own. The library carries the context into its threads and its event
handlers, so each event says whose it is, also that of a crew inside a flow.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from crewai import Flow
from crewai.core.providers.human_input import SyncHumanInputProvider, set_provider
from crewai.events.base_events import BaseEvent
from crewai.events.event_bus import crewai_event_bus
from crewai.events.types.agent_events import AgentExecutionCompletedEvent
from crewai.events.types.flow_events import MethodExecutionFinishedEvent, MethodExecutionStartedEvent
from crewai.events.types.llm_events import LLMCallCompletedEvent
from crewai.events.types.task_events import TaskCompletedEvent, TaskStartedEvent
from crewai.events.types.tool_usage_events import ToolUsageErrorEvent, ToolUsageFinishedEvent
from crewai.events.utils.console_formatter import set_suppress_console_output
from crewai.flow.flow_config import flow_config

from batchcrew.server.worker.main import Answer, Running

FLUSH_SECONDS = 30.0
"""How long the last events of an execution are waited for."""
MAX_TEXT = 20_000
"""Characters of a prompt, a thought or a tool's result that a step tells."""
_USAGE = {
    "total_tokens": ("total_tokens",),
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "completion_tokens": ("completion_tokens", "output_tokens"),
    "cached_prompt_tokens": ("cached_prompt_tokens", "cached_tokens"),
}
"""Our names of counts, and those that providers use."""
_heard: ContextVar["Heard | None"] = ContextVar("batchcrew_execution", default=None)
_registered: set[type[BaseEvent]] = set()
_registering = threading.Lock()


class Heard:
    """What has been heard of one execution."""

    def __init__(self, running: Running, made: Any) -> None:
        self.running = running
        self.flow = made if isinstance(made, Flow) else None
        self.names: dict[str, str] = {}
        """Names of the crew's tasks by the library's id."""
        self.begun: dict[str, float] = {}
        self.lock = threading.Lock()
        for number, task in enumerate(getattr(made, "tasks", ()), 1):
            self.names[str(task.id)] = task.name or f"task_{number}"

    def name(self, task: Any) -> str:
        """The task's name; inside a flow tasks without one are counted as they come."""
        with self.lock:
            return self.names.setdefault(str(task.id), task.name or f"task_{len(self.names) + 1}")

    def add_usage(self, usage: dict[str, Any]) -> None:
        """Add the tokens of one call of a model."""
        counts = {name: next((_count(usage[key]) for key in keys if key in usage), 0) for name, keys in _USAGE.items()}
        counts["total_tokens"] = counts["total_tokens"] or counts["prompt_tokens"] + counts["completion_tokens"]
        with self.lock:
            for name, count in {**counts, "successful_requests": 1}.items():
                self.running.usage[name] = self.running.usage.get(name, 0) + count


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and value > 0 else 0


def event_types() -> dict[str, type[BaseEvent]]:
    """The library's events by their names."""
    found: dict[str, type[BaseEvent]] = {}
    left = list(BaseEvent.__subclasses__())
    while left:
        kind = left.pop()
        left.extend(kind.__subclasses__())
        name = kind.model_fields["type"].default
        if isinstance(name, str):
            found.setdefault(name, kind)
    return found


def quieten() -> None:
    """No panels: nobody looks at a worker's terminal."""
    set_suppress_console_output(True)


@contextmanager
def listening(running: Running, made: Any) -> Iterator[None]:
    """Tell the server what happens in this context, and ask a person through it."""
    _register(running.events)
    quieten()  # it is kept in the context, and each execution has its own
    heard = Heard(running, made)
    token = _heard.set(heard)
    set_provider(Person())
    flow_config.hitl_provider = flow_config.input_provider = FlowPerson()
    try:
        yield
    finally:
        crewai_event_bus.flush(timeout=FLUSH_SECONDS)
        _heard.reset(token)


def _register(events: frozenset[str]) -> None:
    """Listen to what is always needed, and to the events that somebody wants to be passed on."""
    kinds = event_types() if events else {}
    with _registering:
        if not _registered:
            for kind, handler in _HANDLERS.items():
                crewai_event_bus.register_handler(kind, handler)
        for name in events:
            if kinds[name] not in _registered:
                crewai_event_bus.register_handler(kinds[name], _pass_on)
                _registered.add(kinds[name])
        _registered.add(BaseEvent)


def _pass_on(source: Any, event: BaseEvent) -> None:
    heard = _heard.get()
    if heard is None or event.type not in heard.running.events:
        return
    heard.running.tell(
        "event",
        event={
            "id": event.event_id,
            "timestamp": event.timestamp.isoformat(),
            "type": event.type,
            "data": event.to_json(),
        },
    )


def _task_started(source: Any, event: TaskStartedEvent) -> None:
    heard = _heard.get()
    if heard is not None and event.task is not None:
        heard.begun[str(event.task.id)] = time.monotonic()
        heard.running.tell("task_started", task_id=heard.name(event.task))


def _task_completed(source: Any, event: TaskCompletedEvent) -> None:
    heard, task = _heard.get(), event.task
    if heard is None or task is None:
        return
    seconds = task.execution_duration
    if seconds is None:
        seconds = time.monotonic() - heard.begun.get(str(task.id), time.monotonic())
    output = event.output
    typed = output.pydantic.model_dump(mode="json") if output.pydantic is not None else output.json_dict
    heard.running.tell(
        "task_ended",
        task={
            "task_id": heard.name(task),
            "agent": output.agent.strip(),
            "output": output.raw,
            "execution_time": round(seconds, 3),
            "description": task.description.strip(),
            "expected_output": task.expected_output.strip(),
            "summary": output.summary or "",
            "output_json": typed,
        },
    )


def _llm_call_completed(source: Any, event: LLMCallCompletedEvent) -> None:
    heard = _heard.get()
    if heard is not None and event.usage:
        heard.add_usage(event.usage)


def _tool_used(source: Any, event: ToolUsageFinishedEvent | ToolUsageErrorEvent) -> None:
    heard = _heard.get()
    if heard is None:
        return
    result = event.error if isinstance(event, ToolUsageErrorEvent) else event.output
    heard.running.tell(
        "step",
        step={
            "task_id": heard.names.get(event.task_id or "", event.task_name or ""),
            "agent": (event.agent_role or "").strip(),
            "prompt": "",
            "thought": "",
            "tool": event.tool_name,
            "tool_input": _cut(event.tool_args),
            "result": _cut(result),
        },
    )


def _agent_ended(source: Any, event: AgentExecutionCompletedEvent) -> None:
    heard = _heard.get()
    if heard is None or event.task is None:
        return
    heard.running.tell(
        "step",
        step={
            "task_id": heard.name(event.task),
            "agent": event.agent.role.strip(),
            "prompt": _cut(event.task.description.strip()),
            "thought": _cut(event.output),
        },
    )


def _method_started(source: Any, event: MethodExecutionStartedEvent) -> None:
    heard = _heard.get()
    if heard is not None and source is heard.flow:
        heard.running.tell("method_started", method=event.method_name)


def _method_finished(source: Any, event: MethodExecutionFinishedEvent) -> None:
    heard = _heard.get()
    if heard is not None and source is heard.flow:
        heard.running.tell("method_ended", method=event.method_name)


_HANDLERS: dict[type[BaseEvent], Any] = {
    TaskStartedEvent: _task_started,
    TaskCompletedEvent: _task_completed,
    LLMCallCompletedEvent: _llm_call_completed,
    ToolUsageFinishedEvent: _tool_used,
    ToolUsageErrorEvent: _tool_used,
    AgentExecutionCompletedEvent: _agent_ended,
    MethodExecutionStartedEvent: _method_started,
    MethodExecutionFinishedEvent: _method_finished,
}


def _cut(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


class Person(SyncHumanInputProvider):
    """Asks the person at the other end of `POST /resume` in place of a terminal.

    The library's own loop, but for showing the person each round's answer, not the first one's.
    """

    def handle_feedback(self, formatted_answer: Any, context: Any) -> Any:
        """Ask until the person approves."""
        answer = formatted_answer
        while context.ask_for_human_input:
            if _approved(_ask(answer, context), context):
                break
            answer = context._invoke_loop()  # noqa: SLF001 - the library's protocol for providers names it so
        return answer

    async def handle_feedback_async(self, formatted_answer: Any, context: Any) -> Any:
        """The same for crews that run in a loop."""
        answer = formatted_answer
        while context.ask_for_human_input:
            said = await asyncio.to_thread(_ask, answer, context)  # the context goes along
            if _approved(said, context):
                break
            answer = await context._ainvoke_loop()  # noqa: SLF001 - as above
        return answer


def _approved(said: Answer, context: Any) -> bool:
    """True: the agent's answer stands. Else the feedback is in its messages."""
    if not said.approved:
        context.messages.append(context._format_feedback_message(said.text))  # noqa: SLF001 - as above
        return False
    context.ask_for_human_input = False
    return True


def _current() -> Heard:
    heard = _heard.get()
    if heard is None:
        raise EOFError("no person can be asked: this is no execution of the server")
    return heard


class FlowPerson:
    """The same for flows: `@human_feedback` and `Flow.ask`. What was said is the answer, approved or not."""

    def request_feedback(self, context: Any, flow: Any) -> str:
        """Ask about what a method has made."""
        shown = f"{context.message}\n{context.method_output}"
        return _current().running.ask(task_id=context.method_name, agent=flow.name or "", output=_cut(shown)).text

    def request_input(self, message: str, flow: Any, metadata: Any = None) -> str:
        """Ask a question."""
        return _current().running.ask(task_id="ask", agent=flow.name or "", output=_cut(message)).text


def _ask(answer: Any, context: Any) -> Answer:
    heard, task = _current(), context.task
    return heard.running.ask(
        task_id=heard.name(task) if task is not None else "",
        agent=str(getattr(context.agent, "role", "")).strip(),
        output=_cut(getattr(answer, "output", "")),
    )

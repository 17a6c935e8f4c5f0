"""The differences between the versions of CrewAI, from 0.100 on; all of them are in this module.

| since | crewai has |
|---|---|
| 0.105 | an event bus (`crewai.utilities.events`) that calls handlers in the thread that emits; before, there is none |
| 0.117 | `BaseLLM` |
| 0.157 | the bus as `crewai.events` |
| 1.0 | a bus that calls handlers in threads without the context of the emitter; `_track_token_usage_internal` |
| 1.9 | a bus that carries the context, and `flush`; `flow_config` |
| 1.10 | providers of human input (`crewai.core.providers`); before, the executors call `input()` |
| 1.14 | events of model calls with `usage`; `crewai_core`, whose locks can be replaced |

Names are looked up, and version numbers are never compared.
"""

import contextlib
import contextvars
import functools
import importlib
import threading
import traceback
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from types import ModuleType, SimpleNamespace
from typing import Any

Handler = Callable[[Any, Any], None]
"""Receives the object that emitted an event, and the event."""
_handlers: "defaultdict[type[Any], list[Handler]]" = defaultdict(list)
"""Handlers that are called in the thread that emits, for versions whose bus does not carry the context."""
_simulated: dict[str, Handler] = {}
"""Handlers by the names of events, for versions without a bus."""
_installing = threading.Lock()
_installed: set[str] = set()


def found(*places: str) -> Any:
    """Return the first of these objects (`package.module:name`) that the installed version has; None if it has none."""
    for place in places:
        package, _, name = place.partition(":")
        value = getattr(module(package), name, None)
        if value is not None:
            return value
    return None


@functools.cache  # each execution needs some, and the import system searches all folders for a missing one
def module(name: str) -> ModuleType | None:
    """Import the module; None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


bus: Any = found("crewai.events.event_bus:crewai_event_bus", "crewai.utilities.events:crewai_event_bus")
BaseEvent: Any = found(
    "crewai.events.base_events:BaseEvent",
    "crewai.utilities.events.base_events:BaseEvent",
    "crewai.utilities.events.base_events:CrewEvent",  # 0.105 and 0.108
)
HumanInputProvider: Any = found("crewai.core.providers.human_input:SyncHumanInputProvider") or object
"""The class to derive a provider of human input from."""
_carries_context = hasattr(bus, "flush")
_EVENTS = {
    "TaskStartedEvent": "task_events",
    "TaskCompletedEvent": "task_events",
    "LLMCallCompletedEvent": "llm_events",
    "ToolUsageFinishedEvent": "tool_usage_events",
    "ToolUsageErrorEvent": "tool_usage_events",
    "AgentExecutionCompletedEvent": "agent_events",
    "MethodExecutionStartedEvent": "flow_events",
    "MethodExecutionFinishedEvent": "flow_events",
}
"""The modules of the events that are always listened to."""


def listen(name: str, handler: Handler) -> None:
    """Call the handler for each event of this name, in the context of the execution that it belongs to."""
    _simulated[name] = handler
    place = _EVENTS[name]
    kind = found(f"crewai.events.types.{place}:{name}", f"crewai.utilities.events.{place}:{name}")
    if kind is not None:
        listen_to(kind, handler)
    if bus is None:
        once("simulate", _simulate)


def listen_to(kind: type[Any], handler: Handler) -> None:
    """Call the handler for each event of this class."""
    if _carries_context:
        bus.register_handler(kind, handler)
        return
    _handlers[kind].append(handler)
    once("emit", _wrap_emit)


def flush(seconds: float) -> None:
    """Wait until the handlers of all events have been called."""
    if _carries_context:
        bus.flush(timeout=seconds)


def suppress_panels() -> None:
    """Keep the library from printing its panels, as far as it can be kept from it."""
    suppress = found("crewai.events.utils.console_formatter:set_suppress_console_output")
    if suppress is not None:
        suppress(True)


def provide_human_input(crew: Any, flow: Any, answer_of: Callable[[Any, Any], Any]) -> None:
    """Get human input in this context from these providers.

    Args:
        crew: the provider for crews.
        flow: the provider for flows.
        answer_of: waits for the answer to an agent's output; for versions without providers. It gets the output and the
            executor of the agent.
    """
    provide = found("crewai.core.providers.human_input:set_provider")
    if provide is not None:
        provide(crew)
    else:
        once("human", functools.partial(_replace_prompts, answer_of))
    settings = found("crewai.flow.flow_config:flow_config")
    if settings is not None:
        settings.hitl_provider = settings.input_provider = flow


def usage_of(output: Any) -> dict[str, int]:
    """Return the tokens that a crew's output names itself; empty if it names none.

    The library's counters belong to the model object, so they are used only where calls do not report their tokens.
    """
    counts = getattr(output, "token_usage", None)
    dump = getattr(counts, "model_dump", None)
    named = dump() if callable(dump) else counts
    if not isinstance(named, dict) or not named.get("total_tokens"):
        return {}
    names = ("total_tokens", "prompt_tokens", "completion_tokens", "cached_prompt_tokens", "successful_requests")
    return {name: int(named[name]) for name in names if isinstance(named.get(name), int)}


def allow_threads() -> None:
    """Make what a version does wrong in threads safe for concurrent executions.

    Before 1.0, the context is not carried into the threads of tasks with `async_execution`, and a task that raises
    there never ends its future: the crew waits forever. Before 0.150, each model call replaces `sys.stdout` for its
    duration, which concurrent calls undo in the wrong order; the streams grow until the process crashes.
    """
    once("threads", _carry_into_threads)
    if not _carries_context and found("crewai.llm:FilteredStream", "crewai.llm:suppress_warnings") is not None:
        importlib.import_module("crewai.llm").suppress_warnings = contextlib.nullcontext  # type: ignore[attr-defined]


def once(what: str, install: Callable[[], None]) -> None:
    """Install a change to the library, unless it has been installed."""
    with _installing:
        if what not in _installed:
            _installed.add(what)
            install()


def _wrap_emit() -> None:
    original = type(bus).emit

    @functools.wraps(original)
    def emit(self: Any, source: Any, event: Any, *rest: Any, **named: Any) -> Any:
        for kind, handlers in list(_handlers.items()):
            if isinstance(event, kind):
                for handler in handlers:
                    _call(handler, source, event)
        return original(self, source, event, *rest, **named)

    type(bus).emit = emit


def _call(handler: Handler, source: Any, event: Any) -> None:
    try:
        handler(source, event)
    except Exception:  # noqa: BLE001 - as the bus does: what is shown of an execution does not end it
        traceback.print_exc()


def _emit(name: str, source: Any, **fields: Any) -> None:
    if name in _simulated:
        _call(_simulated[name], source, SimpleNamespace(**fields))


def _carry_into_threads() -> None:
    from crewai import Task

    contexts: dict[int, contextvars.Context] = {}
    start, work = getattr(Task, "execute_async", None), getattr(Task, "_execute_task_async", None)
    if start is None or work is None:
        return

    def execute_async(self: Any, *arguments: Any, **named: Any) -> Any:
        contexts[id(self)] = contextvars.copy_context()
        return start(self, *arguments, **named)

    def execute_task_async(self: Any, *arguments: Any, **named: Any) -> None:
        context = contexts.pop(id(self), None) or contextvars.copy_context()
        try:
            context.run(work, self, *arguments, **named)
        except BaseException as error:
            ends = next((one for one in (*arguments, *named.values()) if isinstance(one, Future)), None)
            if ends is None or ends.done():
                raise
            ends.set_exception(error)

    Task.execute_async = functools.wraps(start)(execute_async)
    Task._execute_task_async = functools.wraps(work)(execute_task_async)  # noqa: SLF001 - it has no public hook


def _replace_prompts(answer_of: Callable[[Any, Any], Any]) -> None:
    """Replace the prompts of the agents' executors."""
    executor = found("crewai.agents.crew_agent_executor:CrewAgentExecutor")
    prompts = found("crewai.agents.agent_builder.base_agent_executor_mixin:CrewAgentExecutorMixin")
    if executor is None or prompts is None:
        return

    def ask_human_input(self: Any, final_answer: Any) -> str:
        answer = answer_of(SimpleNamespace(output=final_answer), self)
        return "" if answer.approved else str(answer.text)

    def handle_human_feedback(self: Any, formatted_answer: Any) -> Any:
        while self.ask_for_human_input:
            answer = answer_of(formatted_answer, self)
            if answer.approved:
                self.ask_for_human_input = False
            else:
                self.messages.append(self._format_msg(f"Feedback: {answer.text}"))
                formatted_answer = self._invoke_loop()
        return formatted_answer

    prompts._ask_human_input = ask_human_input  # noqa: SLF001 - it has no public hook
    if not hasattr(executor, "_process_feedback_iteration"):  # before 0.105, a model decided what the text means
        executor._handle_human_feedback = handle_human_feedback  # noqa: SLF001 - as above


def _simulate() -> None:
    """Call the handlers from the library's own methods (0.100 and 0.102)."""
    from crewai import Agent, Flow, Task

    executor = found("crewai.agents.crew_agent_executor:CrewAgentExecutor")
    execute, answer, method = Task._execute_core, Agent.execute_task, Flow._execute_method  # noqa: SLF001 - as above
    active: set[int] = set()

    def execute_core(self: Any, *arguments: Any, **named: Any) -> Any:
        if id(self) in active:  # a guardrail made it try again
            return execute(self, *arguments, **named)
        active.add(id(self))
        try:
            _emit("TaskStartedEvent", self, task=self)
            output = execute(self, *arguments, **named)
            _emit("TaskCompletedEvent", self, task=self, output=output)
        finally:
            active.discard(id(self))
        return output

    def execute_task(self: Any, task: Any, *arguments: Any, **named: Any) -> Any:
        output = answer(self, task, *arguments, **named)
        _emit("AgentExecutionCompletedEvent", self, agent=self, task=task, output=output)
        return output

    async def execute_method(self: Any, method_name: Any, *arguments: Any, **named: Any) -> Any:
        _emit("MethodExecutionStartedEvent", self, method_name=method_name)
        result = await method(self, method_name, *arguments, **named)
        _emit("MethodExecutionFinishedEvent", self, method_name=method_name)
        return result

    Task._execute_core = functools.wraps(execute)(execute_core)  # noqa: SLF001 - as above
    Agent.execute_task = functools.wraps(answer)(execute_task)
    Flow._execute_method = functools.wraps(method)(execute_method)  # noqa: SLF001 - as above
    if executor is not None:
        _simulate_tools(executor)


def _simulate_tools(executor: Any) -> None:
    invoke = executor._invoke_step_callback  # noqa: SLF001 - it has no public hook

    @functools.wraps(invoke)
    def invoke_step_callback(self: Any, formatted_answer: Any, *rest: Any) -> None:
        tool = getattr(formatted_answer, "tool", None)
        if tool:
            _emit(
                "ToolUsageFinishedEvent",
                self,
                task_id=str(getattr(self.task, "id", "")),
                task_name=getattr(self.task, "name", None),
                agent_role=getattr(self.agent, "role", ""),
                tool_name=tool,
                tool_args=getattr(formatted_answer, "tool_input", ""),
                output=getattr(formatted_answer, "result", ""),
            )
        invoke(self, formatted_answer, *rest)

    executor._invoke_step_callback = invoke_step_callback  # noqa: SLF001 - as above

"""A crew with one agent and one task, whose model answers at once: only the work of crewai is measured."""

from typing import Any

from crewai import Agent, Crew, Task
from crewai.events.types.llm_events import LLMCallType
from crewai.llms.base_llm import BaseLLM, llm_call_context


class InstantModel(BaseLLM):  # type: ignore[misc]  # crewai is not type-checked: pyproject.toml says why
    """Echoes the last line of the task that names the topic."""

    def call(self, messages: Any, *_: Any, from_task: Any = None, from_agent: Any = None, **__: Any) -> str:
        text = messages if isinstance(messages, str) else messages[-1]["content"]
        answer = next(line for line in text.splitlines() if "topic-" in line).strip()
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        with llm_call_context():
            self._emit_call_started_event(messages, from_task=from_task, from_agent=from_agent)
            self._track_token_usage_internal(usage)
            self._emit_call_completed_event(
                response=answer,
                call_type=LLMCallType.LLM_CALL,
                from_task=from_task,
                from_agent=from_agent,
                messages=messages,
                usage=usage,
            )
        return answer

    async def acall(self, *arguments: Any, **more: Any) -> str:
        """Return what `call` returns: it never waits."""
        return self.call(*arguments, **more)

    def get_input_tokens_count(self, *_: Any, **__: Any) -> int:
        """Return an arbitrary number: without this method crewai warns at each call."""
        return 10

    def supports_function_calling(self) -> bool:
        """Return False: this model calls no functions."""
        return False


def trivial() -> Crew:
    """Create a crew that has never run."""
    writer = Agent(role="Writer", goal="Write about {topic}", backstory="You write.", llm=InstantModel(model="instant"))
    task = Task(description="Repeat this: {topic}", expected_output="The line", agent=writer)
    return Crew(agents=[writer], tasks=[task])

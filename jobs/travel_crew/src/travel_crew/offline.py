"""A model that is no model: its answers are made from the wishes in the prompt, the same each time.

It lets the whole of a crew run without a network and without money: in tests, and to try a job file. Each answer
says what it is.
"""

import asyncio
import re
import time
from typing import Any

from crewai.events.types.llm_events import LLMCallType
from crewai.llms.base_llm import BaseLLM, llm_call_context
from crewai.utilities.types import LLMMessage

NOTE = "(Offline: no language model was asked.)"
WISHES = ("budget", "interests", "duration", "age")
_WISH = re.compile(r"^[ \t]*(Budget|Interests|Duration|Age): (.*)$", re.MULTILINE)
_TASK = "Current Task:"
_CONTEXT = "This is the context you're working with:"


def read_wishes(prompt: str) -> dict[str, str]:
    """The wishes of the task's own description; a KeyError is a prompt that is not this crew's."""
    task = prompt.rpartition(_TASK)[2].partition(_CONTEXT)[0]
    found: dict[str, str] = {}
    for name, value in _WISH.findall(task):
        found.setdefault(name.lower(), value.strip())
    return {name: found[name] for name in WISHES}


def research(wishes: dict[str, str]) -> str:
    """What the researcher answers."""
    return (
        f"Destination for age {wishes['age']} and {wishes['budget']}: a town known for {wishes['interests']}.\n"
        f"Sights for {wishes['duration']}: the market, the old harbour, the hill. {NOTE}"
    )


def plan(wishes: dict[str, str], researched: str) -> str:
    """What the planner answers; it quotes the first line of the research that it was given."""
    return (
        f"Plan for {wishes['duration']}, age {wishes['age']}, {wishes['interests']}, within {wishes['budget']}.\n"
        f"Based on: {researched.splitlines()[0]}\n{NOTE}"
    )


def count_prompt(wishes: dict[str, str]) -> int:
    """Tokens of a prompt: the words of its wishes, not of all that crewai writes around them.

    So a test knows the figure beforehand, and it differs from job to job.
    """
    return sum(len(value.split()) for value in wishes.values())


class OfflineModel(BaseLLM):
    """Answers the two tasks of this project."""

    delay_seconds: float = 0.0

    def call(self, messages: str | list[LLMMessage], *rest: Any, **more: Any) -> str:
        with llm_call_context():
            began = self._begin(messages, *rest, **more)
            time.sleep(self.delay_seconds)
            return self._answer(*began)

    async def acall(self, messages: str | list[LLMMessage], *rest: Any, **more: Any) -> str:
        with llm_call_context():
            began = self._begin(messages, *rest, **more)
            await asyncio.sleep(self.delay_seconds)
            return self._answer(*began)

    def get_input_tokens_count(self, messages: str | list[LLMMessage], *_rest: Any, **_more: Any) -> int:
        return len(_text(messages).split())  # crewai asks, to see that the context window is kept

    def supports_function_calling(self) -> bool:
        return False

    def _begin(
        self,
        messages: str | list[LLMMessage],
        tools: Any = None,
        callbacks: Any = None,
        available_functions: Any = None,
        from_task: Any = None,
        from_agent: Any = None,
        response_model: Any = None,
    ) -> tuple[Any, Any, Any]:
        del response_model  # no task of this project asks for one
        self._emit_call_started_event(messages, tools, callbacks, available_functions, from_task, from_agent)
        return messages, from_task, from_agent

    def _answer(self, messages: Any, from_task: Any, from_agent: Any) -> str:
        prompt = _text(messages)
        wishes = read_wishes(prompt)
        researched = prompt.partition(_CONTEXT)[2].strip()
        answer = plan(wishes, researched) if researched else research(wishes)
        prompted, answered = count_prompt(wishes), len(answer.split())
        usage = {
            "prompt_tokens": prompted,
            "completion_tokens": answered,
            "total_tokens": prompted + answered,
        }
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


def _text(messages: str | list[LLMMessage]) -> str:
    return messages if isinstance(messages, str) else "\n".join(str(message["content"]) for message in messages)

"""One target of each kind for `batchcrew serve`, with a model that computes its answers from the prompt."""

import re
from functools import cache
from typing import Any

from crewai import Agent, Crew, Task
from crewai.events.types.llm_events import LLMCallType
from crewai.flow.flow import Flow, listen, start
from crewai.flow.human_feedback import human_feedback
from crewai.llms.base_llm import BaseLLM, llm_call_context
from crewai.tools import tool
from pydantic import BaseModel


class Parrot(BaseLLM):
    """A model that repeats the text of the task, or of human feedback; if there is a tool, it calls the tool first."""

    def call(self, messages: Any, *rest: Any, from_task: Any = None, from_agent: Any = None, **more: Any) -> str:
        with llm_call_context():
            self._emit_call_started_event(messages, None, None, None, from_task, from_agent)
            answer = self._answer("\n".join(str(message["content"]) for message in messages))
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            self._emit_call_completed_event(
                response=answer,
                call_type=LLMCallType.LLM_CALL,
                from_task=from_task,
                from_agent=from_agent,
                messages=messages,
                usage=usage,
            )
            return answer

    def _answer(self, prompt: str) -> str:
        if "better please" in prompt:
            return "Thought: I know\nFinal Answer: a better word"
        if "Use shout" in prompt and "HEY" not in prompt:
            return 'Thought: I need the tool\nAction: shout\nAction Input: {"text": "hey"}\n'
        found = re.search(r"Say: (.*)", prompt)
        return f"Thought: I know\nFinal Answer: {found[1].strip() if found else 'nothing'}"

    def supports_function_calling(self) -> bool:
        return False

    def get_input_tokens_count(self, *_: Any, **__: Any) -> int:
        return 1


@tool("shout")
def shout(text: str) -> str:
    """Say it loudly."""
    return text.upper()


class Word(BaseModel):
    """Typed output."""

    word: str


def build(description: str = "Say: {topic}", tools: Any = (), **task: Any) -> Crew:
    model = Parrot(model="parrot")
    agent = Agent(role="Parrot", goal="Speak well.", backstory="None.", llm=model, tools=list(tools))
    work = Task(description=description, expected_output="A word.", agent=agent, name="say", **task)
    return Crew(agents=[agent], tasks=[work])


crew = build()


def make() -> Crew:
    return build()


@cache
def cached() -> Crew:
    return build()


def typed() -> Crew:
    return build('Say: {"word": "{topic}"}', output_pydantic=Word)


def streaming() -> Crew:
    made = build()
    made.stream = True
    return made


def asking() -> Crew:
    return build(human_input=True)


def with_tool() -> Crew:
    return build("Say: {topic}\nUse shout.", tools=[shout])


def needs(argument: str) -> Crew:
    raise AssertionError(argument)


def nothing() -> str:
    return "no crew"


class Wanted(BaseModel):
    topic: str = ""
    times: int = 2


class TypedFlow(Flow[Wanted]):
    @start()
    def say(self) -> str:
        return str(build().kickoff(inputs={"topic": self.state.topic}).raw)

    @listen(say)
    def repeat(self, said: str) -> dict[str, Any]:
        return {"said": [said] * self.state.times}


class PlainFlow(Flow):
    @start()
    def say(self) -> str:
        return f"plain {self.state.get('topic')}"


class AskingFlow(Flow):
    @start()
    @human_feedback(message="Is it good?")
    def write(self) -> str:
        return "a draft"

    @listen(write)
    def end(self, found: Any) -> str:
        return f"{found.output}, {found.feedback}, {self.ask('How many?')}"


flow = PlainFlow
made_flow = PlainFlow()

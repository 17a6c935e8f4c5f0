"""One target of each kind for `batchcrew serve`, with a model that computes its answers from the prompt."""

import contextlib
import re
from functools import cache
from typing import Any, ClassVar

from crewai import Agent, Crew, Task
from crewai.events.types.llm_events import LLMCallType
from crewai.flow.flow import Flow, listen, start
from crewai.flow.human_feedback import human_feedback
from crewai.llms.base_llm import BaseLLM, llm_call_context
from crewai.project import CrewBase, agent, before_kickoff, task
from crewai.project import crew as crew_of
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


def formal(topic: str, tone: str = "formal", times: int = 2, loud: bool = False) -> Crew:
    said = " ".join([tone] * times)
    return build(f"Say: {topic} {said.upper() if loud else said} {{more}}")


def whole(inputs: dict[str, Any]) -> Crew:
    return build(f"Say: {inputs.get('topic')}")


def runs_it() -> Any:
    return build().kickoff(inputs={"topic": "paid"})


def hides_it() -> Crew:
    made = build()
    with contextlib.suppress(BaseException):
        made.kickoff(inputs={"topic": "paid"})
    return made


def has_run(template: list[Crew] = []) -> Crew:  # noqa: B006 - what is tested
    made = build()
    made.tasks[0].interpolate_inputs_and_add_conversation_history({"topic": "old"})
    return made


@CrewBase
class Prepared:
    """Its `@before_kickoff` demands one input and supplies another."""

    agents_config: ClassVar[Any] = {}
    tasks_config: ClassVar[Any] = {}
    agents: Any
    tasks: Any

    @before_kickoff
    def prepare(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {**inputs, "year": "2026", "shouted": inputs["topic"].upper()}

    @agent
    def parrot(self) -> Agent:
        return Agent(role="Parrot", goal="Speak well.", backstory="None.", llm=Parrot(model="parrot"))

    @task
    def say(self) -> Task:
        return Task(description="Say: {shouted} {year}", expected_output="A word.", agent=self.parrot(), name="say")

    @crew_of
    def crew(self) -> Crew:
        return Crew(agents=self.agents, tasks=self.tasks)


class Plain:
    """A class without a decorator, whose method makes the crew."""

    def __init__(self, topic: str, tone: str = "calm") -> None:
        self.text = f"{topic} {tone}"

    def crew(self) -> Crew:
        return build(f"Say: {self.text}")


class RunsItself:
    """A class whose method runs the crew that it makes, as in some of CrewAI's examples."""

    def __init__(self, topic: str) -> None:
        self.topic = topic

    def run(self) -> Any:
        return build().kickoff(inputs={"topic": self.topic})


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


class Report(BaseModel):
    topic: str = ""
    notes: list[str] = []
    report: str = ""


class StateFlow(Flow[Report]):
    """Its last method returns nothing, as in CrewAI's template: the answer is in the state."""

    @start()
    def write(self) -> None:
        self.state.notes = ["a", "b"]
        self.state.report = f"all about {self.state.topic}"


class IdleFlow(Flow[Report]):
    @start()
    def idle(self) -> None:
        pass


class UntypedStateFlow(Flow):
    @start()
    def write(self) -> None:
        self.state["poem"] = f"oh {self.state['topic']}"
        self.state["count"] = 3


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

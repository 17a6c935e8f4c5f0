"""Crews and flows of every kind that call a model. All of them answer about the input `topic`."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from crewai import LLM, Agent, Crew, Process, Task
from crewai.flow.flow import Flow, listen, start
from crewai.llms.base_llm import BaseLLM, llm_call_context
from crewai.tools import tool
from crewai.utilities.converter import Converter
from pydantic import BaseModel

SHARED = LLM(model="gpt-4o")
"""One model object of all executions: its own counters mix them up."""


class Answer(BaseModel):
    """Typed output."""

    word: str
    number: int


@tool("lookup")
def lookup(text: str) -> str:
    """Look a text up."""
    return f"found {text}"


@tool("consult")
def consult(text: str) -> str:
    """Consult a model about a text."""
    return str(LLM(model="gpt-4o-mini").call(f"What is {text}?"))


def writer(role: str = "Writer", **more: Any) -> Agent:
    return Agent(role=role, goal="Write about {topic}", backstory="None", **{"llm": "gpt-4o", **more})


def about(agent: Agent | None = None, **more: Any) -> Task:
    given = {"agent": agent} if agent is not None else {}
    return Task(**{"description": "Write about {topic}", "expected_output": "A word", **given, **more})


def crew_of(agent: Agent, *tasks: dict[str, Any], **more: Any) -> Crew:
    return Crew(agents=[agent], tasks=[about(agent, **one) for one in tasks or ({},)], **more)


def several(count: int = 3, **more: Any) -> Crew:
    agents = [writer(f"Writer {number}", llm=SHARED) for number in range(count)]
    return Crew(agents=agents, tasks=[about(one, **more) for one in agents])


class Own(BaseLLM):
    """A model class of the project, which calls the model server itself."""

    tracks: bool = False
    emits: bool = False
    in_call: bool = True

    def call(self, messages: Any, *rest: Any, from_task: Any = None, from_agent: Any = None, **more: Any) -> str:
        if not self.in_call:
            return self._answer(messages, from_task, from_agent)
        with llm_call_context():
            return self._answer(messages, from_task, from_agent)

    def _answer(self, messages: Any, from_task: Any, from_agent: Any) -> str:
        from crewai.events.types.llm_events import LLMCallType
        from openai import OpenAI

        text = messages if isinstance(messages, str) else "\n".join(str(one["content"]) for one in messages)
        found = OpenAI().chat.completions.create(model="own", messages=[{"role": "user", "content": text}])
        usage = found.usage.model_dump() if found.usage else {}
        if self.tracks:
            self._track_token_usage_internal(usage)
        answer = f"Final Answer: {found.choices[0].message.content}"
        if self.emits:
            self._emit_call_started_event(messages, None, None, None, from_task, from_agent)
            self._emit_call_completed_event(
                response=answer, call_type=LLMCallType.LLM_CALL, from_task=from_task, from_agent=from_agent,
                messages=messages, usage=usage,
            )  # fmt: skip
        return answer

    def supports_function_calling(self) -> bool:
        return False

    def get_input_tokens_count(self, *_: Any, **__: Any) -> int:
        return 1


class DirectCall(Flow):
    @start()
    def ask(self) -> str:
        return str(LLM(model="gpt-4o").call(f"About {self.state['topic']}"))


class ToolCall(Flow):
    @start()
    def ask(self) -> str:
        schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
        function = {"name": "lookup", "description": "Look up", "parameters": schema}
        return str(
            LLM(model="gpt-4o").call(
                f"About {self.state['topic']}",
                tools=[{"type": "function", "function": function}],
                available_functions={"lookup": lambda text: f"found {text}"},
            )
        )


class TypedCall(Flow):
    @start()
    def ask(self) -> str:
        return str(LLM(model="gpt-4o").call(f"About {self.state['topic']}", response_model=Answer))


class Instructor(Flow):
    @start()
    def ask(self) -> str:
        text = f"About {self.state['topic']}"
        return str(Converter(llm=LLM(model="gpt-4o"), text=text, model=Answer, instructions="Fill it in").to_json())


class LoneAgent(Flow):
    @start()
    def ask(self) -> str:
        return str(writer().kickoff(f"About {self.state['topic']}").raw)

    @listen(ask)
    async def ask_again(self, said: str) -> str:
        return str((await writer(tools=[lookup]).kickoff_async(f"More about {self.state['topic']}")).raw)


class TwoCrews(Flow):
    @start()
    def first(self) -> Any:
        return crew_of(writer()).kickoff(inputs={"topic": self.state["topic"]}).raw

    @listen(first)
    async def second(self, said: str) -> Any:
        return (await crew_of(writer()).akickoff(inputs={"topic": self.state["topic"]})).raw


class ForEach(Flow):
    @start()
    def first(self) -> Any:
        topics = [{"topic": f"{self.state['topic']} {number}"} for number in range(3)]
        return "\n".join(one.raw for one in crew_of(writer()).kickoff_for_each(inputs=topics))

    @listen(first)
    async def second(self, said: str) -> Any:
        crews = [crew_of(writer()) for _ in range(3)]
        done = await asyncio.gather(*(one.kickoff_async(inputs={"topic": self.state["topic"]}) for one in crews))
        return "\n".join(one.raw for one in done)


class OwnThreads(Flow):
    @start()
    def ask(self) -> str:
        model, topic, said = LLM(model="gpt-4o"), self.state["topic"], []
        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(lambda number: str(model.call(f"About {topic} {number}")), range(3)))
        thread = threading.Thread(target=lambda: said.append(str(model.call(f"Last about {topic}"))))
        thread.start()
        thread.join()
        return "\n".join(said)

    @listen(ask)
    async def ask_in_executor(self, said: str) -> str:
        crew, inputs = crew_of(writer()), {"topic": self.state["topic"]}
        await asyncio.get_running_loop().run_in_executor(None, lambda: crew.kickoff(inputs=inputs))
        return said


def hierarchical(**manager: Any) -> Crew:
    return Crew(agents=[writer(), writer("Editor")], tasks=[about()], process=Process.hierarchical, **manager)


def _manager() -> Agent:
    return Agent(role="Manager", goal="Manage", backstory="None", llm="gpt-4o", allow_delegation=True)


KINDS: dict[str, Any] = {
    "plain": lambda: crew_of(writer()),
    "shared model": several,
    "tool": lambda: crew_of(writer(tools=[lookup])),
    "tool that calls a model": lambda: crew_of(writer(tools=[consult])),
    "function calling model": lambda: crew_of(writer(tools=[lookup], function_calling_llm="gpt-4o-mini")),
    "reasoning": lambda: crew_of(writer(reasoning=True, max_reasoning_attempts=2)),
    "planning agent": lambda: crew_of(writer(planning=True, tools=[lookup])),
    "planning": lambda: crew_of(writer(), planning=True, planning_llm="gpt-4o-mini"),
    "manager model": lambda: hierarchical(manager_llm="gpt-4o"),
    "manager agent": lambda: hierarchical(manager_agent=_manager()),
    "delegation": lambda: Crew(agents=[one := writer(allow_delegation=True), writer("Editor")], tasks=[about(one)]),
    "async tasks": lambda: crew_of(writer(llm=SHARED), {"async_execution": True}, {}),
    "guardrail": lambda: crew_of(writer(), {"guardrail": "It is about {topic}", "guardrail_max_retries": 1}),
    "pydantic output": lambda: crew_of(writer(), {"output_pydantic": Answer}),
    "json output": lambda: crew_of(writer(), {"output_json": Answer}),
    "instructor": Instructor,
    "streaming model": lambda: crew_of(writer(llm=LLM(model="gpt-4o", stream=True))),
    "streaming tool": lambda: crew_of(writer(llm=LLM(model="gpt-4o", stream=True), tools=[lookup])),
    "streaming crew": lambda: crew_of(writer(), stream=True),
    "memory": lambda: crew_of(writer(), memory=True),
    "own, tracks": lambda: crew_of(writer(llm=Own(model="own", tracks=True))),
    "own, emits": lambda: crew_of(writer(llm=Own(model="own", emits=True))),
    "own, both": lambda: crew_of(writer(llm=Own(model="own", tracks=True, emits=True))),
    "own, both outside a call": lambda: crew_of(writer(llm=Own(model="own", tracks=True, emits=True, in_call=False))),
    "direct call": DirectCall,
    "available functions": ToolCall,
    "typed call": TypedCall,
    "lone agent": LoneAgent,
    "two crews": TwoCrews,
    "for each": ForEach,
    "own threads": OwnThreads,
}


def build(kind: str, topic: str = "") -> Any:
    """Make the crew or flow of this kind; any of them for the trial value."""
    return KINDS.get(kind, KINDS["plain"])()

"""Crews and a flow for any crewai from 0.100 on, and any Python from 3.10 on. It knows nothing of batchcrew."""

import importlib.metadata
import re
import sys
from typing import Any

import crewai
from crewai import LLM, Agent, Crew, Task
from crewai.flow.flow import Flow, listen, start
from crewai.tools import tool

WHO = f"{sys.version_info[0]}.{sys.version_info[1]} {importlib.metadata.version('crewai')}"
Base: Any = getattr(crewai, "BaseLLM", LLM)


class Parrot(Base):
    """A model that repeats the text of its task, or of human feedback; if there is a tool, it calls the tool first."""

    def call(self, messages: Any, *rest: Any, **more: Any) -> str:
        prompt = messages if isinstance(messages, str) else "\n".join(str(message["content"]) for message in messages)
        if "break" in prompt:
            raise RuntimeError("the model is broken")
        if "better please" in prompt:
            return "Thought: I know\nFinal Answer: a better word"
        if "Use shout" in prompt and "HEY" not in prompt:
            return 'Thought: I need the tool\nAction: shout\nAction Input: {"text": "hey"}\n'
        found = re.findall(r"Say: (.*)", prompt)
        return f"Thought: I know\nFinal Answer: {found[0].strip()}"

    def supports_function_calling(self) -> bool:
        return False

    def supports_stop_words(self) -> bool:
        return True

    def get_context_window_size(self) -> int:
        return 8000


@tool("shout")
def shout(text: str) -> str:
    """Say it loudly."""
    return text.upper()


def task(agent: Agent, name: str, description: str, **more: Any) -> Task:
    return Task(description=description, expected_output="A word.", agent=agent, name=name, **more)


def parrot(tools: Any = ()) -> Agent:
    return Agent(role="Parrot", goal="Speak well.", backstory="None.", llm=Parrot(model="parrot"), tools=list(tools))


def make(kind: str) -> Crew:
    agent = parrot([shout] if kind == "tool" else ())
    if kind == "human":
        tasks = [task(agent, "say", "Say: {topic}", human_input=True)]
    elif kind == "tool":
        tasks = [task(agent, "say", "Say: {topic}\nUse shout.")]
    elif kind == "threads":
        first = task(agent, "first", "Say: {topic} first", async_execution=True)
        agent = parrot()
        tasks = [first, task(agent, "second", "Say: {topic} second", context=[first])]
    elif kind == "model":
        agent = Agent(role="Guide", goal="Help.", backstory="None.", llm="openai/gpt-4o")
        tasks = [task(agent, "plan", "Plan {topic}")]
    elif kind == "file":
        tasks = [task(agent, "say", "Say: {topic}", output_file="said.txt")]
    else:
        tasks = [task(agent, "say", f"Say: {{topic}} from {WHO}")]
    more: Any = {"memory": True} if kind == "memory" else {}
    if kind == "memory object":
        from crewai.memory.long_term.long_term_memory import LongTermMemory

        more = {"long_term_memory": LongTermMemory()}
    return Crew(**more, agents=list({id(one.agent): one.agent for one in tasks}.values()), tasks=tasks)


class Talk(Flow):
    @start()
    def say(self) -> str:
        return str(make("plain").kickoff(inputs={"topic": self.state["topic"]}).raw)

    @listen(say)
    def end(self, said: str) -> str:
        return f"{said}!"

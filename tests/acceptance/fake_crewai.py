# mypy: ignore-errors
# It stands for a library, and is copied into environments.
"""A package `crewai` for tests of the worker: only the standard library, with what 0.100 has and the worker uses."""

import uuid
from types import SimpleNamespace

__version__ = "0.100.0"


class LLM:
    def __init__(self, model):
        self.model = model

    def call(self, prompt):
        return "said: " + prompt


class Agent:
    def __init__(self, role, llm):
        self.role, self.llm = role, llm

    def execute_task(self, task, context=None, tools=None):
        return self.llm.call(task.description)


class Task:
    callback = None
    execution_duration = 0.5

    def __init__(self, description, agent, name=None):
        self.id, self.name, self.agent = uuid.uuid4(), name, agent
        self.description, self.expected_output = description, "text"
        self._original_description = None

    def execute_sync(self, agent=None, context=None, tools=None):
        return self._execute_core(agent, context, tools)

    def _execute_core(self, agent, context, tools):
        raw = self.agent.execute_task(self, context, tools)
        return SimpleNamespace(raw=raw, agent=self.agent.role, pydantic=None, json_dict=None, summary="")


class Crew:
    def __init__(self, agents, tasks):
        self.agents, self.tasks = agents, tasks

    def fetch_inputs(self):
        return {"topic"}

    def kickoff(self, inputs=None):
        for task in self.tasks:
            task._original_description, task.description = task.description, task.description.format(**inputs)
        outputs = [task.execute_sync() for task in self.tasks]
        usage = {"total_tokens": 7, "prompt_tokens": 4, "completion_tokens": 3}
        return SimpleNamespace(
            raw=outputs[-1].raw, tasks_output=outputs, pydantic=None, json_dict=None, token_usage=usage
        )


class Flow:
    def kickoff(self, inputs=None):
        raise NotImplementedError

    async def _execute_method(self, method_name, method, *arguments):
        return method(*arguments)

"""The details of a served crew before it runs: its models, agents, tasks, inputs, and what may go wrong.

A worker collects it (`batchcrew/server/worker/describing.py`), and `batchcrew check` shows it. It contains no keys.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

from batchcrew.base.text import clean_text

MAX_ITEMS = 50
"""Most models, agents, tasks, inputs and warnings that are kept."""
MAX_TEXT = 200
"""Most characters of a name."""
MAX_WARNING = 500
"""Most characters of a warning."""
DECLARED = "serve.inputs"
"""The source of an input that the operator declares."""
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDetails:
    """A language model that agents call."""

    name: str
    provider: str = ""
    host: str = ""
    """Where it is called, as `host` or `host:port`; empty: not known."""
    used_by: tuple[str, ...] = ()
    """Roles of agents, or what else calls it: `manager`, `planning`."""
    key: str = ""
    """The environment variable that its key is read from; empty: not known, or it needs none."""
    key_is_set: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDetails:
    """An agent."""

    role: str
    model: str = ""
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDetails:
    """A task of a crew, or a method of a flow that waits for human input."""

    name: str
    agent: str = ""
    tools: tuple[str, ...] = ()
    """Those that it adds to its agent's."""
    human_input: bool = False
    output_file: str = ""
    """As the task names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputDetails:
    """Where an input is used, or comes from."""

    name: str
    sources: tuple[str, ...] = ()
    """`task plan`, `agent Guide`, `parameter`, `@before_kickoff`, `state`, `default`, `serve.inputs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewDetails:
    """A served crew or flow."""

    what: str = ""
    """`crew` or `flow`."""
    folder: str = ""
    """The root of the project."""
    interpreter: str = ""
    python: str = ""
    crewai: str = ""
    """Version; empty: not known."""
    memory_bytes: int = 0
    """Memory of a worker after loading; 0: not known."""
    models: tuple[ModelDetails, ...] = ()
    agents: tuple[AgentDetails, ...] = ()
    tasks: tuple[TaskDetails, ...] = ()
    inputs: tuple[InputDetails, ...] = ()
    open_inputs: bool = False
    """Its inputs cannot be listed: a flow whose state has no type, or a function that takes any."""
    memory: tuple[str, ...] = ()
    """Who has a memory: `crew`, `flow`, or roles of agents."""
    verbose: bool = False
    """Prompts and answers are printed."""
    warnings: tuple[str, ...] = ()


def sanitized(part: Part) -> Part:
    """Return the same details with clean, short texts and short lists: a project wrote them."""
    described: Any = part
    values = {one.name: _clean(getattr(part, one.name), one.name) for one in fields(described)}
    return replace(described, **values)  # type: ignore[no-any-return]  # of the type of `part`


def _clean(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return clean_text(value, limit=MAX_WARNING if name == "warnings" else MAX_TEXT)
    if isinstance(value, tuple):
        return tuple(_clean(item, name) for item in value[:MAX_ITEMS])
    return sanitized(value) if is_dataclass(value) and not isinstance(value, type) else value

"""Describes a loaded crew or flow for `batchcrew check`, without calling a model.

It reads attributes of the library's objects, which differ between versions, so a missing one counts as empty.
"""

import importlib.metadata
import importlib.util
import os
import platform
import re
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from batchcrew.base.crew_details import AgentDetails, CrewDetails, InputDetails, TaskDetails, sanitized
from batchcrew.base.serving import NEWEST_CREWAI, OLDEST_CREWAI, minor_version
from batchcrew.server.report import Input
from batchcrew.server.worker import crewai_versions as library
from batchcrew.server.worker.inputs import NAME, supplied_inputs
from batchcrew.server.worker.models import describe_model, models_of
from batchcrew.server.worker.running import describe_error
from batchcrew.server.worker.source_code import input_calls, project_files

MAX_CREWS = 20
"""Most crews of a project that are looked at for a flow."""
Guard = Callable[[], Any]
"""Returns a context in which nothing can be started."""


def describe(
    made: Any, *, what: str, folder: str, parameters: Iterable[Input], defaults: Mapping[str, Any], guard: Guard
) -> CrewDetails:
    """Return what is known about a crew or flow that has been made.

    Args:
        what: `crew` or `flow`.
        folder: the root of its project.
        parameters: the inputs that the function which makes it uses itself.
        defaults: values of inputs from the file that describes it.
        guard: see Guard; for the crews that a flow would make.
    """
    size = _resident_bytes()
    crews = [made] if what == "crew" else list(_crews_of_project(folder, guard))
    agents = _unique(agent for crew in crews for agent in _list(crew, "agents"))
    loose = [] if what == "crew" else list(_loose_models(folder))
    models = {(one.name, one.host, one.provider): one for one in (*(m for c in crews for m in models_of(c)), *loose)}
    version = _version("crewai")
    details = CrewDetails(
        what=what,
        folder=folder,
        interpreter=sys.executable,
        python=platform.python_version(),
        crewai=version,
        memory_bytes=size,
        models=tuple(models.values()),
        agents=tuple(map(_agent, agents)),
        tasks=(*(_task(task) for crew in crews for task in _list(crew, "tasks")), *_waiting_methods(made)),
        inputs=tuple(_inputs(made, what, parameters, defaults)),
        open_inputs=what == "flow" and not hasattr(getattr(made, "state", None), "model_dump"),
        memory=tuple(_memories(made, what, crews, agents)),
        verbose=any(getattr(one, "verbose", False) is True for one in (*crews, *agents)),
        warnings=tuple(_warnings(version, folder, crews, agents)),
    )
    return sanitized(details)


def _agent(agent: Any) -> AgentDetails:
    model = getattr(agent, "llm", None)
    return AgentDetails(
        role=_text(agent, "role"),
        model="" if model is None else describe_model(model).name,
        tools=tuple(map(_tool_name, _tools(agent))),
    )


def _task(task: Any) -> TaskDetails:
    return TaskDetails(
        name=_text(task, "name") or _text(task, "description")[:40],
        agent=_text(getattr(task, "agent", None), "role"),
        tools=tuple(map(_tool_name, _tools(task))),
        human_input=getattr(task, "human_input", False) is True,
        output_file=_text(task, "output_file"),
    )


def _waiting_methods(flow: Any) -> Iterator[TaskDetails]:
    """Yield the methods of a flow that wait for feedback."""
    for name in dir(type(flow)):
        method = getattr(type(flow), name, None)
        if getattr(method, "__human_feedback_config__", None) is not None:
            yield TaskDetails(name=name, human_input=True)


def _inputs(made: Any, what: str, parameters: Iterable[Input], defaults: Mapping[str, Any]) -> Iterator[InputDetails]:
    sources: dict[str, list[str]] = {}
    uses = _uses_of_flow(made) if what == "flow" else _uses_of_crew(made)
    for name, source in (
        *((one.name, "parameter") for one in parameters),
        *uses,
        *((name, "default") for name in defaults),
    ):
        known = sources.setdefault(name, [])
        if source not in known:
            known.append(source)
    for name, found in sources.items():
        yield InputDetails(name=name, sources=tuple(found))


def _uses_of_flow(flow: Any) -> Iterator[tuple[str, str]]:
    fields = getattr(type(getattr(flow, "state", None)), "model_fields", None) or ()
    yield from ((name, "state") for name in fields if name != "id")


def _uses_of_crew(crew: Any) -> Iterator[tuple[str, str]]:
    for number, task in enumerate(_list(crew, "tasks"), 1):
        for name in _names(task, "description", "expected_output", "output_file"):
            yield name, f"task {_text(task, 'name') or number}"
    for agent in _list(crew, "agents"):
        for name in _names(agent, "role", "goal", "backstory"):
            yield name, f"agent {_text(agent, 'role')}"
    yield from ((name, "@before_kickoff") for name in supplied_inputs(crew))


def _names(one: Any, *attributes: str) -> Iterator[str]:
    for attribute in attributes:
        yield from NAME.findall(_text(one, attribute))


def _memories(made: Any, what: str, crews: list[Any], agents: list[Any]) -> Iterator[str]:
    if what == "flow" and getattr(made, "memory", None):
        yield "flow"
    if any(getattr(crew, "memory", None) for crew in crews):
        yield "crew"
    yield from (f"agent {_text(agent, 'role')}" for agent in agents if getattr(agent, "memory", None))


def _warnings(version: str, folder: str, crews: list[Any], agents: list[Any]) -> Iterator[str]:
    yield from _version_warning(version)
    for place in input_calls(folder):
        yield f"{place} calls input(), which fails in a worker; take the value from the job's inputs"
    models = {(one.name, one.key): one for crew in crews for one in models_of(crew)}
    for one in models.values():
        if one.key and not one.key_is_set:
            yield f"model {one.name} needs a key, and {one.key} is not set, neither in the environment nor in .env"
    tools = [*(tool for agent in agents for tool in _tools(agent))]
    tools += [tool for crew in crews for task in _list(crew, "tasks") for tool in _tools(task)]
    for tool in _unique(tools):
        yield from _tool_warnings(tool)


def _version_warning(version: str) -> Iterator[str]:
    number = minor_version(version) or OLDEST_CREWAI
    oldest, newest = (".".join(map(str, one)) for one in (OLDEST_CREWAI, NEWEST_CREWAI))
    if number > NEWEST_CREWAI:
        yield f"crewai {version} is newer than the versions that batchcrew was tried with ({oldest} to {newest})"
    elif number < OLDEST_CREWAI:
        yield f"crewai {version} is older than the versions that batchcrew was tried with ({oldest} to {newest})"


def _tool_warnings(tool: Any) -> Iterator[str]:
    for package in _list(tool, "package_dependencies"):
        name = re.match(r"[A-Za-z0-9._-]+", str(package))
        if name and not _is_installed(name[0]):
            yield f"tool {_tool_name(tool)} needs the package {name[0]}, which is not installed in {sys.executable}"
    for variable in _list(tool, "env_vars"):
        key = _text(variable, "name")
        if key and getattr(variable, "required", False) is True and not os.environ.get(key):
            yield f"tool {_tool_name(tool)} needs {key}, which is not set, neither in the environment nor in .env"


def _is_installed(package: str) -> bool:
    if _version(package):
        return True
    try:
        return importlib.util.find_spec(package.replace("-", "_")) is not None
    except (ImportError, ValueError):
        return False


def _crews_of_project(folder: str, guard: Guard) -> Iterator[Any]:
    """Yield the crews that the project's imported modules define: a flow makes its crews only when it runs."""
    count = 0
    for value in _values_of_project(folder):
        is_class = isinstance(value, type) and getattr(value, "is_crew_class", False)
        if count == MAX_CREWS or not (is_class or isinstance(value, library.found("crewai:Crew"))):
            continue
        count += 1
        try:
            with guard():
                yield value().crew() if is_class else value
        except Exception as error:  # noqa: BLE001 - the project's own code; the flow may make it in another way
            sys.stderr.write(f"{getattr(value, '__name__', '')} cannot be described: {describe_error(error)}\n")


def _loose_models(folder: str) -> Iterator[Any]:
    """Yield the models that the project's modules define at their top level."""
    named = (library.found("crewai:BaseLLM"), library.found("crewai:LLM"))
    kinds = tuple(kind for kind in named if isinstance(kind, type))
    for value in _values_of_project(folder):
        if kinds and isinstance(value, kinds):
            yield describe_model(value)


def _values_of_project(folder: str) -> Iterator[Any]:
    """Yield the top-level values of the project's imported modules, each once."""
    files = {str(file) for file in project_files(folder)}
    seen: set[int] = set()
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) in files:
            for value in list(vars(module).values()):
                if id(value) not in seen:
                    seen.add(id(value))
                    yield value


def _unique(values: Iterable[Any]) -> list[Any]:
    return list({id(value): value for value in values}.values())


def _list(one: Any, name: str) -> list[Any]:
    value = getattr(one, name, None)
    return list(value) if isinstance(value, list | tuple) else []


def _text(one: Any, name: str) -> str:
    value = getattr(one, name, None)
    return value.strip() if isinstance(value, str) else ""


def _tools(one: Any) -> list[Any]:
    return _list(one, "tools")


def _tool_name(tool: Any) -> str:
    return _text(tool, "name") or type(tool).__name__


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _resident_bytes() -> int:
    """Return the memory of this process; where the system does not say, the most that it had."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

"""CrewAI in a worker: finds the target's crew or flow, and makes one that has never run for each execution.

Only this module, `listeners.py` and `crewai_patches.py` import crewai, and only worker processes import them.
"""

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from batchcrew.server.report import Input
from batchcrew.server.targets import Target
from batchcrew.server.worker.running import Result, Running, TargetError
from batchcrew.server.workers.messages import Ready, plain_json

MISSING = "crewai is not installed in batchcrew's environment; pip install 'batchcrew[crewai]'"
_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_\-]*)\}")
"""A placeholder that the library replaces by an input."""
_TYPES = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean", "array": "array"}


def load(target: Target, storage: Path | None = None) -> "Loaded":
    """Import the target.

    Args:
        storage: the folder for the library's files, if no other process uses it.

    Raises:
        TargetError: it is not a crew that can be served.
    """
    if importlib.util.find_spec("crewai") is None:
        raise TargetError(MISSING)
    from batchcrew.server.worker.crewai_patches import lock_within, omit_log

    omit_log()
    if storage is not None:
        lock_within(storage)
    module = _import(target)
    found = _attribute(module, target) if target.attribute else _only_one(module, target)
    return Loaded(target.name, _maker(found, target))


def _import(target: Target) -> ModuleType:
    if target.file:
        name = target.modules[0]
        spec = importlib.util.spec_from_file_location(name, target.file)
        if spec is None or spec.loader is None:
            raise TargetError(f"{target.file} cannot be imported as Python")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module
    if not target.modules:
        raise TargetError(f"{target.name}: the project has neither crew.py nor main.py in its package")
    for number, name in enumerate(target.modules):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                raise TargetError(
                    f"{target.name}: there is no module {error.name} in {' or '.join(target.paths)}"
                ) from None
            raise TargetError(f"{name} needs the module {error.name}, which is not installed here") from error
        last = number == len(target.modules) - 1
        if last or target.attribute or _candidates(module, target):
            return module
    raise AssertionError("the last module is always returned")


def _attribute(module: ModuleType, target: Target) -> Any:
    found: Any = module
    for part in target.attribute.split("."):
        if not hasattr(found, part):
            known = ", ".join(sorted(_candidates(module, target))) or "no crew or flow"
            raise TargetError(f"{target.name}: {module.__name__} has no {part}; it has {known}")
        found = getattr(found, part)
    return found


def _only_one(module: ModuleType, target: Target) -> Any:
    found = _candidates(module, target)
    if len(found) != 1:
        many = f"has {len(found)}: {', '.join(sorted(found))}" if found else "has none"
        wanted = "a flow class" if target.kind == "flow" else "a crew or flow"
        file = target.file or module.__file__
        raise TargetError(f"{target.name}: {module.__name__} {many}; name {wanted} of it, as in {file}:TravelCrew")
    return next(iter(found.values()))


def _candidates(module: ModuleType, target: Target) -> dict[str, Any]:
    """Return the crews and flows that the module itself defines, by name."""
    from crewai import Crew, Flow

    def fits(value: Any) -> bool:
        if isinstance(value, Crew):
            return target.kind != "flow"
        if not inspect.isclass(value) or value.__module__ != module.__name__:
            return False
        if issubclass(value, Flow):
            return target.kind != "crew" or target.attribute != ""
        return bool(getattr(value, "is_crew_class", False)) and target.kind != "flow"

    return {name: value for name, value in vars(module).items() if not name.startswith("_") and fits(value)}


def _maker(found: Any, target: Target) -> Callable[[], Any]:
    """Return a function that makes a crew or flow that has never run."""
    from crewai import Crew, Flow

    if isinstance(found, Crew):
        copy: Callable[[], Any] = found.copy
        return copy  # a crew keeps the inputs of its run; the original never runs
    if isinstance(found, Flow):
        raise TargetError(f"{target.name} is an instance of a flow; name its class {type(found).__name__}")
    if not callable(found):
        raise TargetError(
            f"{target.name} is {type(found).__name__}, not a crew, a flow class, or a function that makes one"
        )
    if inspect.isclass(found):
        return lambda: _made(found, target)
    first, second = _made(found, target), _made(found, target)
    if first is not second:
        return lambda: _made(found, target)
    if isinstance(first, Crew):
        again: Callable[[], Any] = first.copy  # a function that returns the same crew each time
        return again
    raise TargetError(f"{target.name} returns the same flow each time; name its class {type(first).__name__}")


def _made(make: Callable[[], Any], target: Target) -> Any:
    from crewai import Crew, Flow

    try:
        inspect.signature(make).bind()
    except TypeError:
        raise TargetError(f"{target.name} needs arguments; name a function without any") from None
    except ValueError:  # a callable without a signature: calling it shows whether it needs arguments
        pass
    made = make()
    if not isinstance(made, Crew | Flow) and callable(getattr(made, "crew", None)):
        made = made.crew()
    if not isinstance(made, Crew | Flow):
        raise TargetError(f"{target.name} makes {type(made).__name__}, which is not a crew or a flow")
    return made


@dataclass(frozen=True, slots=True)
class Loaded:
    """Implements `Served`."""

    name: str
    make: Callable[[], Any]

    def description(self) -> Ready:
        """Return what is served, and which events there are."""
        from crewai import Flow

        from batchcrew.server.worker.listeners import event_types, suppress_panels

        suppress_panels()
        made = self.make()
        flow = isinstance(made, Flow)
        return Ready(
            name=self.name,
            what="flow" if flow else "crew",
            inputs=tuple(_flow_inputs(made) if flow else _crew_inputs(made)),
            total=len(getattr(made, "_methods", ())) if flow else len(made.tasks),
            events=tuple(sorted(event_types())),
        )

    def run(self, running: Running) -> Result:
        """Run a crew that has never run, and send its events."""
        from batchcrew.server.worker.listeners import listening

        made = self.make()
        if getattr(made, "stream", False):
            made.stream = False  # a stream runs only while it is read, and here it is not
        with listening(running, made):
            found = made.kickoff(inputs=dict(running.inputs))
        return _result(found)


def _crew_inputs(crew: Any) -> list[Input]:
    """Return the crew's inputs. The library takes JSON for a name: in `{"a": "{topic}"}`, only `topic` is an input."""
    found = (_NAME.search(f"{{{text}}}") for text in crew.fetch_inputs())
    names = sorted({match[1] for match in found if match})
    return [Input(name=name) for name in names]


def _flow_inputs(flow: Any) -> list[Input]:
    """Return the fields of the flow's typed state; nothing if the state has no type."""
    schema = getattr(type(flow.state), "model_json_schema", None)
    if schema is None:
        return []
    described = schema()
    required = set(described.get("required", ()))
    return [
        Input(name=name, type=_TYPES.get(str(what.get("type")), "object"), required=name in required)
        for name, what in described.get("properties", {}).items()
        if name != "id"
    ]


def _result(found: Any) -> Result:
    """Return the result for a crew's output, or for any value that a flow's last method returned."""
    from crewai.crews.crew_output import CrewOutput
    from pydantic import BaseModel

    if isinstance(found, CrewOutput):
        typed = found.pydantic.model_dump(mode="json") if found.pydantic is not None else found.json_dict
        return Result(output=found.raw, result_json=typed)
    if isinstance(found, BaseModel):
        return Result(output=found.model_dump_json(), result_json=found.model_dump(mode="json"))
    if isinstance(found, dict | list):
        return Result(output=plain_json(found), result_json=found)
    return Result(output="" if found is None else str(found))

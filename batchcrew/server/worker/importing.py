"""Import a target's module, and find the crew, the flow or the function that makes one."""

import importlib
import importlib.util
import inspect
import sys
from types import ModuleType
from typing import Any

from batchcrew.server.target import Target
from batchcrew.server.worker.running import TargetError
from batchcrew.server.worker.starts_nothing import starts_nothing

CURE = 'put it under `if __name__ == "__main__":`'


def find(target: Target) -> Any:
    """Import the target's module and return what the target names in it.

    Raises:
        TargetError: it is not there, or the module starts a crew while it is imported.
    """
    with starts_nothing(target.name, cure=CURE, whole_process=True):
        module = _import(target)
    return _attribute(module, target) if target.attribute else _only_one(module, target)


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

"""Crews and flows that a file describes without Python: `crew.jsonc`, `flow.yaml`. Only `loader.py` imports this."""

from collections.abc import Callable, Mapping
from typing import Any

from batchcrew.server.target import Target
from batchcrew.server.worker.running import TargetError, describe_error


def declared(target: Target) -> tuple[Callable[[], Any], Mapping[str, Any]]:
    """Return a function that makes the crew or flow, and the values that its file has for inputs.

    Raises:
        TargetError: the installed version of the library cannot read the file.
    """
    make = _flow(target) if target.kind == "flow" else _crew(target)
    try:
        made, defaults = make()
    except Exception as error:
        raise TargetError(f"{target.definition} cannot be loaded: {describe_error(error)}") from error
    del made
    return lambda: make()[0], defaults


def _crew(target: Target) -> Callable[[], tuple[Any, Mapping[str, Any]]]:
    try:
        from crewai.project.crew_loader import load_crew
    except ImportError:
        raise TargetError(_too_old(target)) from None

    def make() -> tuple[Any, Mapping[str, Any]]:
        crew, defaults = load_crew(target.definition)
        return crew, dict(defaults or {})

    return make


def _flow(target: Target) -> Callable[[], tuple[Any, Mapping[str, Any]]]:
    from crewai import Flow

    if not hasattr(Flow, "from_declaration"):
        raise TargetError(_too_old(target))

    def make() -> tuple[Any, Mapping[str, Any]]:
        flow: Any = Flow.from_declaration(path=target.definition)
        state = flow.state  # of the flow's own schema, or a mapping with the values of its file
        fields = {} if hasattr(state, "model_dump") else dict(state)
        return flow, {name: value for name, value in fields.items() if name != "id"}

    return make


def _too_old(target: Target) -> str:
    return f"{target.definition} cannot be loaded: this version of crewai reads no {target.kind}s from files"

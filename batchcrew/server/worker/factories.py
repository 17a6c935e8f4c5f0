"""Functions that make a crew: their parameters are inputs, filled by name from the row."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from batchcrew.server.report import Input
from batchcrew.server.worker.running import TargetError

WHOLE = "inputs"
"""A parameter of this name, if it is the only one without a default, gets all inputs as a dict."""
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NAMES: dict[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}
_TRIAL: dict[Any, Any] = {str: "trial", int: 1, float: 1.0, bool: True, list: [], dict: {}}


class Factory:
    """Calls a function with the inputs that its parameters name.

    Raises:
        TargetError: a parameter cannot be given by name.
    """

    def __init__(self, make: Callable[..., Any], name: str) -> None:
        self._make = make
        self._parameters: dict[str, inspect.Parameter] = {}
        self._rest = self._whole = False
        parameters = [] if made_by_library(make) else _parameters(make)
        hints = _hints(make.__init__ if inspect.isclass(make) else make)
        for parameter in parameters:
            if parameter.kind is parameter.VAR_KEYWORD:
                self._rest = True
            elif parameter.kind is parameter.POSITIONAL_ONLY and parameter.default is parameter.empty:
                raise TargetError(f"{name}: the parameter {parameter.name} cannot be given by name; remove the `/`")
            elif parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
                kind = hints.get(parameter.name, parameter.annotation)
                self._parameters[parameter.name] = parameter.replace(annotation=_plain(kind))
        required = [one for one in self._parameters.values() if one.default is one.empty]
        if len(required) == 1 and required[0].name == WHOLE and required[0].annotation in {dict, Any}:
            self._whole = True
            del self._parameters[WHOLE]

    @property
    def inputs(self) -> list[Input]:
        """Return the parameters as inputs; those without a default are required."""
        return [
            Input(name=one.name, type=_NAMES.get(one.annotation, "string"), required=one.default is one.empty)
            for one in self._parameters.values()
        ]

    def make(self, inputs: Mapping[str, Any]) -> Any:
        """Call the function.

        Raises:
            ValueError: an input has not the type of its parameter.
        """
        given = {name: _value(name, inputs[name], one) for name, one in self._parameters.items() if name in inputs}
        if self._rest:
            given = {**inputs, **given}
        if self._whole:
            given[WHOLE] = dict(inputs)
        return self._make(**given)

    def trial(self, declared: Mapping[str, Any]) -> dict[str, Any]:
        """Return a value for each required parameter, to find out what the crew needs: the declared one, if any."""
        given = {name: value for name, value in declared.items() if value is not None and name in self._parameters}
        return {**{one.name: _trial(one) for one in self._parameters.values() if one.default is one.empty}, **given}


def made_by_library(make: Any) -> bool:
    """Return whether it is a class that the library makes without arguments: a `@CrewBase` class or a flow."""
    return inspect.isclass(make) and (
        getattr(make, "is_crew_class", False) or any(one.__module__.startswith("crewai.") for one in make.__mro__)
    )


def _parameters(make: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(make).parameters.values())
    except (TypeError, ValueError):  # a callable without a signature: calling it shows whether it needs arguments
        return []


def _hints(make: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(make)
    except Exception:  # noqa: BLE001 - annotations may name anything, also what does not exist at run time
        return {}


def _plain(annotation: Any) -> Any:
    """Return the type of an annotation that values are converted to: `int | None` is int; Any if there is none."""
    if annotation is inspect.Parameter.empty:
        return Any
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        kinds = {_plain(one) for one in typing.get_args(annotation) if one is not type(None)}
        return kinds.pop() if len(kinds) == 1 else Any
    found = typing.get_origin(annotation) or annotation
    if found in {Mapping, typing.Mapping}:
        return dict
    return found if found in _NAMES else Any


def _trial(parameter: inspect.Parameter) -> Any:
    return _TRIAL.get(parameter.annotation, "trial")


def _value(name: str, value: Any, parameter: inspect.Parameter) -> Any:
    """Return the input as the type that its parameter is annotated with: rows of a spreadsheet are all text."""
    kind = parameter.annotation
    if kind is str and not isinstance(value, str):
        return str(value)
    if not isinstance(value, str) or kind not in {int, float, bool}:
        return value
    text = value.strip()
    if not text and parameter.default is not parameter.empty:
        return parameter.default
    try:
        return _WORDS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        expected = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise ValueError(f"the input {name} must be {expected}, not {value[:100]!r}") from None

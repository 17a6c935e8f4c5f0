"""The inputs of a crew or flow: those in its texts, without those that its `@before_kickoff` methods supply."""

import re
from collections.abc import Mapping
from typing import Any

from batchcrew.server.report import Input

NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_\-]*)\}")
"""A placeholder that the library replaces by an input."""
_TYPES = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean", "array": "array"}
_TRIALS = 20
"""Most inputs that `@before_kickoff` may demand one after another."""


def crew_inputs(crew: Any) -> list[Input]:
    """Return the crew's inputs. The library takes JSON for a name: in `{"a": "{topic}"}`, only `topic` is an input.

    An input that a `@before_kickoff` method supplies is not required. The method is called with trial values.
    """
    found = (NAME.search(f"{{{text}}}") for text in crew.fetch_inputs())
    names = {match[1] for match in found if match}
    demanded, supplied = _prepared(crew)
    required = (names - supplied) | demanded
    return [Input(name=name, required=name in required) for name in sorted(names | demanded)]


def flow_inputs(flow: Any) -> list[Input]:
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


def supplied_inputs(crew: Any) -> list[str]:
    """Return the inputs that the crew's `@before_kickoff` methods supply, by calling them with trial values."""
    return sorted(_prepared(crew)[1])


def _prepared(crew: Any) -> tuple[set[str], set[str]]:
    """Return which inputs the `@before_kickoff` methods demand, and which they supply, by calling them.

    A method that fails for another reason than a missing input supplies nothing: it may need real values.
    """
    given: dict[str, Any] = {}
    for _ in range(_TRIALS):
        inputs: Any = dict(given)
        try:
            for before in getattr(crew, "before_kickoff_callbacks", None) or ():
                inputs = before(inputs)
        except KeyError as error:
            name = error.args[0] if error.args else None
            if not isinstance(name, str) or name in given:
                return set(given), set()
            given[name] = "trial"
        except Exception:  # noqa: BLE001 - the target's own code, with values that are not real
            return set(given), set()
        else:
            return set(given), set(inputs) - set(given) if isinstance(inputs, Mapping) else set()
    return set(given), set()

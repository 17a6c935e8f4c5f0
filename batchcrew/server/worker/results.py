"""The result of an execution, from whatever a crew or a flow returned."""

import re
from collections.abc import Mapping
from typing import Any

from batchcrew.server.worker.running import Result
from batchcrew.server.workers.messages import plain_json

_ANSWER = re.compile(r"(?i)(final_?)?(answer|output|result|response|report|summary|text|content|draft|article|post)s?")
"""Names of a flow's fields that look like its answer."""


def result(found: Any, flow: Any = None, inputs: Mapping[str, Any] | None = None) -> Result:
    """Return the result for a crew's output, or for any value that a flow's last method returned.

    A flow whose last method returns nothing answers with its state. One field of it is the text: the only one that
    looks like an answer by its name, or else the only text that the flow has set.

    Args:
        flow: the flow that returned it; None for a crew.
        inputs: the inputs of the execution; what is equal to them in the state is not an answer.
    """
    if hasattr(found, "raw") and hasattr(found, "tasks_output"):  # the library's CrewOutput
        typed = found.pydantic.model_dump(mode="json") if found.pydantic is not None else found.json_dict
        return Result(output=found.raw, result_json=typed)
    if callable(getattr(found, "model_dump_json", None)):  # a model of pydantic
        return Result(output=found.model_dump_json(), result_json=found.model_dump(mode="json"))
    if isinstance(found, dict | list):
        return Result(output=plain_json(found), result_json=found)
    if found is None and flow is not None:
        return _of_state(_state(flow), inputs or {})
    return Result(output="" if found is None else str(found))


def _state(flow: Any) -> dict[str, Any]:
    state = flow.state
    dump = getattr(state, "model_dump", None)
    fields = dict(dump(mode="json")) if callable(dump) else dict(state)
    return {name: value for name, value in fields.items() if name != "id"}


def _of_state(state: Mapping[str, Any], inputs: Mapping[str, Any]) -> Result:
    new = {name: value for name, value in state.items() if name not in inputs or value != inputs[name]}
    texts = {name: value for name, value in new.items() if isinstance(value, str) and value.strip()}
    if not any(value not in (None, "", [], {}) for value in new.values()):
        return Result(output="")  # it has set nothing: an empty answer, not its inputs
    named = [name for name in texts if _ANSWER.fullmatch(name.rpartition(".")[2])]
    chosen = named if len(named) == 1 else list(texts) if len(texts) == 1 else []
    return Result(output=texts[chosen[0]] if chosen else plain_json(state), result_json=dict(state))

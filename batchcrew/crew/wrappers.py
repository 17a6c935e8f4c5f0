"""Unwraps the answers of wrappers: programs that put a crew behind their own API, and dump CrewAI's results."""

from collections.abc import Mapping
from typing import Any

from batchcrew.crew import spellings
from batchcrew.model.execution import ExecutionState

_ENVELOPE = frozenset({*(key for key in spellings.STATUS if isinstance(key, str)), "message", spellings.WRAPPER})


def unwrapped(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an answer about an execution without its wrapper: `{"data": {…}}` is read as if the fields were outside.

    This is one step, for the status, the result, the failure, the tasks and the progress alike:

    - If the status is inside, the content is the answer. Outside, a missing word, or `"status": "success"` or `"ok"`
      without a result, is about the request. So is an unknown word, unless the content has succeeded without a result:
      then it may be about a part of the execution.
    - If the status is outside, without a result, the content holds the rest.
    - Otherwise `data` belongs to the crew and is ignored.
    """
    inner = payload.get(spellings.WRAPPER)
    if not isinstance(inner, dict):
        return payload
    if _is_answer(inner, payload):
        return _merged({key: value for key, value in payload.items() if key not in _ENVELOPE}, inner)
    if _has(payload, spellings.RESULT):
        return payload
    hidden = _ENVELOPE if status_word(inner) else {spellings.WRAPPER}
    return _merged({key: value for key, value in inner.items() if key not in hidden}, payload)


def status_word(payload: Mapping[str, Any]) -> str | None:
    """Return the status word of an answer; None if it has none that is text."""
    word = raw_status_word(payload)
    return None if word is None else word.strip()


def raw_status_word(payload: Mapping[str, Any]) -> str | None:
    """Return the status word of an answer with the blanks around it; None if it has none that is text."""
    for word in spellings.values(payload, spellings.STATUS):
        if isinstance(word, str) and word.strip():
            return word
    return None


def _is_answer(inner: Mapping[str, Any], outer: Mapping[str, Any]) -> bool:
    """Return whether the status inside the wrapper is that of the execution."""
    inside, outside = status_word(inner), status_word(outer)
    if inside is None:
        return False
    if outside is None:
        return True
    meaning = spellings.meaning_of(inside)[0]
    known = meaning is not None
    if spellings.meaning_of(outside)[0] is None:
        return known and (meaning is not ExecutionState.SUCCEEDED or _has(inner, spellings.RESULT))
    is_envelope = (
        spellings.meaning_of(outside)[0] is ExecutionState.SUCCEEDED
        and spellings.fold(outside) in spellings.WRAPPERS_SUCCESS
        and not isinstance(outer.get("state"), str)
        and not _has(outer, spellings.RESULT)
    )
    return is_envelope and (known or not _has(inner, spellings.RESULT))


def _has(payload: Mapping[str, Any], fields: spellings.Fields) -> bool:
    return spellings.first(payload, fields) is not None


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of both; a value of `over` replaces one of `under` unless it is null."""
    return {**under, **{key: value for key, value in over.items() if value is not None or key not in under}}


def is_crewai_dump(result: Mapping[str, Any]) -> bool:
    """Return whether an object is a dump of CrewAI's own `CrewOutput` or `TaskOutput`."""
    if not isinstance(result.get("raw"), str | None) or "raw" not in result:
        return False
    return isinstance(result.get("tasks_output"), list) or any(
        result.keys() <= fields for fields in (spellings.CREW_OUTPUT, spellings.TASK_OUTPUT_DUMP)
    )


def crewai_json(result: Mapping[str, Any]) -> Any:
    """Return the JSON of a dump for which `is_crewai_dump` is true; None if it has none."""
    return spellings.first(result, ("json_dict", "pydantic"))

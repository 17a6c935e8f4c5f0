"""Reads the answers of deployed crews, in all dialects met in the field. Pure functions of an answer's bytes.

The dialect is never configured: each answer is searched for the fields and words of `spellings.py`. A result may be an
object, a text, or a text that contains JSON.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any, NoReturn

from batchcrew.crew import spellings
from batchcrew.crew.server_text import clean, json_text, parse, plain, server_words
from batchcrew.model.crew_answers import CrewInput, CrewInputs
from batchcrew.model.execution import Execution, ExecutionState, Json, TaskResult

MAX_KICKOFF_ID = 1000
"""Longest valid kickoff id, in characters."""
MAX_ERROR = 2000
"""Longest failure text that is stored in addition to the complete answer, in characters."""
_MAX_NAME = 200
_MAX_COUNT = 10**9

_BOM = b"\xef\xbb\xbf"
_NO_NUMBERS = re.compile(rb"\b(?:NaN|Infinity)\b")
_GUIDE_RESULT = frozenset({"output", "tasks"})


class NotUnderstood(ValueError):
    """The answer is not the expected one; the text says what it is instead (not cleaned yet)."""


def load(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`.

    Raises:
        NotUnderstood: it is not valid JSON (or is nested too deeply, or not UTF-8), or JSON that is not an object.
    """
    try:
        payload = parse(body)
    except ValueError as error:
        payload = _load_leniently(body, error)
    if not isinstance(payload, dict):
        raise NotUnderstood(f"the answer is JSON but not an object: {plain(payload)[:200]}")
    return payload


def _load_leniently(body: bytes, error: ValueError) -> Any:
    r"""Read JSON that orjson refuses only for a detail.

    The detail is a byte order mark, half a surrogate pair (`"\ud83d"`, an emoji cut in two), or `NaN` and `Infinity`,
    which Python's own json writes. A paid answer is not lost for that: the half becomes `?`, the numbers become
    null.
    """
    if b"\\u" not in body and not body.startswith(_BOM) and not _NO_NUMBERS.search(body):
        _no_json(body, error)
    try:
        payload = json.loads(body.decode("utf-8-sig"), parse_constant=_null)
        return parse(json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        _no_json(body, error)


def _null(_: str) -> None:
    """Replace `NaN`, `Infinity` and `-Infinity`."""


def _no_json(body: bytes, error: ValueError) -> NoReturn:
    if not body.strip():
        raise NotUnderstood("the answer is empty") from error
    raise NotUnderstood(f"the answer is not JSON ({error}): {server_words(body)[:200]}") from error


def kickoff_id(body: bytes) -> str:
    """Return the kickoff id: an opaque text; an integer becomes its digits.

    Raises:
        NotUnderstood: there is none, or it is not allowed in a URL.
    """
    payload = load(body)
    found = spellings.first(payload, spellings.KICKOFF_ID)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if not isinstance(found, str) or not found.strip():
        raise NotUnderstood(f"the answer has no kickoff_id: {server_words(body)[:200]}")
    wrong = wrong_kickoff_id(found)
    if wrong is not None:
        raise NotUnderstood(f"the answer has a kickoff_id {wrong}")
    return found


def wrong_kickoff_id(text: str) -> str | None:
    """Return why `text` is not a valid kickoff_id, as the end of a sentence; None if it is valid."""
    if not text.strip():
        return "that is empty"
    if len(text) > MAX_KICKOFF_ID:
        return f"of {len(text)} characters"
    if not text.isprintable() or text in {".", ".."}:
        return "that is not allowed in a URL"
    return None


def not_found(body: bytes) -> Execution:
    """Return the meaning of HTTP 404 as the answer to a poll."""
    return Execution(state=ExecutionState.NOT_FOUND, word="not found", answer=body.decode("utf-8", "replace"))


def execution(body: bytes) -> Execution:
    """Read an answer about an execution.

    A succeeded execution without any result has the `output` None, one with an empty result has "". The `output` of a
    JSON result is its compact text. A failed execution always has an `error`, which is one clean line.

    Raises:
        NotUnderstood: it has no status word.
    """
    payload = load(body)
    word = _status_word(payload, body)
    meaning, word_is_reason = spellings.meaning_of(word)
    answer = body.decode("utf-8", "replace")
    word = clean(word, 100)
    if meaning is ExecutionState.SUCCEEDED:
        return _succeeded(payload, word, answer)
    if meaning is ExecutionState.FAILED:
        return _failed(payload, word, answer, word_is_reason=word_is_reason)
    if meaning is ExecutionState.NOT_FOUND:
        return Execution(state=meaning, word=word, answer=answer)
    return Execution(
        state=meaning or ExecutionState.RUNNING,
        word=word,
        known_word=meaning is not None,
        execution_time=_seconds(spellings.first(payload, spellings.EXECUTION_TIME)),
        token_usage=_token_usage(payload),
        current_task=next(filter(None, map(_label, spellings.values(payload, spellings.CURRENT_TASK))), None),
        completed_tasks=_count(spellings.first(payload, spellings.COMPLETED_TASKS)),
        total_tasks=_count(spellings.first(payload, spellings.TOTAL_TASKS)),
        answer=answer,
    )


def _status_word(payload: Mapping[str, Any], body: bytes) -> str:
    found = list(spellings.values(payload, spellings.STATUS))
    for word in found:
        if isinstance(word, str) and word.strip():
            return word.strip()
    if any(value is not None for value in found) or any(key in payload for key in spellings.STATUS):
        raise NotUnderstood("the answer's status is not text")
    raise NotUnderstood(f"the answer has no status: {server_words(body)[:200]}")


def _succeeded(payload: Mapping[str, Any], word: str, answer: str) -> Execution:
    result = spellings.first(payload, spellings.RESULT)
    output, as_json = _result(result)
    separate = spellings.first(payload, spellings.RESULT_JSON)
    if isinstance(separate, str):
        separate = _json_in(separate)
    if separate is not None:
        as_json = separate
        if output is None:
            output = json_text(separate)
    return Execution(
        state=ExecutionState.SUCCEEDED,
        word=word,
        output=output,
        result_json=as_json,
        tasks=_tasks(result),
        execution_time=_execution_time(payload, result),
        token_usage=_token_usage(payload),
        answer=answer,
    )


def _failed(payload: Mapping[str, Any], word: str, answer: str, *, word_is_reason: bool) -> Execution:
    result = spellings.first(payload, spellings.FAILURE_RESULT)
    text = ""
    for found in (*spellings.values(payload, spellings.FAILURE_TEXT), _without_tasks(result)):
        text = clean(plain(found), MAX_ERROR)
        if text:
            break
    if word_is_reason:
        text = clean(f"{word}: {text}" if text else f"{word} (the crew gave no reason)", MAX_ERROR)
    return Execution(
        state=ExecutionState.FAILED,
        word=word,
        tasks=_tasks(result),
        error=text or f"the crew reported '{word}' without a reason",
        execution_time=_execution_time(payload, result),
        token_usage=_token_usage(payload),
        answer=answer,
    )


def _without_tasks(result: Any) -> Any:
    """Return the part of a failed execution's result that is its failure text."""
    if not isinstance(result, dict):
        return result
    return result.get("output") or {key: value for key, value in result.items() if key not in _GUIDE_RESULT}


def _result(result: Any) -> tuple[str | None, Json]:
    """Return `output` and `result_json` of a result of any shape."""
    if result is None:
        return None, None
    if isinstance(result, str):
        return result, _json_in(result)
    if isinstance(result, dict):
        if result.keys() <= _GUIDE_RESULT:
            return _result(result.get("output"))
        if isinstance(result.get("output"), str):
            return result["output"], result  # it has more than the guide's keys: all of it is returned
    return json_text(result), result


def _json_in(text: str) -> Json:
    """Return the object or list in a text that contains nothing else; else None."""
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        found: Json = parse(text)
    except ValueError:
        return None
    return found


def _tasks(result: Any) -> tuple[TaskResult, ...]:
    tasks = result.get("tasks") if isinstance(result, dict) else None
    if not isinstance(tasks, list):
        return ()
    return tuple(_task(number, task) for number, task in enumerate(tasks, 1) if isinstance(task, dict))


def _task(number: int, task: Mapping[str, Any]) -> TaskResult:
    return TaskResult(
        task_id=next(filter(None, map(_name, spellings.values(task, spellings.TASK_NAME))), None) or f"task {number}",
        output=_result(task.get("output"))[0],
        agent=_name(task.get("agent")),
        execution_time=_seconds(task.get("execution_time")),
    )


def _execution_time(payload: Mapping[str, Any], result: Any) -> float | None:
    seconds = _seconds(spellings.first(payload, spellings.EXECUTION_TIME))
    if seconds is None and isinstance(result, dict):
        seconds = _seconds(spellings.first(result, spellings.EXECUTION_TIME))
    return seconds


def _token_usage(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    usage = spellings.first(payload, spellings.TOKEN_USAGE)
    return usage if isinstance(usage, dict) and usage else None


def _label(value: Any) -> str | None:
    """Return the name of the current task: a text, or the first field of an object that names it."""
    if isinstance(value, dict):
        return next(filter(None, map(_name, spellings.values(value, spellings.CURRENT_TASK_NAME))), None)
    return _name(value)


def _name(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return clean(str(value), _MAX_NAME).strip() or None


def _seconds(value: Any) -> float | None:
    """Return a time in seconds, also from text; None if it is not valid."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if isfinite(seconds) and seconds >= 0 else None


def _count(value: Any) -> int | None:
    seconds = _seconds(value)
    return int(seconds) if seconds is not None and seconds <= _MAX_COUNT and seconds == int(seconds) else None


def crew_inputs(body: bytes, *, idempotent_kickoff: bool = False) -> CrewInputs:
    """Return the inputs of a crew, which are a list of names, a mapping of names, or a list of objects.

    `optional_inputs`, which `batchcrew serve` sends, is a list of further names.

    Raises:
        NotUnderstood: the answer is none of these.
    """
    payload = load(body)
    found = payload.get("inputs")
    if isinstance(found, dict):
        entries = [_input(name, about) for name, about in found.items()]
    elif isinstance(found, list):
        entries = [
            _input(entry.get("name"), entry) if isinstance(entry, dict) else _input(entry, None) for entry in found
        ]
    else:
        raise NotUnderstood(f"the answer has no list of inputs: {server_words(body)[:200]}")
    optional = payload.get("optional_inputs")
    if isinstance(optional, list):
        entries += [replace(_input(name, None), required=False) for name in optional]
    unique = {entry.name: entry for entry in reversed(entries)}
    ordered = tuple(entry for entry in entries if unique[entry.name] is entry)
    return CrewInputs(inputs=ordered, idempotent_kickoff=idempotent_kickoff)


def _input(name: Any, about: Any) -> CrewInput:
    if not isinstance(name, str) or not name or not name.isprintable() or len(name) > _MAX_NAME:
        raise NotUnderstood("the answer's list of inputs has an entry without a usable name")
    kind = about.get("type") if isinstance(about, dict) else about
    required = about.get("required", True) if isinstance(about, dict) else True
    is_optional = required is False or (isinstance(required, str) and required.strip().casefold() == "false")
    return CrewInput(name=name, type=_name(kind), required=not is_optional)

"""Reads the answers of deployed crews about executions, in all dialects that are known. Pure functions of the bytes.

The dialect is never configured: each answer is searched for the fields and words of `spellings.py`. A result may be an
object, a text, or a text that contains JSON.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from batchcrew.crew import spellings
from batchcrew.crew.payload import NotUnderstood, load_object, name_text
from batchcrew.crew.server_text import clean, json_text, parse, plain, server_words
from batchcrew.crew.wrappers import crewai_json, is_crewai_dump, raw_status_word, status_word, unwrapped
from batchcrew.model.execution import Execution, ExecutionState, Json, Question, TaskResult
from batchcrew.model.money import MOST_TOKENS

MAX_ERROR = 2000
"""Longest failure text that is stored in addition to the complete answer, in characters."""
_MAX_COUNT = 10**9

_GUIDE_RESULT = frozenset({"output", "tasks"})


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
    outer = load_object(body)
    payload = unwrapped(outer)
    word = _status_word(payload, body)
    meaning, _ = spellings.meaning_of(word)
    if meaning is ExecutionState.SUCCEEDED:
        return succeeded(outer, body)
    if meaning is ExecutionState.FAILED:
        return failed(outer, body)
    answer, place = body.decode("utf-8", "replace"), _status_place(outer, payload)
    word = clean(word, 100)
    if meaning is ExecutionState.NOT_FOUND:
        return Execution(state=meaning, word=word, answer=answer, status_place=place)
    return Execution(
        state=meaning or ExecutionState.RUNNING,
        word=word,
        known_word=meaning is not None,
        status_place=place,
        execution_time=_seconds(spellings.first(payload, spellings.EXECUTION_TIME)),
        token_usage=_token_usage(payload),
        current_task=next(filter(None, map(_label, spellings.values(payload, spellings.CURRENT_TASK))), None),
        completed_tasks=_count(spellings.first(payload, spellings.COMPLETED_TASKS)),
        total_tasks=_count(spellings.first(payload, spellings.TOTAL_TASKS)),
        question=_question(payload) if meaning is ExecutionState.WAITING_FOR_HUMAN else None,
        answer=answer,
    )


def _question(payload: Mapping[str, Any]) -> Question:
    """Return the human input that an execution requires, as far as the answer names it."""
    return Question(
        task_id=next(filter(None, map(name_text, spellings.values(payload, spellings.QUESTION_TASK_ID))), None) or "",
        task=next(filter(None, map(name_text, spellings.values(payload, spellings.QUESTION_TASK))), None),
        output=_result(next(filter(None, spellings.values(payload, spellings.QUESTION_OUTPUT)), None))[0],
    )


def _status_word(payload: Mapping[str, Any], body: bytes) -> str:
    word = status_word(payload)
    if word is not None:
        return word
    if any(key in payload for key in spellings.STATUS):
        raise NotUnderstood("the answer's status is not text")
    raise NotUnderstood(f"the answer has no status: {server_words(body)[:200]}")


def _status_place(outer: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    word = raw_status_word(payload)
    return "" if word is None else spellings.place_of(outer, spellings.STATUS, word)


def succeeded(outer: Mapping[str, Any], body: bytes) -> Execution:
    """Return the execution of an answer that reports success, or that has a result and no status word.

    Args:
        outer: the answer, with its wrapper.
        body: the answer as it came.
    """
    payload = unwrapped(outer)
    result = _found_result(payload)
    output, as_json = _result(result)
    output_place = "" if result is None else spellings.place_of(outer, spellings.RESULT, result) + _inner_place(result)
    separate = spellings.first(payload, spellings.RESULT_JSON)
    if isinstance(separate, str):
        separate = _json_in(separate)
    if separate is not None:
        as_json = separate
        if output is None:
            output = json_text(separate)
            output_place = spellings.place_of(outer, spellings.RESULT_JSON, separate) or output_place
    return Execution(
        state=ExecutionState.SUCCEEDED,
        word=clean(status_word(payload) or "", 100),
        output=output,
        result_json=as_json,
        tasks=_tasks(payload, result),
        execution_time=_execution_time(payload, result),
        token_usage=_token_usage(payload, result),
        answer=body.decode("utf-8", "replace"),
        status_place=_status_place(outer, payload),
        output_place=output_place,
    )


def failed(outer: Mapping[str, Any], body: bytes) -> Execution:
    """Return the execution of an answer that reports a failure, or that has an error and no status word.

    Args:
        outer: the answer, with its wrapper.
        body: the answer as it came.
    """
    payload = unwrapped(outer)
    word = status_word(payload) or "error"
    word_is_reason = spellings.meaning_of(word)[1]
    word = clean(word, 100)
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
        tasks=_tasks(payload, result),
        error=text or f"the crew reported '{word}' without a reason",
        execution_time=_execution_time(payload, result),
        token_usage=_token_usage(payload, result),
        answer=body.decode("utf-8", "replace"),
        status_place=_status_place(outer, payload),
    )


def _inner_place(result: Any) -> str:
    """Return the end of the output's place, for a result that is an object (see `_result`)."""
    if not isinstance(result, dict):
        return ""
    if is_crewai_dump(result):
        return ".raw" if result["raw"] else ".json_dict"
    return ".output" if result.keys() <= _GUIDE_RESULT or isinstance(result.get("output"), str) else ""


def _without_tasks(result: Any) -> Any:
    """Return the part of a failed execution's result that is its failure text."""
    if not isinstance(result, dict):
        return result
    return result.get("output") or {key: value for key, value in result.items() if key not in _GUIDE_RESULT}


def _found_result(payload: Mapping[str, Any]) -> Any:
    """Return the first result that is not empty; else an empty one, or None if there is none at all."""
    empty = None
    for found in spellings.values(payload, spellings.RESULT):
        if found not in (None, "", {}, []):
            return found
        empty = found if empty is None else empty
    return empty


def _result(result: Any) -> tuple[str | None, Json]:
    """Return `output` and `result_json` of a result of any shape."""
    if result is None:
        return None, None
    if isinstance(result, str):
        return result, _json_in(result)
    if isinstance(result, dict):
        if is_crewai_dump(result):
            output, as_json = _result(result["raw"])
            separate = crewai_json(result)
            if separate is None:
                return output, as_json
            return output or json_text(separate), separate
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


def _tasks(payload: Mapping[str, Any], result: Any) -> tuple[TaskResult, ...]:
    """Return the results of the tasks, which are in the result or next to it."""
    for place in _places(result, payload):
        for tasks in spellings.values(place, spellings.TASKS):
            if isinstance(tasks, list):
                return tuple(_task(number, task) for number, task in enumerate(tasks, 1) if isinstance(task, dict))
    return ()


def _places(*values: Any) -> list[Mapping[str, Any]]:
    """Return those of the values that are objects."""
    return [value for value in values if isinstance(value, dict)]


def _task(number: int, task: Mapping[str, Any]) -> TaskResult:
    return TaskResult(
        task_id=next(filter(None, map(name_text, spellings.values(task, spellings.TASK_NAME))), None)
        or f"task {number}",
        output=_result(spellings.first(task, spellings.TASK_OUTPUT))[0],
        agent=name_text(task.get("agent")),
        execution_time=_seconds(task.get("execution_time")),
    )


def _execution_time(payload: Mapping[str, Any], result: Any) -> float | None:
    places = _places(payload, result)
    return next((found for place in places if (found := _time_of(place)) is not None), None)


def _time_of(place: Mapping[str, Any]) -> float | None:
    return _seconds(spellings.first(place, spellings.EXECUTION_TIME))


def _token_usage(payload: Mapping[str, Any], result: Any = None) -> Mapping[str, Any] | None:
    for place in _places(payload, result):
        usage = next(filter(None, _places(*spellings.values(place, spellings.TOKEN_USAGE))), None)
        if usage:
            return {**usage, **_named_counts(usage)}
    return None


def _named_counts(usage: Mapping[str, Any]) -> dict[str, int | float]:
    """Return the counts of a TOKEN_USAGE under the names of CrewAI, where it has them under other names."""
    named = {}
    for name, places in spellings.TOKEN_COUNTS.items():
        found = next(filter(_is_count, spellings.values(usage, places)), None)
        if found is not None and not _is_count(usage.get(name)):
            named[name] = found
    return named


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS


def _label(value: Any) -> str | None:
    """Return the name of the current task: a text, or the first field of an object that names it."""
    if isinstance(value, dict):
        return next(filter(None, map(name_text, spellings.values(value, spellings.CURRENT_TASK_NAME))), None)
    return name_text(value)


def _seconds(value: Any) -> float | None:
    """Return a time in seconds, also from text; None if it is not valid."""
    if value is None or isinstance(value, bool):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if isfinite(seconds) and seconds >= 0 else None


def _count(value: Any) -> int | None:
    seconds = _seconds(value)
    return int(seconds) if seconds is not None and seconds <= _MAX_COUNT and seconds == int(seconds) else None

"""Reads answers to kickoffs that have the result itself: of servers that return when the execution has ended."""

import re
from collections.abc import Mapping
from typing import Any

from batchcrew.crew import dialect, spellings
from batchcrew.crew.kickoff_answers import has_id, is_server_fault, is_uncertain, places, reports_error
from batchcrew.crew.payload import NotUnderstood, load
from batchcrew.crew.server_text import is_page, json_text, server_words
from batchcrew.crew.wrappers import is_crewai_dump, status_word, unwrapped
from batchcrew.model.execution import Execution, ExecutionState

_ENDED = frozenset({ExecutionState.SUCCEEDED, ExecutionState.FAILED})
_LIKE_AN_ID = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|[A-Za-z0-9_-]*\d[A-Za-z0-9_-]*", re.IGNORECASE)
# words of a server that has only started the crew
_ABOUT_THE_START = re.compile(
    r"\b(?:started|accepted|queued|submitted|scheduled|enqueued|kick(?:ed)?[ -]?off|in progress|processing)\b",
    re.IGNORECASE,
)
_LONGEST_NOTE = 200
"""Longest text, in characters, that may be about the start of an execution instead of its result."""


def unexpected_result(body: bytes) -> Execution | None:
    """Return the execution that an answer without a kickoff id reports as ended; None if it reports none.

    The answer has a word for a success and a result, a word for a failure, or a result and no word. An answer that may
    be about the kickoff instead of the execution is not used: one with an id, an error without a word, a text about a
    time-out, or a note such as "started".
    """
    try:
        payload = load(body)
    except NotUnderstood:
        return None
    inside = list(places(payload))
    if not inside or any(map(has_id, inside)) or any(map(is_server_fault, inside)):
        return None
    answer = unwrapped(payload)
    word = status_word(answer)
    meaning = None if word is None else spellings.meaning_of(word)[0]
    if meaning is ExecutionState.FAILED:
        return None if is_uncertain(f"{word} {server_words(body)}") else dialect.failed(payload, body)
    if any(map(reports_error, inside)) or (word is not None and meaning is not ExecutionState.SUCCEEDED):
        return None
    execution = dialect.succeeded(payload, body)
    if not execution.has_output:
        return None
    about_the_request = word is None or spellings.fold(word) in spellings.WRAPPERS_SUCCESS
    return None if about_the_request and _is_about_the_start(answer, execution) else execution


def _is_about_the_start(answer: Mapping[str, Any], execution: Execution) -> bool:
    """Return whether an apparent result may be an id, or a note about the start."""
    results = [found for found in spellings.values(answer, spellings.RESULT) if isinstance(found, dict)]
    if any(has_id(found) and not is_crewai_dump(found) for found in results):
        return True
    text = (execution.output or "").strip()
    if spellings.meaning_of(text)[0] is not None or _LIKE_AN_ID.fullmatch(text):
        return True
    return len(text) <= _LONGEST_NOTE and bool(_ABOUT_THE_START.search(text))


def expected_result(body: bytes) -> Execution | None:
    """Return the execution of the answer of a server that always answers with the result (`crew.sync`).

    An error is the execution's; a JSON value without any known field, or a text, is the result as a whole. None: it
    has the kickoff id of an execution that still runs.

    Raises:
        NotUnderstood: it is a web page, or it says that the execution still runs and has no id.
    """
    try:
        payload = load(body)
    except NotUnderstood:
        if is_page(body):
            raise
        return _whole(body.decode("utf-8", "replace").strip(), body)
    if not isinstance(payload, dict):
        return _whole(payload, body)
    answer, inside = unwrapped(payload), list(places(payload))
    word = status_word(answer)
    meaning = None if word is None else spellings.meaning_of(word)[0]
    if meaning is ExecutionState.FAILED:
        return dialect.failed(payload, body)
    if meaning is not ExecutionState.SUCCEEDED and any(map(reports_error, inside)):
        return dialect.failed(payload, body)
    execution = dialect.succeeded(payload, body)
    if execution.has_output:
        return execution
    if meaning is not None and meaning not in _ENDED:  # it is running, so it can be watched if it has an id
        if any(map(has_id, inside)):
            return None
        raise NotUnderstood(f"the answer reports {word!r} and has no kickoff_id")
    if any(spellings.first(place, spellings.KICKOFF_ID) is not None for place in inside):
        return execution if meaning is ExecutionState.SUCCEEDED else None
    rest = {key: value for key, value in answer.items() if key not in _ABOUT_THE_EXECUTION}
    return _whole(rest, body) if any(value is not None for value in rest.values()) else execution


_ABOUT_THE_EXECUTION = frozenset(
    field
    for fields in (
        spellings.STATUS,
        spellings.RESULT,
        spellings.RESULT_JSON,
        spellings.EXECUTION_TIME,
        spellings.TOKEN_USAGE,
        spellings.TASKS,
        spellings.REFUSAL,
        spellings.REFUSAL_FLAG,
    )
    for field in fields
    if isinstance(field, str)
)


def _whole(value: Any, body: bytes) -> Execution:
    """Return a successful execution whose result is the whole answer."""
    empty = value is None or value in ("", {}, [])
    return Execution(
        state=ExecutionState.SUCCEEDED,
        word="",
        output="" if empty else value if isinstance(value, str) else json_text(value),
        result_json=value if isinstance(value, dict | list) and value else None,
        answer=body.decode("utf-8", "replace"),
        output_place="the whole answer",
    )

"""Reads answers to kickoffs with a success code: the kickoff id, or why nothing was started."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from batchcrew.crew import spellings
from batchcrew.crew.payload import NotUnderstood, load
from batchcrew.crew.server_text import is_page, server_words
from batchcrew.crew.wrappers import status_word
from batchcrew.model.crew_answers import Accepted
from batchcrew.model.execution import ExecutionState

MAX_KICKOFF_ID = 1000
"""Longest valid kickoff id, in characters."""

_WHOLE = "the whole answer"
_SEARCHED = 64 * 1024  # bytes of a page
# a bare text is an id only if it cannot be a message: "OK" and "Unauthorized" have no digit
_BARE_ID = re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9._~:-]+")
_LOGIN_PAGE = re.compile(rb"""type\s*=\s*["']?password""", re.IGNORECASE)
_PAGE_OF_A_REFUSAL = re.compile(
    r"log[ -]?[io]n|sign[ -]?in|denied|forbidden|authori[sz]|authenticat|not found|expired|blocked|captcha|maintenance",
    re.IGNORECASE,
)
# words of a gateway that does not know whether the crew got the request
_UNCERTAIN = re.compile(
    r"time[ds]?[ -]?out|gateway|upstream|internal|unexpected|unknown error|server error|unavailable|interrupted"
    r"|connection|\b50[0-9]\b",
    re.IGNORECASE,
)


def kickoff_id(body: bytes) -> str:
    """Return the kickoff id: an opaque text; an integer becomes its digits.

    Raises:
        NotUnderstood: there is none, or it is not allowed in a URL.
    """
    return accepted(body).kickoff_id


def surely_kickoff_id(body: bytes) -> str | None:
    """Return the valid kickoff id of an answer under an unambiguous name; None if it has none."""
    try:
        payload = load(body)
    except NotUnderstood:
        return None
    for place in places(payload):
        for found in _texts(payload, place, spellings.KICKOFF_ID):
            return found.kickoff_id if wrong_kickoff_id(found.kickoff_id) is None else None
    return None


def accepted(body: bytes) -> Accepted:
    """Return the kickoff id and where the answer has it.

    Raises:
        NotUnderstood: there is none, or it is not allowed in a URL.
    """
    found = next(_ids(load(body)), None)
    if found is None:
        raise NotUnderstood(f"the answer has no kickoff_id: {server_words(body)[:200]}")
    wrong = wrong_kickoff_id(found.kickoff_id)
    if wrong is not None:
        raise NotUnderstood(f"the answer has a kickoff_id {wrong}")
    return found


def _ids(payload: Any) -> Iterator[Accepted]:
    """Yield possible kickoff ids, the likeliest first."""
    if isinstance(payload, str) and _BARE_ID.fullmatch(payload.strip()):
        yield Accepted(payload.strip(), _WHOLE)
    if isinstance(payload, int) and not isinstance(payload, bool) and payload > 0:
        yield Accepted(str(payload), _WHOLE)
    inside = list(places(payload))
    for place in inside:
        yield from _texts(payload, place, spellings.KICKOFF_ID)
    if not any(reports_error(place) or _has_failed(place) for place in inside):
        for place in inside:
            yield from _texts(payload, place, spellings.OTHER_ID)


def places(payload: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the answer, and the content of its wrapper."""
    if isinstance(payload, dict):
        yield payload
        if isinstance(payload.get(spellings.WRAPPER), dict):
            yield payload[spellings.WRAPPER]


def _texts(payload: Mapping[str, Any], place: Mapping[str, Any], fields: spellings.Fields) -> Iterator[Accepted]:
    for found in spellings.values(place, fields):
        if isinstance(found, int) and not isinstance(found, bool):
            yield Accepted(str(found), spellings.place_of(payload, fields, found))
        elif isinstance(found, str) and found.strip():
            yield Accepted(found, spellings.place_of(payload, fields, found))


def wrong_kickoff_id(text: str) -> str | None:
    """Return why `text` is not a valid kickoff_id, as the end of a sentence; None if it is valid."""
    if not text.strip():
        return "that is empty"
    if len(text) > MAX_KICKOFF_ID:
        return f"of {len(text)} characters"
    if not text.isprintable() or text in {".", ".."}:
        return "that is not allowed in a URL"
    return None


def refusal(body: bytes) -> str | None:
    """Return why nothing was started, from an answer without a kickoff id; None if something may have been started.

    It is a page that requires a login or names a refusal, or a JSON object with an error and no trace of an execution.
    A text about a time-out, or about an error inside the server or behind a gateway, does not show that nothing was
    started.
    """
    words = server_words(body)
    if is_uncertain(words):
        return None
    try:
        payload = load(body)
    except NotUnderstood:
        if words and is_page(body) and (_LOGIN_PAGE.search(body, 0, _SEARCHED) or _PAGE_OF_A_REFUSAL.search(words)):
            return f"a web page instead of a kickoff_id: {words}"
        return None
    inside = list(places(payload))
    if not any(map(reports_error, inside)) or any(map(_may_have_started, inside)):
        return None
    return f"an error instead of a kickoff_id: {words}"


def is_uncertain(words: str) -> bool:
    """Return whether a text is about a time-out, or about an error inside the server or behind a gateway."""
    return bool(_UNCERTAIN.search(words))


def reports_error(place: Mapping[str, Any]) -> bool:
    """Return whether an answer, or the content of its wrapper, has an error."""
    if any(flag is False for flag in spellings.values(place, spellings.REFUSAL_FLAG)):
        return True
    return any(spellings.values(place, spellings.REFUSAL))


def _has_failed(place: Mapping[str, Any]) -> bool:
    word = status_word(place)
    return word is not None and spellings.meaning_of(word)[0] is ExecutionState.FAILED


def _may_have_started(place: Mapping[str, Any]) -> bool:
    """Return whether an error may be that of an execution, or of a server that does not know whether it has started
    one."""
    if is_server_fault(place) or has_id(place):
        return True
    traces = spellings.values(place, spellings.EXECUTION_TRACE)
    return any(trace is not None and not isinstance(trace, bool) and not _is_code(trace) for trace in traces)


def is_server_fault(place: Mapping[str, Any]) -> bool:
    """Return whether an answer has the HTTP status of a server or a gateway that failed."""
    codes = [code for code in spellings.values(place, spellings.REFUSAL_CODE) if _is_code(code)]
    return any(int(code) >= 500 and int(code) != 503 for code in codes)


def has_id(place: Mapping[str, Any]) -> bool:
    """Return whether an answer has something that may be an id, of whatever type."""
    ids = (*spellings.KICKOFF_ID, *spellings.OTHER_ID)
    return any(found is not None for found in spellings.values(place, ids))


def _is_code(value: Any) -> bool:
    """Return whether a value is an HTTP status, as a number or as text."""
    return not isinstance(value, bool) and bool(re.fullmatch(r"[1-5][0-9]{2}", str(value)))

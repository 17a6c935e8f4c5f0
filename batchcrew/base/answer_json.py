"""Find the JSON in the text of an answer."""

import re
from typing import Any

import orjson

NOT_JSON = object()
"""Returned in place of a value, because null is a JSON value."""
# possessive, without backtracking, so that it takes linear time
_FENCE = re.compile(r"^[ \t]*+(`{3,}+|~{3,}+)[ \t]*+(?:json[c5]?|javascript)?[ \t]*+$", re.IGNORECASE | re.MULTILINE)
_MOST_FENCES = 20
_SURELY_FLAT = 100
"""A text with at most this many brackets cannot be nested too deeply."""


def json_in(result_json: Any, output: str | None) -> Any:
    """Return the JSON value of an answer with this JSON (None: it has none) and text, or NOT_JSON.

    The complete text is JSON, or it contains a Markdown fence (with `json` or without a language) around JSON.
    """
    if result_json is not None:
        return result_json
    text = output or ""
    found = _parsed(text)
    if found is not NOT_JSON or ("```" not in text and "~~~" not in text):
        return found
    return next((value for block in _fenced(text) if (value := _parsed(block)) is not NOT_JSON), NOT_JSON)


def _fenced(text: str) -> list[str]:
    """Return the contents of the first fences whose language may be JSON."""
    blocks: list[str] = []
    at = 0
    while len(blocks) < _MOST_FENCES and (opened := _FENCE.search(text, at)):
        close = text.find(f"\n{opened[1]}", opened.end())
        if close < 0:
            break
        blocks.append(text[opened.end() : close])
        at = close + 1 + len(opened[1])
    return blocks


def _parsed(text: str) -> Any:
    """Return the JSON value of a text, or NOT_JSON; a value that is nested too deeply is not JSON either."""
    try:
        value = orjson.loads(text)
        if text.count("[") + text.count("{") > _SURELY_FLAT:
            orjson.dumps(value)  # which writes at most 254 levels
    except (ValueError, TypeError):
        return NOT_JSON
    return value

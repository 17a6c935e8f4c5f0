"""Reads the JSON of an answer, also where it has the small mistakes that servers make."""

import json
import re
from typing import Any, NoReturn

from batchcrew.crew.server_text import clean, parse, plain, server_words

MAX_NAME = 200
"""Longest name of a task, an agent or an input, in characters."""
_BOM = b"\xef\xbb\xbf"
_NO_NUMBERS = re.compile(rb"\b(?:NaN|Infinity)\b")


class NotUnderstood(ValueError):
    """The answer is not the expected one; the text describes it (not cleaned yet)."""


def load(body: bytes) -> Any:
    """Return the JSON value in `body`.

    Raises:
        NotUnderstood: it is not valid JSON, is nested too deeply, or is not UTF-8.
    """
    try:
        return parse(body)
    except ValueError as error:
        return _load_leniently(body, error)


def load_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`.

    Raises:
        NotUnderstood: see `load`; or it is JSON that is not an object.
    """
    payload = load(body)
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


def name_text(value: Any) -> str | None:
    """Return a name as one clean line; None if it is empty, or neither text nor a number."""
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        value = str(value)
    return clean(value, MAX_NAME).strip() or None

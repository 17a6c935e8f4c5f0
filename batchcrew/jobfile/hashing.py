"""Hashes that identify jobs. Ledgers store them, so a change requires a new FORMAT_VERSION."""

import json
from hashlib import sha256
from typing import Any

import orjson

FORMAT_VERSION = 1
"""Incremented when the same file would yield other jobs than before; the file is then read again."""

_dumps = orjson.dumps
_SORTED = orjson.OPT_SORT_KEYS


def canonical(value: Any) -> bytes:
    """Return JSON with sorted keys and no blanks, which is the same for equal values.

    Raises:
        ValueError: the value does not exist in JSON (half a surrogate pair, NaN from a template).
    """
    try:
        return _dumps(value, option=_SORTED)
    except TypeError:
        # orjson does not support integers of more than 64 bits
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()


def content_id(crew: str, inputs: dict[str, Any]) -> str:
    """Return the id of a job that is given none: 16 hex digits, a hash of its crew and inputs."""
    return sha256(canonical([crew, inputs])).hexdigest()[:16]

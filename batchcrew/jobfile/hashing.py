"""Hashes that a job is known by. What they are made of is part of every ledger: see FORMAT_VERSION."""

import json
from hashlib import sha256
from typing import Any

import orjson

FORMAT_VERSION = 1
"""Raised when the same file would give other jobs than before; ledgers then read the file again."""

_dumps = orjson.dumps
_SORTED = orjson.OPT_SORT_KEYS


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no blanks, the same for equal values.

    Raises:
        ValueError: JSON has no such value (half a surrogate pair, NaN from a template).
    """
    try:
        return _dumps(value, option=_SORTED)
    except TypeError:
        # orjson stops at 64-bit integers
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()


def content_id(crew: str, inputs: dict[str, Any]) -> str:
    """The id of a job that has none: 16 hex digits made of its crew and inputs."""
    return sha256(canonical([crew, inputs])).hexdigest()[:16]

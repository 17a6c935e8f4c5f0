"""Encode and decode JSON as the ledger stores it, with integers of any size."""

import json
from collections.abc import Mapping
from typing import Any

import orjson


def encode_json(value: Any) -> str:
    """Return a value from a file or a crew as JSON text."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return orjson.dumps(_fragments(value)).decode()


def decode_json(text: str) -> Any:
    """Return the value of a text that `encode_json` made."""
    # not orjson.loads: it turns large integers into floats
    return json.loads(text)


def _fragments(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _fragments(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_fragments(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return orjson.Fragment(str(value))
    return value

"""Encode and decode JSON as the ledger stores it, with integers of any size."""

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

_LARGE_INTEGER = re.compile(r"\d{18}")


def encode_json(value: Any) -> str:
    """Return a value from a file or a crew as JSON text."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return orjson.dumps(_fragments(value)).decode()


def decode_json(text: str) -> Any:
    """Return the value of a text that `encode_json` made."""
    if _LARGE_INTEGER.search(text) is None:  # orjson turns large integers into floats
        try:
            return orjson.loads(text)
        except ValueError:  # nested too deeply for orjson, or from SQLite
            pass
    return json.loads(text)


def _fragments(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _fragments(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_fragments(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return orjson.Fragment(str(value))
    return value

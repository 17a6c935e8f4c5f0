"""JSON as the ledger holds it, integers of any size included."""

import json
from collections.abc import Mapping
from typing import Any

import orjson


def encode_json(value: Any) -> str:
    """JSON text of what a file or a crew said."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return orjson.dumps(_fragments(value)).decode()


def decode_json(text: str) -> Any:
    """What `encode_json` wrote. The stdlib's reader, since orjson's turns large integers into floats."""
    return json.loads(text)


def _fragments(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _fragments(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_fragments(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return orjson.Fragment(str(value))
    return value

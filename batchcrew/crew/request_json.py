"""Write the body of a request."""

import json
from typing import Any

import orjson


def request_json(value: dict[str, Any]) -> bytes:
    """Return the JSON text of a body, UTF-8.

    Raises:
        TypeError, ValueError, RecursionError: it cannot be written as JSON.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        # Numbers over 64 bits and halves of surrogate pairs are valid JSON, but not for orjson.
        return json.dumps(value, allow_nan=False).encode()

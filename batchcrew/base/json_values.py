"""Values that JSON has a form for."""

import math
from typing import Any

MAX_LEVELS = 200


def writable(value: Any, depth: int = 0) -> Any:
    """Return `value` reduced to types of JSON; a text replaces values deeper than MAX_LEVELS levels."""
    if depth > MAX_LEVELS:
        return f"(nested deeper than {MAX_LEVELS} levels)"
    if isinstance(value, dict):
        return {str(key): writable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [writable(item, depth + 1) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return str(value)

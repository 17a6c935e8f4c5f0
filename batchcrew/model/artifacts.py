"""The files that an execution's tasks have written, as the crew's last answer lists them."""

import json
from typing import Any

FIELD = "artifacts"
"""The field of batchcrew's own answers. The ledger keeps each answer as it came, so nothing else stores the list."""
MOST = 1000
"""Files of one execution that are listed."""


def artifact_paths(value: Any) -> tuple[str, ...]:
    """Return the paths in a list that a crew sent; nothing if it is not one."""
    if not isinstance(value, list):
        return ()
    return tuple(path for path in value[:MOST] if isinstance(path, str))


def artifacts_in(answer: str | None) -> tuple[str, ...]:
    """Return the paths that an answer lists."""
    if answer is None or f'"{FIELD}"' not in answer:
        return ()
    try:
        body = json.loads(answer)
    except (ValueError, RecursionError):
        return ()
    return artifact_paths(body.get(FIELD)) if isinstance(body, dict) else ()

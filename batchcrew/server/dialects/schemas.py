"""The parts that schemas of the OpenAPI description are made of."""

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]
ANYTHING: Schema = {}
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number", "minimum": 0}
COUNT: Schema = {"type": "integer", "minimum": 0}


def object_schema(required: Schema, optional: Schema | None = None) -> Schema:
    """Describe an object with these properties and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


QUESTION: Schema = object_schema({"task_id": TEXT, "agent": TEXT, "output": TEXT})
"""The human input that a paused execution requires."""


def list_schema(items: Schema, *, least: int = 0) -> Schema:
    """Describe a list with at least this many items."""
    return {"type": "array", "items": items, **({"minItems": least} if least else {})}


def word_schema(*words: str) -> Schema:
    """Describe one of these words."""
    return {"type": "string", "enum": list(words)}


def nullable(schema: Schema) -> Schema:
    """Describe a value that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}

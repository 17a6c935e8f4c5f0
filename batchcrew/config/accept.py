"""The `accept:` section of a job file: when an answer counts."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from batchcrew.config.declarations import DefaultText, Settings

MOST_RULES = 100
"""Maximum entries of a list of rules."""
LONGEST_RULE = 10_000
"""Maximum characters of a pattern, a text or an expression."""


def _listed(value: Any) -> Any:
    """Return a single text as a list of one."""
    return (value,) if isinstance(value, str) else value


def _json_rule(value: Any) -> Any:
    if value is None:
        return False
    if not isinstance(value, bool | dict):
        raise ValueError(f"invalid value: {str(value)[:60]!r} (expected true, false or a JSON Schema as a mapping)")
    return value


Texts = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=LONGEST_RULE)], ...],
    Field(max_length=MOST_RULES),
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
]


class AcceptSettings(Settings):
    """When an answer counts. An answer that a rule rejects makes its job fail, and is kept."""

    not_empty: bool = True
    """Reject an answer without any output: null, or only blanks. `false`: such a job succeeds, and a
    warning counts it."""
    min_length: int | None = Field(default=None, ge=1)
    """Minimum number of characters, without blanks at both ends."""
    contains: Annotated[Texts, DefaultText("none")] = ()
    """Text that the answer must contain, or a list of them; upper and lower case differ."""
    not_matching: Annotated[Texts, DefaultText("none")] = ()
    """Regular expressions that must not match anywhere in the answer: a list, or a single one.

    They have the syntax of RE2, and require `batchcrew[accept]`."""
    json_: Annotated[
        bool | dict[str, Any],
        BeforeValidator(_json_rule, json_schema_input_type=bool | dict[str, Any]),
    ] = Field(default=False, alias="json")
    """`true`: the answer must be JSON; a mapping: JSON that is valid against this JSON Schema. A Markdown fence around
    the JSON is removed.

    A schema requires `batchcrew[accept]`."""
    expression: str | None = Field(default=None, min_length=1, max_length=LONGEST_RULE)
    """Sandboxed Jinja2 expression that must be true.

    It can use `output`, `result` (the JSON in the answer), `tasks`, `inputs`, `row`, `job_id`, `crew` and `date`."""

"""Turn pydantic's errors about a part of the document into messages with the place of the value."""

from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from batchcrew.config.declarations import Settings
from batchcrew.jobfile.findings import Findings
from batchcrew.jobfile.nodes import ListNode, MapNode, Node, ScalarNode, plain_data
from batchcrew.jobfile.problems import listed, nearest, shown
from batchcrew.model.job import Location

Model = TypeVar("Model", bound=Settings)

_BOUNDS = {
    "greater_than_equal": ("ge", "{} or more"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "{} or less"),
    "less_than": ("lt", "less than {}"),
}
_KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}
_NESTED_SECRETS = frozenset({"password", "token"})
_SECRETS = {"token": "text", "headers": "a mapping of names and texts"}
"""The keys whose values no message repeats, and what is expected."""


def validated(
    model: type[Model],
    node: Node,
    where: Location,
    name: str,
    findings: Findings,
    *,
    also: tuple[str, ...] = (),
) -> Model | None:
    """Validate the part of the document below `node`; return its model, or None after adding its problems.

    Args:
        where: the place of the part's key, for problems of the part as a whole.
        name: the part's name in messages: `run`, `crews.research`, or "a rows entry".
        also: keys of other forms of the part, for hints about unknown keys.
    """
    problems = findings.problems
    if not isinstance(node, MapNode):
        if isinstance(node, ScalarNode) and node.value is None:
            node = MapNode(node.where)  # `run:` with everything below it commented out
        else:
            problems.at(node.where, f"invalid {_title(name)}: {found(node)} (expected a mapping)")
            return None
    try:
        return model.model_validate(_without_nulls(node, model))
    except ValidationError as exc:
        reported: set[Location] = set()
        for error in exc.errors(include_url=False):
            place, message = _sentence(error, node, where, name, model, also)
            is_value = error["type"] not in {"missing", "extra_forbidden"}
            # pydantic reports a value that fits no type of a union once for each type
            if place in findings.broken or (is_value and place in reported):
                continue
            if is_value:
                reported.add(place)
            problems.at(place, message)
        return None


def found(node: Node) -> str:
    """Return the node as a message shows it: as written, with the names of variables instead of their values."""
    if isinstance(node, ListNode):
        return "a list"
    if isinstance(node, MapNode):
        return "a mapping"
    return "no value" if node.value is None else shown(node.text)


def _without_nulls(node: MapNode, model: type[Settings]) -> dict[str, Any]:
    """Return the data without known keys that have no value; they count as absent."""
    data: dict[str, Any] = {}
    for key, item in node.items.items():
        field = model.model_fields.get(key)
        if field is not None and isinstance(item, ScalarNode) and item.value is None:
            continue
        part = field.annotation if field is not None else None
        if isinstance(item, MapNode) and isinstance(part, type) and issubclass(part, Settings):
            data[key] = _without_nulls(item, part)
        else:
            data[key] = plain_data(item)
    return data


def _dotted(first: list[str], path: tuple[str | int, ...]) -> str:
    """Return a path as in `run.retry.on[0]`."""
    text = ".".join(first)
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _title(name: str) -> str:
    return name if " " in name else f"`{name}`"


def _sentence(
    error: ErrorDetails, node: MapNode, where: Location, name: str, model: type[Settings], also: tuple[str, ...]
) -> tuple[Location, str]:
    """Return the place of an error and a message about it."""
    kind, path = error["type"], error["loc"]
    parent, target, reached = _follow(node, path)
    words = [str(word) for word in path]
    section = ".".join([*([] if " " in name else [name]), *words[:-1]]) or name
    if kind == "missing":
        return (where if len(path) == 1 else parent.where), f"missing key {shown(words[-1])} in {_title(section)}"
    if kind == "extra_forbidden" and isinstance(parent, MapNode):
        known = dict.fromkeys([*(also if len(words) == 1 else ()), *_known_keys(model, words[:-1])])
        hint = nearest(words[-1], known) or f" (expected one of {listed(known, 12)})"
        return parent.keys.get(words[-1], parent.where), f"unknown key {shown(words[-1])} in {_title(section)}{hint}"
    own = _dotted([] if " " in name else [name], path[:reached]) or name
    place = where if not path else target.where
    if words and words[-1] in _NESTED_SECRETS:
        return place, f"invalid `{own}` (expected text)"
    if words and words[0] in _SECRETS:
        return place, f"invalid `{own}` (expected {'text' if len(words) > 1 else _SECRETS[words[0]]})"
    return place, _complaint(error, target, _title(own))


def _complaint(error: ErrorDetails, target: Node, name: str) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        reason = str(context["error"])
        if isinstance(target, ScalarNode) and isinstance(target.value, str):
            reason = reason.replace(repr(target.value), shown(target.text))  # the variable, not its value
        return f"{name}: {reason}"
    if kind == "too_short":
        return f"{name} must not be empty"
    if kind in _BOUNDS:
        key, phrase = _BOUNDS[kind]
        expected = phrase.format(context[key])
    elif kind == "literal_error":
        expected = str(context["expected"])
    else:
        expected = _KINDS.get(kind, error["msg"])
    return f"invalid {name}: {found(target)} (expected {expected})"


def _follow(node: Node, path: tuple[str | int, ...]) -> tuple[Node, Node, int]:
    """Follow a path of pydantic; return the last two nodes on it, and the number of steps that could be followed.

    The path may end in names that pydantic adds (the types of a union).
    """
    parent = target = node
    for depth, step in enumerate(path):
        following: Node | None = None
        if isinstance(target, MapNode):
            following = target.items.get(str(step))
        elif isinstance(target, ListNode) and isinstance(step, int) and step < len(target.items):
            following = target.items[step]
        if following is None:
            return target, target, depth
        parent, target = target, following
    return parent, target, len(path)


def _section(annotation: Any) -> type[Settings] | None:
    """Return the settings among the types of a field."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, Settings) else None
    return next(filter(None, map(_section, get_args(annotation))), None)


def _known_keys(model: type[Settings], path: list[str]) -> list[str]:
    for step in path:
        field = model.model_fields.get(step)
        part = None if field is None else _section(field.annotation)
        if part is None:
            return []
        model = part
    return [field.alias or name for name, field in model.model_fields.items()]

"""pydantic's errors about a part of the document, as sentences with the place of the value they are about."""

from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from batchcrew.config.settings import Settings
from batchcrew.jobfile.nodes import ListNode, MapNode, Node, ScalarNode, plain_data
from batchcrew.jobfile.problems import Problems, listed, named, nearest, shown
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
_SECRET = "token"  # noqa: S105 - the key whose value no message repeats


def validated(
    model: type[Model],
    node: Node,
    where: Location,
    name: str,
    problems: Problems,
    broken: set[Location],
    *,
    also: tuple[str, ...] = (),
) -> Model | None:
    """The part of the document below `node` as a model; None when it is wrong, and then its problems are added.

    Args:
        where: the place of the part's key, for what is wrong with the part as a whole.
        name: what messages call the part: `run`, `crews.research`, or "a rows entry".
        broken: places whose value is known to be wrong already.
        also: keys that would make it another part, for a hint about a key that is not known.
    """
    if not isinstance(node, MapNode):
        if isinstance(node, ScalarNode) and node.value is None:
            node = MapNode(node.where)  # `run:` with everything below it commented out
        else:
            problems.at(node.where, f"{_title(name)} must be a mapping, {found(node)} was found")
            return None
    try:
        return model.model_validate(_without_nulls(node, model))
    except ValidationError as exc:
        told: set[tuple[Location, str]] = set()
        for error in exc.errors(include_url=False):
            place, message = _sentence(error, node, where, name, model, also)
            kind = error["type"] if error["type"] in {"missing", "extra_forbidden"} else "value"
            # a value that fits none of several kinds is one mistake, not one for each kind
            if place in broken or (kind == "value" and (place, kind) in told):
                continue
            told.add((place, kind))
            problems.at(place, message)
        return None


def found(node: Node) -> str:
    """What stands there, as written: a variable is shown by its name and not by what it holds."""
    if isinstance(node, ListNode):
        return "a list"
    if isinstance(node, MapNode):
        return "a mapping"
    return "nothing" if node.value is None else shown(node.text)


def _without_nulls(node: MapNode, model: type[Settings]) -> dict[str, Any]:
    """The data; a known key without a value is as good as absent."""
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
    """`run.retry.on[0]`."""
    text = ".".join(first)
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _title(name: str) -> str:
    return name if " " in name else f"`{name}`"


def _sentence(
    error: ErrorDetails, node: MapNode, where: Location, name: str, model: type[Settings], also: tuple[str, ...]
) -> tuple[Location, str]:
    kind, path = error["type"], error["loc"]
    parent, target, reached = _follow(node, path)
    words = [str(word) for word in path]
    section = ".".join([*([] if " " in name else [name]), *words[:-1]]) or name
    if kind == "missing":
        return (where if len(path) == 1 else parent.where), f"{_title(section)} has no {named(words[-1])}"
    if kind == "extra_forbidden" and isinstance(parent, MapNode):
        known = [*_known_keys(model, words[:-1]), *also]
        hint = nearest(words[-1], known) or f"; its keys are {listed(known, 12)}"
        return parent.keys.get(words[-1], parent.where), f"unknown key {named(words[-1])} in {_title(section)}{hint}"
    own = _dotted([] if " " in name else [name], path[:reached]) or name
    place = where if not path else target.where
    if _SECRET in words[:1]:
        return place, f"`{own}` must be text"
    return place, f"{_title(own)}{_complaint(error, target)}"


def _complaint(error: ErrorDetails, target: Node) -> str:
    kind, context = error["type"], error.get("ctx", {})
    was = f", {found(target)} was found"
    if kind == "value_error":
        reason = str(context["error"])
        if isinstance(target, ScalarNode):
            reason = reason.replace(repr(target.value), shown(target.text))  # not what a variable holds
        return f": {reason}"
    if kind in _BOUNDS:
        key, phrase = _BOUNDS[kind]
        return " must be " + phrase.format(context[key]) + was
    if kind == "literal_error":
        return f" must be {context['expected']}{was}"
    if kind in _KINDS:
        return f" must be {_KINDS[kind]}{was}"
    if kind == "too_short":
        return " must not be empty"
    return f": {error['msg']}{was}"


def _follow(node: Node, path: tuple[str | int, ...]) -> tuple[Node, Node, int]:
    """The nodes that a path of pydantic leads through: the last but one, the last, and how far it could be followed.

    The path may end in names that are pydantic's own (the kinds of a union).
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
    """The settings that a field holds, whatever else it may be."""
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

"""Read the section `accept:` of a job file. A rule that cannot be compiled is an error with its place."""

from collections.abc import Iterator
from typing import Any

from jinja2 import Environment, meta

from batchcrew.config.accept import AcceptSettings
from batchcrew.jobfile.answer_rules import (
    VARIABLES,
    AnswerTemplate,
    Contains,
    Holds,
    IsJson,
    JobFileRules,
    MatchesSchema,
    MinLength,
    NotEmpty,
    NotMatching,
    Pattern,
    Rule,
    Validator,
)
from batchcrew.jobfile.findings import Findings
from batchcrew.jobfile.nodes import ListNode, MapNode, Node
from batchcrew.jobfile.problems import listed, nearest, shown
from batchcrew.jobfile.template import TemplateProblem
from batchcrew.jobfile.validation_errors import validated
from batchcrew.model.job import Location

_GLOBALS = frozenset({"range", "dict"})
"""Names that every template has."""
_EXTRA = "pip install 'batchcrew[accept]'"
_MASK = "the value"
"""Replaces values in messages about a schema, because an answer may be 64 MB."""


class _Mistake(Exception):
    """A rule cannot be compiled. Its text is a message."""

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.path = path


def read_rules(root: MapNode, today: str, findings: Findings) -> JobFileRules:
    """Return the rules of `accept:`, the default ones if the job file has none; mistakes are added to `findings`."""
    node = root.items.get("accept")
    if node is None:
        return JobFileRules()
    settings = validated(AcceptSettings, node, root.keys["accept"], "accept", findings)
    if settings is None or not isinstance(node, MapNode):
        return JobFileRules()
    return JobFileRules(_rules(settings, node, today, findings))


def _rules(settings: AcceptSettings, node: MapNode, today: str, findings: Findings) -> Iterator[Rule]:
    if settings.not_empty:
        yield NotEmpty()
    if settings.min_length is not None:
        yield MinLength(settings.min_length)
    yield from map(Contains, settings.contains)
    for number, text in enumerate(settings.not_matching):
        place = _place(node, ("not_matching", number))
        if place in findings.broken:
            continue
        try:
            yield NotMatching(text, _pattern(text))
        except _Mistake as mistake:
            findings.problems.at(place, f"`accept.not_matching`: {mistake}")
    if settings.json_ is True:
        yield IsJson()
    elif isinstance(settings.json_, dict):
        try:
            yield MatchesSchema(_validator(settings.json_))
        except _Mistake as mistake:
            findings.problems.at(_place(node, ("json", *mistake.path)), f"`accept.json`: {mistake}")
    if settings.expression is not None:
        place = _place(node, ("expression",))
        try:
            yield Holds(_expression(settings.expression, place), today)
        except (_Mistake, TemplateProblem) as mistake:
            findings.problems.at(place, str(mistake))


def _place(node: MapNode, path: tuple[str | int, ...]) -> Location:
    """Return the place of the value at the end of a path, as far as it can be followed."""
    target: Node = node
    for step in path:
        if isinstance(target, MapNode) and str(step) in target.items:
            target = target.items[str(step)]
        elif isinstance(target, ListNode) and isinstance(step, int) and step < len(target.items):
            target = target.items[step]
        else:
            break
    return target.where


def _pattern(text: str) -> Pattern:
    try:
        import re2  # noqa: PLC0415 - an extra, which few job files need
    except ImportError:
        raise _Mistake(f"a regular expression requires `{_EXTRA}`; `contains` does not") from None
    options = re2.Options()
    options.log_errors = False  # on standard error
    try:
        pattern: Pattern = re2.compile(text, options)
    except re2.error as error:
        words = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise _Mistake(
            f"invalid regular expression: {shown(text)} ({words}; RE2 has no look-around and no back-references)"
        ) from None
    except UnicodeEncodeError:
        raise _Mistake(f"invalid regular expression: {shown(text)} (it is not text)") from None
    return pattern


def _validator(schema: dict[str, Any]) -> Validator:
    try:
        import jsonschema_rs  # noqa: PLC0415 - an extra, which few job files need
    except ImportError:
        raise _Mistake(f"a JSON Schema requires `{_EXTRA}`; `json: true` does not") from None
    try:
        validator: Validator = jsonschema_rs.validator_for(
            schema,
            mask=_MASK,
            # linear time; the default engine backtracks
            pattern_options=jsonschema_rs.RegexOptions(),
            retriever=_refuse,
        )
    except Exception as error:  # noqa: BLE001 - the library's errors have no common class
        message = str(getattr(error, "message", None) or error)
        if message == f'{_MASK} is not a "regex"':
            message = "a pattern is invalid, or uses look-around or back-references"
        path = tuple(getattr(error, "instance_path", None) or ())
        at = f" (at {'.'.join(map(str, path))})" if path else ""
        raise _Mistake(f"invalid JSON Schema: {message[:300]}{at}", path) from None
    return validator


def _refuse(uri: str) -> Any:
    """Refuse to load a schema from elsewhere, because verdicts must not depend on a server."""
    raise ValueError(f"{uri} is not in the job file")


def _expression(text: str, where: Location) -> AnswerTemplate:
    """Compile an expression.

    Raises:
        _Mistake: it uses an unknown name.
        TemplateProblem: it is not valid.
    """
    template = AnswerTemplate(text, where=where, name="accept.expression", condition=True)
    tree = Environment().parse(text if "{{" in text or "{%" in text else "{{ " + text + " }}")  # noqa: S701 - not rendered
    for name in sorted(meta.find_undeclared_variables(tree) - _GLOBALS - set(VARIABLES)):
        hint = nearest(name, VARIABLES) or f" (expected one of {listed(VARIABLES)})"
        raise _Mistake(f"{template}: unknown name {shown(name)}{hint}")
    return template

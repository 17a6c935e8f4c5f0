"""Jinja2 templates over one row: sandboxed, strict about names, with bounded results.

A template can use the row's columns by name, all of them as `row` (for names that are not identifiers:
`row['first name']`), and `date`, today as 2026-01-31 (a column named `date` takes precedence).

A template that consists of one expression keeps the type of its value: `{{ age | int }}` is a number, and `{{ tags }}`
of a JSONL row is the list in that row. CSV cells are text. Other templates yield text.

The sandbox is for files of unknown origin: attributes that lead out of a value are refused. The size of each value, the
number of steps and the time of a rendering are bounded (`template_limits`).
"""

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.environment import Template as Compiled
from jinja2.environment import TemplateExpression

from batchcrew.jobfile.problems import nearest, shown
from batchcrew.jobfile.sandbox import Sandbox, charge, make_sandbox
from batchcrew.jobfile.template_limits import MAX_TEXT, Clock, LimitReached, Meter, begin
from batchcrew.jobfile.template_numbers import NotNumber
from batchcrew.model.job import Location

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", "", "none"})

Render = Callable[[Mapping[str, Any]], Any]


class TemplateProblem(Exception):
    """A template is not valid, or cannot be rendered for a row. Its text is a message."""

    def __init__(self, message: str, unknown: str | None = None) -> None:
        super().__init__(message)
        self.unknown = unknown
        """The name, if the reason is an undefined name."""


class Template:
    """One template of the job file, compiled.

    Raises:
        TemplateProblem: the text is not a valid template.
    """

    def __init__(
        self, text: str, *, where: Location, name: str, condition: bool = False, clock: Clock = time.thread_time
    ) -> None:
        """Compile the template of the key `name` (`id`, `inputs.age`); a `condition` may be written without braces."""
        self.where = where
        self.name = name
        self._text = text
        self._clock = clock
        if condition and "{{" not in text and "{%" not in text:
            text = "{{ " + text + " }}"
        sandbox = make_sandbox()
        try:
            tree = sandbox.parse(text)
            self.names = frozenset(_names(tree))
            self.uses_date = any(found.name == "date" for found in tree.find_all(nodes.Name))
            self._data = sum(len(part.data) for part in tree.find_all(nodes.TemplateData))
            only = _only_expression(tree)
            self._metered = not isinstance(only, nodes.Name)
            if isinstance(only, nodes.Name):
                self._render = _lookup(only.name, sandbox)
            elif only is None:
                self._render = _text_render(sandbox.from_string(charge(tree, sandbox)))
            else:
                body = [nodes.Assign(nodes.Name("result", "store", lineno=1), only, lineno=1)]
                compiled = sandbox.from_string(charge(nodes.Template(body, lineno=1), sandbox))
                self._render = _value_render(TemplateExpression(compiled, undefined_to_none=False))
        except TemplateSyntaxError as exc:
            line = f" in its line {exc.lineno}" if "\n" in text else ""
            raise TemplateProblem(f"{self} is not a valid template{line}: {exc.message}") from None
        except (TemplateError, RecursionError, SyntaxError, MemoryError, OverflowError) as exc:
            raise TemplateProblem(f"{self} cannot be compiled: {exc}") from None

    def __str__(self) -> str:
        return f"`{self.name}` {shown(self._text)}"

    @property
    def _place(self) -> str:
        return f"{self.where.file}:{self.where.line}:{self.where.column}"

    def render(self, row: Mapping[str, Any], today: str) -> Any:
        """Return the template's value for a row.

        Raises:
            TemplateProblem: a name is not defined, a filter fails, or the value is too large or does not exist in JSON.
        """
        if self._metered:
            begin(Meter(self._clock, self._data, self._given(row)))
        try:
            value = self._render(self._variables(row, today))
            return _checked(value)
        except UndefinedError as exc:
            unknown, message = _undefined_words(exc, row)
            raise TemplateProblem(f"{self}: {message}", unknown) from None
        except (NotNumber, LimitReached) as exc:
            raise TemplateProblem(f"{self} (at {self._place}): {exc}") from None
        except RecursionError:
            raise TemplateProblem(f"{self} (at {self._place}): nested too deeply; use less recursion") from None
        except Exception as exc:  # noqa: BLE001 - filters of a template raise whatever Python raises
            raise TemplateProblem(f"{self}: {_plain_words(exc)}") from None

    def _given(self, row: Mapping[str, Any]) -> int:
        """Return the number of characters that values may have beyond the usual limit."""
        del row
        return 0

    def _variables(self, row: Mapping[str, Any], today: str) -> Mapping[str, Any]:
        return {"date": today, **row, "row": row}

    def text(self, row: Mapping[str, Any], today: str) -> str:
        """Return the value as text. Only text and whole numbers are allowed.

        Raises:
            TemplateProblem: as `render`.
        """
        value = self.render(row, today)
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise TemplateProblem(f"{self}: invalid value: {shown(value)} (expected text)")

    def holds(self, row: Mapping[str, Any], today: str) -> bool:
        """Return the value as true or false. Text must be a plain yes or no, unlike that of `{{ email }}`.

        Raises:
            TemplateProblem: as `render`, and for other text.
        """
        value = self.render(row, today)
        if not isinstance(value, str):
            return bool(value)
        word = value.strip().casefold()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise TemplateProblem(
            f"{self}: invalid value: {shown(value)} (expected true or false, as in \"{{{{ country == 'JP' }}}}\")"
        )


def _names(tree: nodes.Template) -> Iterator[str]:
    """Yield the names that a template uses, including those in `row['first name']` and `row.first`."""
    for name in tree.find_all(nodes.Name):
        yield name.name
    for attribute in tree.find_all(nodes.Getattr):
        if isinstance(attribute.node, nodes.Name) and attribute.node.name == "row":
            yield attribute.attr
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.node, nodes.Name) and item.node.name == "row" and isinstance(item.arg, nodes.Const):
            yield str(item.arg.value)


def _only_expression(tree: nodes.Template) -> nodes.Expr | None:
    """Return the expression of a template that consists of one."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output) or len(tree.body[0].nodes) != 1:
        return None
    only = tree.body[0].nodes[0]
    return None if isinstance(only, nodes.TemplateData) else only


def _lookup(name: str, sandbox: Sandbox) -> Render:
    """Render `{{ name }}`, the most common template, ten times as fast as compiled code."""

    def render(variables: Mapping[str, Any]) -> Any:
        return variables[name] if name in variables else sandbox.undefined(name=name)

    return render


def _value_render(expression: TemplateExpression) -> Render:
    def render(variables: Mapping[str, Any]) -> Any:
        return expression(variables)

    return render


def _text_render(template: Compiled) -> Render:
    def render(variables: Mapping[str, Any]) -> Any:
        pieces = []
        length = 0
        for piece in template.generate(variables):
            length += len(piece)
            if length > MAX_TEXT:
                raise LimitReached(f"the text is longer than {MAX_TEXT:,} characters")
            pieces.append(piece)
        return "".join(pieces)

    return render


def _checked(value: Any) -> Any:
    """Return the value, if it exists in JSON and is not too large."""
    if type(value) is str:
        if len(value) > MAX_TEXT:
            raise LimitReached(f"the text is longer than {MAX_TEXT:,} characters")
        return value
    if isinstance(value, Undefined):
        str(value)  # raises UndefinedError with the name …
        raise ValueError("missing value; an `if` needs its `else`")  # … except for `x if y`, which is lenient
    if isinstance(value, str):  # Markup of a filter such as `escape`
        return _checked(str(value))
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} does not exist in JSON")
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple | list):
        return [_checked(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _checked(item) for key, item in value.items()}
    hint = "; end with `| list`" if isinstance(value, Iterator | range) else ""
    raise ValueError(f"invalid value: a {type(value).__name__} (expected text, a number, a list or a mapping){hint}")


def _undefined_words(exc: UndefinedError, row: Mapping[str, Any]) -> tuple[str | None, str]:
    message = exc.message or "a name is not defined"
    match = re.match(r"'(\w+)' is undefined", message)
    if match:
        name = match[1]
        return name, f"unknown column {shown(name)}{nearest(name, row)}"
    match = re.match(r"'dict object' has no attribute '(.+)'", message, re.DOTALL)
    if match:
        return None, f"unknown key {shown(match[1])}{nearest(match[1], row)}"
    return None, message


def _plain_words(exc: Exception) -> str:
    return f"{exc}" if isinstance(exc, TemplateError | ValueError) else f"{type(exc).__name__}: {exc}"

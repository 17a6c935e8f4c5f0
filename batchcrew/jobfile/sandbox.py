"""The Jinja2 environment of templates: it refuses unsafe operations, and charges the meter of a rendering."""

import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from jinja2 import StrictUndefined, Undefined, nodes, pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import LoopContext, Macro, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from batchcrew.jobfile.problems import shown
from batchcrew.jobfile.template_limits import LimitReached, counted, limited, meter, replaced, size
from batchcrew.jobfile.template_numbers import float_filter, int_filter

MAX_RANGE = 10_000
"""Maximum length of a `range()`."""
MAX_POWER = 10_000
"""Maximum number of bits of an integer power."""
MAX_WIDTH = 10_000
"""Maximum width that a text is padded to."""
MAX_SLOW = 2**16
"""Maximum size of a value for filters whose time can grow with the square of it."""

# They pad without a limit, or return bytes, which the operators below do not expect.
_REFUSED_METHODS = frozenset({"center", "expandtabs", "ljust", "rjust", "zfill", "encode", "to_bytes", "translate"})
_SLOW = ("pprint", "striptags", "urlize", "wordwrap", "xmlattr", "title", "wordcount")
_WIDTH = re.compile(r"[0-9]{5,}|\*")
# A name with a space cannot be written in a template.
_LOOP, _CONCAT, _SIZED = " loop", " concat", " sized"


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment. Its operators, calls and filters are bounded."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute `left operator right`, unless the result would be too large."""
        if operator == "+":
            if isinstance(left, str | list | tuple):
                meter().produce(size(left) + size(right))
        elif operator == "*":
            _check_product(left, right)
        elif operator == "**":
            if isinstance(left, int) and isinstance(right, int) and left.bit_length() * abs(right) > MAX_POWER:
                raise LimitReached("the power is too large; use smaller numbers")
        elif isinstance(left, str):
            _check_format(left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - jinja2's names
        """Call a function, method or macro of a template."""
        current = meter()
        current.step()
        if isinstance(__obj, Macro):
            current.produce(current.data)
        elif isinstance(__obj, LoopContext) and args:  # loop(children) of a recursive loop
            args = (counted(args[0], current.data), *args[1:])
        text = getattr(__obj, "__self__", None)
        if isinstance(text, str):
            name = getattr(__obj, "__name__", "")
            if name == "replace" and len(args) >= 2:
                replaced(text, *args[:3])
            elif name == "join" and args:
                args = (_joined(text, args[0]),)
        return limited(super().call(__context, __obj, *args, **kwargs))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether a template may use an attribute."""
        return attr not in _REFUSED_METHODS and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return a bounded `str.format`; None if the value is another method."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        text = value.__self__
        # Widths can be nested as in "{:{}}".format(x, 10**9): only the plain form is allowed.
        if _WIDTH.search(text) or re.search(r":[^}]*\{", text):
            raise LimitReached("the format is too wide; use a width of at most 9999")

        @wraps(wrapped)
        def bounded(*args: Any, **kwargs: Any) -> str:
            meter().produce(len(text) + text.count("{") * size((args, kwargs)))
            return wrapped(*args, **kwargs)

        return bounded


class _Charges(NodeTransformer):
    """Rewrites loops, `~` and literals of a template so that they charge the meter."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - jinja2's name
        data = sum(len(text.data) for part in node.body for text in part.find_all(nodes.TemplateData))
        data += sum(len(part.data) for part in node.body if isinstance(part, nodes.TemplateData))
        self.generic_visit(node)
        node.iter = _filter(node.iter, _LOOP, nodes.Const(data, lineno=node.lineno))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - jinja2's name
        self.generic_visit(node)
        return _filter(nodes.List(node.nodes, lineno=node.lineno), _CONCAT)

    def _literal(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        stored = isinstance(node, nodes.Tuple) and node.ctx != "load"
        empty = not node.items
        return node if stored or empty else _filter(node, _SIZED)

    visit_List = visit_Tuple = visit_Dict = _literal  # noqa: N815 - jinja2's names


def charge(tree: nodes.Node, sandbox: Sandbox) -> Any:
    """Return the tree with the places that charge the meter."""
    charged = _Charges().visit(tree)
    charged.set_environment(sandbox)
    return charged


def make_sandbox() -> Sandbox:
    """Return a new environment."""
    # No cache, because each entry keeps its compiled template. No optimization, because it evaluates constant parts
    # during compilation, where their errors are lost; `finalize` with a context has the same effect on outputs.
    sandbox = Sandbox(
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        cache_size=0,
        optimized=False,
        finalize=_output,
    )
    sandbox.globals = {"range": _bounded_range, "dict": dict}
    filters: dict[str, Any] = dict(FILTERS)
    filters |= {"center": _center, "indent": _indent, "format": _format, "replace": _replace, "join": _join}
    filters |= {"int": int_filter, "float": float_filter, "round": _round, "sum": _sum}
    filters |= {name: _slow(name) for name in _SLOW}
    for name in ("batch", "slice", "random"):  # unbounded padding, and values that differ when the file is read again
        filters.pop(name)
    sandbox.filters = {name: _bounded(function) for name, function in filters.items()}
    sandbox.filters |= {_LOOP: pass_context(_loop), _CONCAT: _concat, _SIZED: limited}
    return sandbox


def _filter(node: Any, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _loop(context: Any, items: Iterable[Any], data: int) -> Iterable[Any]:
    del context
    return counted(items, data)


def _concat(parts: list[Any]) -> str:
    for part in parts:
        if isinstance(part, Undefined):
            str(part)
    meter().produce(size(parts))
    return str_join(parts)


@pass_context
def _output(context: Any, value: Any) -> Any:
    del context
    meter().produce(len(value) if type(value) is str else size(value))
    return value


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        meter().step()
        return limited(function(*args, **kwargs))

    return bounded


def _slow(name: str) -> Callable[..., Any]:
    function = FILTERS[name]
    at = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        if len(args) > at and size(args[at]) > MAX_SLOW:
            raise LimitReached(f"`{name}` of more than {MAX_SLOW:,} characters takes too long; shorten the text")
        return function(*args, **kwargs)

    return bounded


def _check_product(left: Any, right: Any) -> None:
    for one, times in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple) and isinstance(times, int):
            meter().produce(max(0, size(one) * times))
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > MAX_POWER:
        raise LimitReached("the product is too large; use smaller numbers")


def _check_format(text: str, values: Any) -> None:
    if _WIDTH.search(text):
        raise LimitReached("the format is too wide; use a width of at most 9999")
    times = text.count("%") if isinstance(values, dict) else 1
    meter().produce(len(text) + times * size(values))


def _bounded_range(*args: int) -> range:
    numbers = range(*args)
    try:
        length = len(numbers)
    except OverflowError:
        length = MAX_RANGE + 1
    if length > MAX_RANGE:
        raise LimitReached(f"a range is too long (at most {MAX_RANGE:,} numbers are allowed)")
    return numbers


def _center(value: object, width: int = 80) -> str:
    _check_width(width)
    return str(value).center(width)


def _indent(s: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:  # noqa: FBT001 - jinja2's
    length = width if isinstance(width, int) else len(width)
    _check_width(length)
    meter().produce(size(s) + max(0, length) * (len(str(s).splitlines()) + 1))
    return str(FILTERS["indent"](s, width, first, blank))


def _check_width(width: int) -> None:
    if width > MAX_WIDTH:
        raise LimitReached(f"a width of {shown(width)} is too large (at most {MAX_WIDTH} is allowed)")


def _format(value: str, *args: Any, **kwargs: Any) -> str:
    _check_format(value, kwargs or args)
    return str(FILTERS["format"](value, *args, **kwargs))


def _replace(s: str, old: str, new: str, count: int | None = None) -> str:
    meter().produce(size(s))
    replaced(str(s), str(old), str(new), -1 if count is None else count)
    return str(s).replace(str(old), str(new), -1 if count is None else count)


def _joined(separator: str, values: Iterable[Any]) -> list[Any]:
    items = list(counted(values))
    meter().produce(size(items) + len(items) * len(separator))
    return items


@pass_context
def _join(context: Any, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    if attribute is not None:
        value = FILTERS["map"](context, value, attribute=attribute)
    return str(d).join(map(str, _joined(str(d), value)))


def _round(value: float, precision: int = 0, method: str = "common") -> Any:
    if abs(precision) > 300:
        raise LimitReached("`round` has at most 300 digits")
    return FILTERS["round"](value, precision, method)


@pass_context
def _sum(context: Any, iterable: Iterable[Any], attribute: str | int | None = None, start: Any = 0) -> Any:
    items = list(counted(iterable))
    if not isinstance(start, int | float) and len(items) * size(items) > 16 * 2**20:
        raise LimitReached("`sum` of this many lists takes too long; use fewer")
    return FILTERS["sum"](context.environment, items, attribute, start)

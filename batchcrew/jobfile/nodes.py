"""The nodes of a job file with their places: YAML by the core rules of version 1.2, and JSON.

PyYAML yields the events. This module decides what a plain scalar means (`no`, `on`, `12:30` and `2024-01-01` are text)
and limits malicious files: nesting is bounded, the size of aliases is counted before they are expanded, and duplicate
keys and tags that are not part of the core schema are problems.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from batchcrew.jobfile.problems import Problems, shown
from batchcrew.model.job import Location

MAX_DEPTH = 50
"""Levels of nesting; a job file needs about six."""
MAX_ALIASED_NODES = 100_000
"""Maximum number of nodes that all aliases together expand to."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
MAX_DIGITS = 4000
"""Python does not read longer integers."""

_TAG = "tag:yaml.org,2002:"


@dataclass(slots=True, eq=False)
class ScalarNode:
    """A scalar: `value` is its meaning, `text` how it is written (with escapes resolved)."""

    where: Location
    value: str | int | float | bool | None
    text: str
    size: int = 1


@dataclass(slots=True, eq=False)
class ListNode:
    where: Location
    items: "list[Node]" = field(default_factory=list)
    size: int = 1


@dataclass(slots=True, eq=False)
class MapNode:
    where: Location
    items: "dict[str, Node]" = field(default_factory=dict)
    keys: dict[str, Location] = field(default_factory=dict)
    """The place of each key."""
    size: int = 1


Node: TypeAlias = ScalarNode | ListNode | MapNode


def _tag(tag: str | None) -> str:
    return shown((tag or "").replace(_TAG, "!!"))


def written_text(node: ScalarNode) -> None:
    """Replace the scalar's value by its text, so that an id of `007` is not a number. An empty value remains empty."""
    if node.value is not None and not isinstance(node.value, str):
        node.value = node.text


def plain_data(node: Node) -> Any:
    """Return the node as dicts, lists and scalars."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [plain_data(item) for item in node.items]
    return {key: plain_data(item) for key, item in node.items.items()}


def scalars(node: Node) -> Iterator[ScalarNode]:
    """Yield every scalar of the tree once, in the order of the file, also if several aliases refer to it."""
    seen: set[int] = set()
    todo: list[Node] = [node]
    while todo:
        current = todo.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, ScalarNode):
            yield current
        elif isinstance(current, ListNode):
            todo.extend(reversed(current.items))
        else:
            todo.extend(reversed(current.items.values()))


class Refused(Exception):
    """Reading cannot continue; the problem is already recorded."""


@dataclass(slots=True)
class _Open:
    """A collection that has not ended yet."""

    node: ListNode | MapNode
    anchor: str | None
    key: str | None = None
    key_where: Location | None = None
    repeated: bool = False
    """The key is a duplicate: its value is checked and then dropped."""
    merging: bool = False
    merges: "list[tuple[Location, Node]]" = field(default_factory=list)


class Builder:
    """Builds nodes from the events of a parser, in YAML or JSON."""

    def __init__(self, problems: Problems) -> None:
        self.root: Node | None = None
        self._problems = problems
        self._open: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._aliased = 0
        self._notes: list[tuple[Location, str]] = []

    @property
    def notes(self) -> list[tuple[Location, str]]:
        """Notes about values that are allowed and may be mistakes."""
        return self._notes

    @property
    def expects_key(self) -> bool:
        top = self._open[-1] if self._open else None
        return top is not None and isinstance(top.node, MapNode) and top.key is None

    def scalar(
        self, text: str, where: Location, *, plain: bool, tag: str | None = None, anchor: str | None = None
    ) -> None:
        """Add a scalar; `plain` means that its text is not quoted."""
        if not text.isascii() and _SURROGATE.search(text):
            self._problems.at(where, "invalid character: half of a surrogate pair")
            text = _SURROGATE.sub("?", text)
        if self.expects_key:
            self._key(text, where, plain=plain)
            return
        node = ScalarNode(where, self._meaning(text, where, plain=plain, tag=tag), text)
        self._place(node, anchor)

    def open(
        self, kind: type[ListNode] | type[MapNode], where: Location, tag: str | None = None, anchor: str | None = None
    ) -> None:
        """Begin a list or a mapping."""
        core = _TAG + ("seq" if kind is ListNode else "map")
        if tag not in {None, "!", core}:
            self._problems.at(where, f"unknown tag {_tag(tag)}; job files do not support tags")
        if self.expects_key:
            self._problems.at(
                where, "invalid key: a list or mapping (expected text; put quotes around a value that begins with {)"
            )
            raise Refused
        if len(self._open) >= MAX_DEPTH:
            self._problems.at(where, f"nested deeper than {MAX_DEPTH} levels")
            raise Refused
        self._open.append(_Open(kind(where), anchor))

    def close(self) -> None:
        """End the innermost list or mapping."""
        done = self._open.pop()
        if isinstance(done.node, MapNode):
            for where, source in done.merges:
                self._merge(done.node, source, where)
        self._place(done.node, done.anchor)

    def alias(self, anchor: str, where: Location) -> None:
        """Add the node of `&anchor` again, for an alias `*anchor`."""
        if self.expects_key:
            self._problems.at(where, "invalid key: an alias (expected text)")
            raise Refused
        node = self._anchors.get(anchor)
        if node is None:
            inside = any(entry.anchor == anchor for entry in self._open)
            message = (
                f"the alias *{anchor} is inside the node that it refers to"
                if inside
                else f"unknown anchor &{anchor} (expected one before the alias)"
            )
            self._problems.at(where, message)
            raise Refused
        self._aliased += node.size
        if self._aliased > MAX_ALIASED_NODES:
            self._problems.at(where, f"the aliases expand to more than {MAX_ALIASED_NODES:,} values; use fewer")
            raise Refused
        self._place(node, None)

    def _key(self, text: str, where: Location, *, plain: bool) -> None:
        top = self._open[-1]
        assert isinstance(top.node, MapNode)  # noqa: S101 - see expects_key
        top.merging = plain and text == "<<"
        # A key is text, also if a value with the same text would be a number.
        if text in top.node.keys and not top.merging:
            first = top.node.keys[text]
            self._problems.at(where, f"duplicate key {shown(text)} (first used in line {first.line})")
            top.repeated = True
        top.key, top.key_where = text, where

    def _place(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        top.node.size += node.size
        if isinstance(top.node, ListNode):
            top.node.items.append(node)
            return
        key, where = top.key, top.key_where
        assert key is not None  # noqa: S101 - a value follows its key
        assert where is not None  # noqa: S101 - set together
        top.key = top.key_where = None
        if top.merging:
            top.merges.append((where, node))
        elif not top.repeated:
            top.node.items[key] = node
            top.node.keys[key] = where
        top.merging = top.repeated = False

    def _merge(self, into: MapNode, source: Node, where: Location) -> None:
        """Merge `<<: *base` (or a list of them): the mapping's keys take precedence, then those of the earlier base."""
        bases = source.items if isinstance(source, ListNode) else [source]
        for base in bases:
            if not isinstance(base, MapNode):
                self._problems.at(where, "invalid value of << (expected one or several mappings, as in `<<: *base`)")
                return
            for key, item in base.items.items():
                if key not in into.items:
                    into.items[key] = item
                    into.keys[key] = base.keys[key]

    def _meaning(self, text: str, where: Location, *, plain: bool, tag: str | None) -> Any:
        if tag in {None, "!"}:
            return self._resolve(text, where) if plain and tag is None else text
        if tag == _TAG + "str":
            return text
        value = self._resolve(text, where)
        kind = {_TAG + "int": int, _TAG + "float": float, _TAG + "bool": bool, _TAG + "null": type(None)}.get(str(tag))
        if kind is None:
            self._problems.at(where, f"unknown tag {_tag(tag)}; job files do not support tags")
            return text
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            self._problems.at(where, f"invalid value for its tag {_tag(tag)}: {shown(text)}")
        return value

    def _resolve(self, text: str, where: Location) -> str | int | float | bool | None:
        """Return the value of a plain scalar by the core schema of YAML 1.2."""
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if text[0] not in "-+.0123456789":
            return text
        if _INT.fullmatch(text):
            if len(text) > MAX_DIGITS:
                self._problems.at(
                    where,
                    f"the number has {len(text)} digits (at most {MAX_DIGITS} are allowed; quote it if it is text)",
                )
                return text
            digits = text.lstrip("+-")
            if len(digits) > 1 and digits[0] == "0":
                self._notes.append((where, f"{text} is read as the number {int(text)}; quote it to keep its zeros"))
            else:
                self._note_changed(text, int(text), where)
            return int(text)
        if _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
            self._note_changed(text, int(text, 0), where)
            return int(text, 0)
        is_float = _FLOAT.fullmatch(text)
        if is_float or _NOT_FINITE.fullmatch(text):
            number = float(text) if is_float else math.inf
            if not math.isfinite(number):
                self._problems.at(where, f"{text} cannot be sent to a crew: it does not exist in JSON; quote it")
                return 0.0
            self._note_changed(text, number, where)
            return number
        return text

    def _note_changed(self, text: str, number: float, where: Location) -> None:
        """Add a note about a number whose text would change: a phone number, a version, a code."""
        if repr(number) != text:
            self._notes.append((where, f"{text} is read as the number {number!r}; quote it to keep its text"))

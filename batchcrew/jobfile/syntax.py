"""Parse a document in YAML (events of PyYAML) or JSON, and feed a `Builder`."""

import json
import re
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import yaml

from batchcrew.jobfile.depth import too_deep
from batchcrew.jobfile.nodes import MAX_DEPTH, Builder, ListNode, MapNode, Node, Refused
from batchcrew.jobfile.problems import Problems, shown
from batchcrew.model.job import Location

MAX_DOCUMENT_BYTES = 32 * 2**20
"""Maximum size of a document, which is completely in memory; rows files are not."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Characters that YAML does not allow (tab, line ends and everything printable are allowed).
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|[^\s,:{}\[\]"]+')


def read_document(path: Path, file: str, problems: Problems) -> tuple[Node | None, list[tuple[Location, str]]]:
    """Return the document at `path` as nodes, and notes about values that may be mistakes.

    The node is None after a problem that ends reading.

    Args:
        file: the name of the file in messages.
    """
    text = _read_text(path, file, problems)
    if text is None:
        return None, []
    builder = Builder(problems)
    try:
        if path.suffix.lower() == ".json":
            _feed_json(text, file, builder, problems)
        else:
            _feed_yaml(text, file, builder, problems)
    except Refused:
        return None, builder.notes
    if builder.root is None:
        problems.at(Location(file), "the file contains only comments")
    # no notes about numbers in JSON, where text has quotes
    return builder.root, [] if path.suffix.lower() == ".json" else builder.notes


def _read_text(path: Path, file: str, problems: Problems) -> str | None:
    where = Location(file)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as exc:
        problems.at(where, f"cannot be read: {exc.strerror}")
        return None
    if len(raw) > MAX_DOCUMENT_BYTES:
        problems.at(where, f"larger than {MAX_DOCUMENT_BYTES // 2**20} MiB; put the jobs into a .csv or .jsonl file")
        return None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.at(where, "the text is UTF-16; save it as UTF-8")
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        column = len(raw[raw.rfind(b"\n", 0, exc.start) + 1 : exc.start].decode("utf-8-sig", "replace")) + 1
        problems.at(Location(file, line, column), f"byte 0x{raw[exc.start]:02x} is not UTF-8; save the file as UTF-8")
        return None
    if not text.strip():
        problems.at(where, "the file is empty")
        return None
    if bad := _UNPRINTABLE.search(text):
        problems.at(
            _Lines(text, file).place(bad.start()), f"the character {shown(bad[0])} is not allowed in a text file"
        )
        return None
    return text


class _Lines:
    """Converts an offset in a text to its place."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._starts = [0, *accumulate(len(line) for line in text.split("\n"))]
        self._starts = [start + number for number, start in enumerate(self._starts)]

    def place(self, offset: int) -> Location:
        line = bisect_right(self._starts, offset)
        return Location(self._file, line, offset - self._starts[line - 1] + 1)


def _feed_json(text: str, file: str, builder: Builder, problems: Problems) -> None:
    """Feed the tokens of a JSON text, after the json module has checked the complete text."""
    lines = _Lines(text, file)
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as exc:
        problems.at(Location(file, exc.lineno, exc.colno), f"not valid JSON: {exc.msg}")
        raise Refused from None
    except RecursionError:
        deep = too_deep(text, limit=MAX_DEPTH)
        where = Location(file) if deep is None else lines.place(deep)
        problems.at(where, f"nested deeper than {MAX_DEPTH} levels")
        raise Refused from None
    except ValueError as exc:
        constant = re.search(r"NaN|-?Infinity", text) if isinstance(exc, _Constant) else None
        where = lines.place(constant.start()) if constant else Location(file)
        problems.at(where, str(exc) if constant else "a number has too many digits; quote it if it is text")
        raise Refused from None
    for token in _JSON_TOKEN.finditer(text):
        word, where = token[0], lines.place(token.start())
        if word == "{":
            builder.open(MapNode, where)
        elif word == "[":
            builder.open(ListNode, where)
        elif word in "}]":
            builder.close()
        elif word.startswith('"'):
            builder.scalar(json.loads(word), where, plain=False)
        else:
            builder.scalar(word, where, plain=True)


class _Constant(ValueError):
    """NaN or Infinity, which JSON does not have."""


def _refuse_constant(name: str) -> None:
    raise _Constant(f"{name} does not exist in JSON; quote it if it is text")


def _feed_yaml(text: str, file: str, builder: Builder, problems: Problems) -> None:
    documents = 0
    events = yaml.parse(text, Loader=_LOADER)
    try:
        for event in events:
            mark = event.start_mark
            where = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file)
            if isinstance(event, yaml.ScalarEvent):
                plain = event.style is None or event.style == ""
                tag = None if event.tag in {None, ""} else event.tag
                builder.scalar(event.value, where, plain=plain, tag=tag, anchor=event.anchor)
            elif isinstance(event, yaml.MappingStartEvent):
                builder.open(MapNode, where, event.tag, event.anchor)
            elif isinstance(event, yaml.SequenceStartEvent):
                builder.open(ListNode, where, event.tag, event.anchor)
            elif isinstance(event, yaml.CollectionEndEvent):
                builder.close()
            elif isinstance(event, yaml.AliasEvent):
                builder.alias(str(event.anchor), where)
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    problems.at(where, "a second document begins here (expected one document)")
                    raise Refused
    except yaml.MarkedYAMLError as exc:
        wrong = exc.problem_mark or exc.context_mark
        where = Location(file, wrong.line + 1, wrong.column + 1) if wrong else Location(file)
        problems.at(where, f"not valid YAML: {_yaml_reason(exc, text)}")
        raise Refused from None
    except yaml.YAMLError as exc:
        problems.at(Location(file), f"not valid YAML: {shown(str(exc), 200)}")
        raise Refused from None


def _yaml_reason(exc: yaml.MarkedYAMLError, text: str) -> str:
    """Return the parser's message, with a hint about a common mistake."""
    reason = exc.problem or "it cannot be read"
    if exc.context and exc.context_mark and exc.problem_mark and exc.context_mark.line != exc.problem_mark.line:
        reason += f" ({exc.context} that began in line {exc.context_mark.line + 1})"
    mark = exc.problem_mark
    lines = text.split("\n")
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if line[: len(line) - len(line.lstrip())].count("\t"):
        return f"{reason}; indent with spaces, not tabs"
    began = lines[exc.context_mark.line] if exc.context_mark and exc.context_mark.line < len(lines) else ""
    if exc.context and "flow" in exc.context and ("${" in line + began or "{{" in line + began):
        return f'{reason}; inside {{ }} and [ ] put quotes around ${{…}} and {{{{…}}}}, as in "${{CREW_URL}}"'
    if "mapping values are not allowed" in reason:
        return f"{reason}; a value that contains `: ` needs quotes"
    if "cannot start any token" in reason:
        return f"{reason}; a value that begins with %, @ or ` needs quotes"
    return reason

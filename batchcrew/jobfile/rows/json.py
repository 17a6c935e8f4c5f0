"""Read rows in JSON as a stream: one object per line (JSONL), or the objects of one list.

orjson parses most lines. It keeps the last of duplicate keys and rounds integers of more than 64 bits, so the json
module, which reports both, parses a line that may contain either.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import orjson

from batchcrew.jobfile.depth import MAX_ROW_DEPTH, TOO_DEEP, too_deep
from batchcrew.jobfile.problems import Problems, shown
from batchcrew.jobfile.rows.row_format import Row, RowFormat, RowsSource
from batchcrew.jobfile.rows.text_encoding import DEFAULT_ENCODING, add_undecodable, codec_of
from batchcrew.jobfile.rows.unfinished import CUT
from batchcrew.model.job import Location

MAX_LINE = 64 * 2**20
"""Maximum number of bytes of a line."""
_CHUNK = 2**16
_MANY_DIGITS = re.compile(rb"[0-9]{19}")
_PAIR = re.compile(rb'"\s*:')
_LONGEST_TOKEN = 5_000
"""An error within this many characters before the end of a chunk may be caused by the cut."""
_SPACE = " \t\r\n"


def _read_lines(source: RowsSource, problems: Problems) -> Iterator[Row]:
    """Yield the number and the object of each line. Blank lines are skipped."""
    path, name = source.path, source.name
    with path.open("rb") as stream:
        codec = codec_of(source.encoding)
        lines = _lines(stream) if codec == DEFAULT_ENCODING else _decoded_lines(path, codec)
        number = 0
        empty = True
        try:
            for number, line in enumerate(lines, start=1):
                row = _row(line, name, number, problems)
                if row is not None:
                    empty = False
                    yield number, row
                elif problems.full:
                    return
                else:
                    empty = empty and not line.strip()
                    if line.strip() and not line.endswith((b"\n", b"\r")) and len(line) < MAX_LINE:
                        problems.at(Location(name, number), CUT)
        except UnicodeError:
            add_undecodable(path, name, codec, problems)
            return
    if empty:
        problems.at(Location(name), "the file is empty; each line must be a JSON object")


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    first = True
    while line := stream.readline(MAX_LINE):
        if first:
            line, first = line.removeprefix(b"\xef\xbb\xbf"), False
        yield line


def _decoded_lines(path: Path, encoding: str) -> Iterator[bytes]:
    with path.open(encoding=encoding, newline="\n") as stream:
        for line in stream:
            yield line.removeprefix("\ufeff").encode()


def _row(line: bytes, name: str, number: int, problems: Problems) -> dict[str, Any] | None:
    """Return the line's object; None for a blank line, and after a problem."""
    if len(line) > MAX_ROW_DEPTH and line.count(b"[") + line.count(b"{") > MAX_ROW_DEPTH:
        deep = too_deep(line.decode("utf-8", "replace"))
        if deep is not None:
            problems.at(Location(name, number, deep + 1), TOO_DEEP)
            return None
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        if line.strip():
            if len(line) >= MAX_LINE:
                problems.at(Location(name, number), f"the line is longer than {MAX_LINE // 2**20} MiB")
            else:
                column = 0 if _not_utf8(exc) else exc.pos + 1
                problems.at(Location(name, number, column), f"not valid JSON: {_reason(exc, line)}")
        return None
    if type(value) is not dict:
        problems.at(Location(name, number), f"invalid row: {_kind(value)} (expected a JSON object)")
        return None
    # No more `":` than keys: there are no duplicate keys, and nothing is nested. (Text may contain `":` too.)
    if len(_PAIR.findall(line)) == len(value) and not _MANY_DIGITS.search(line):
        return value
    try:
        exact: dict[str, Any] = _exact(line.decode())
        return exact
    except ValueError as exc:
        problems.at(Location(name, number), str(exc))
        return None


def _exact(text: str) -> Any:
    """Return the value with exact integers.

    Raises:
        ValueError: there is a duplicate key, or an integer is longer than Python reads.
    """
    return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_refuse, parse_float=_finite)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _Wrong(f"duplicate key {shown(twice)} in one object")
    return made


class _Wrong(ValueError):
    """Valid JSON that is not a valid row."""


class _TooDeep(Exception):
    """A row is nested too deeply."""

    def __init__(self, line: int, column: int) -> None:
        super().__init__()
        self.line = line
        self.column = column


def _refuse(constant: str) -> None:
    raise _Wrong(f"{constant} does not exist in JSON; write null, or quote it if it is text")


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise _Wrong(f"the number {text} is too large")
    return number


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return {list: "a list", dict: "an object", str: "text", bool: "true or false"}.get(type(value), "a number")


def _reason(exc: json.JSONDecodeError, line: bytes) -> str:
    if re.match(rb"-?(?:NaN|Infinity)", line[exc.pos : exc.pos + 9]):
        return "NaN and Infinity do not exist in JSON; write null"
    if _not_utf8(exc):
        return "the line is not UTF-8; set the file's encoding (`encoding: cp1252`, or --encoding cp1252)"
    if "infinity" in exc.msg:
        return "the number is too large"
    return exc.msg


def _not_utf8(exc: json.JSONDecodeError) -> bool:
    return "valid UTF-8" in exc.msg


def _read_list(source: RowsSource, problems: Problems) -> Iterator[Row]:
    """Yield each object of the file's list, with its first line.

    The objects are parsed while the file is read, so only one of them (and a chunk) is in memory.
    """
    path, name = source.path, source.name
    with path.open(encoding="utf-8-sig", newline="") as stream:
        text = _ListText(stream)
        try:
            for line, value in text.values():
                if isinstance(value, dict):
                    yield line, value
                else:
                    problems.at(Location(name, line), f"invalid row: {_kind(value)} (expected a JSON object)")
                    if problems.full:
                        return
        except UnicodeDecodeError:
            problems.at(Location(name, text.line), "the text after this line is not UTF-8; save the file as UTF-8")
        except json.JSONDecodeError as exc:
            where = Location(name, text.line + exc.lineno - 1, exc.colno if exc.lineno > 1 else 0)
            problems.at(where, f"not valid JSON: {exc.msg}")
        except _Wrong as exc:
            problems.at(Location(name, text.line), str(exc))
        except _TooDeep as exc:
            problems.at(Location(name, exc.line, exc.column), TOO_DEEP)
        except ValueError:
            problems.at(Location(name, text.line), "a number has too many digits; quote it if it is text")


class _ListText:
    """The text of a JSON list, read in chunks."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decoder = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_refuse, parse_float=_finite)
        self._buffer = ""
        self._at = 0
        self._column = 0
        """The number of characters of the current line before the buffer."""
        self.line = 1
        """The current line."""

    def values(self) -> Iterator[tuple[int, Any]]:
        """Yield the first line of each value of the list, and the value.

        Raises:
            ValueError: the text is not a list, or not JSON.
        """
        if self._next() != "[":
            raise _Wrong("invalid rows file (expected a list of objects, as in [{…}, {…}])")
        self._at += 1
        if self._next() == "]":
            raise _Wrong("the list is empty (expected at least one row)")
        mark = ","
        while mark == ",":
            self._next()
            yield self.line, self._value()
            mark = self._next()
            self._at += 1
        if mark != "]":
            raise _Wrong(f"not valid JSON: {shown(mark) if mark else 'the end'} after a row (expected a comma or ])")
        if self._next():
            raise _Wrong("not valid JSON: text follows the end of the list")

    def _more(self, amount: int = _CHUNK) -> bool:
        chunk = self._stream.read(amount)
        dropped = self._buffer[: self._at]
        line_end = dropped.rfind("\n")
        self._column = self._column + len(dropped) if line_end < 0 else len(dropped) - line_end - 1
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def _next(self) -> str:
        """Return the next character that is not a blank, without consuming it; empty at the end."""
        while True:
            while self._at < len(self._buffer):
                character = self._buffer[self._at]
                if character not in _SPACE:
                    return character
                self.line += character == "\n"
                self._at += 1
            if not self._more():
                return ""

    def _value(self) -> Any:
        """Return the value that begins here.

        Raises:
            json.JSONDecodeError: the text is not JSON; its line number counts from `line`.
        """
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as exc:
                left = len(self._buffer) - self._at
                position = exc.pos - self._at
                # It may be cut: double the buffer, so that a long value is not parsed too often.
                cut = "Unterminated" in exc.msg or position > left - _LONGEST_TOKEN
                if cut and left > MAX_LINE:
                    raise _Wrong(f"a row is longer than {MAX_LINE // 2**20} MiB") from None
                if cut and self._more(max(_CHUNK, left)):
                    continue
                text = self._buffer[self._at :]
                raise json.JSONDecodeError(exc.msg, text, position) from None
            except RecursionError:
                deep = too_deep(self._buffer, self._at)
                raise self._too_deep(self._at if deep is None else deep) from None
            deep = too_deep(self._buffer, self._at, end)
            if deep is not None:
                raise self._too_deep(deep)
            self.line += self._buffer.count("\n", self._at, end)
            self._at = end
            return value

    def _too_deep(self, offset: int) -> _TooDeep:
        line = self.line + self._buffer.count("\n", self._at, offset)
        line_end = self._buffer.rfind("\n", 0, offset)
        return _TooDeep(line, offset - line_end + (self._column if line_end < 0 else 0))


JSON_LINES = RowFormat(suffixes=(".jsonl", ".ndjson"), read=_read_lines, is_batch=True, has_encoding=True)
JSON_LIST = RowFormat(suffixes=(".json",), read=_read_list)

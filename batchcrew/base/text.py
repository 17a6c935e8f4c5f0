"""Clean text of files and crews for a terminal: job ids, reasons, answers.

Such text is hostile until this module has cleaned it: an escape sequence in a job id could rewrite the lines above it,
and a bidi override could reverse a reason.
"""

import re
import unicodedata
from collections.abc import Iterator

# C0 and DEL, C1, bidi marks, overrides and isolates, line separators, the byte order mark, interlinear
# marks, lone surrogates, tags (an invisible alphabet).
_HARMFUL = (
    "\\x00-\\x1f\\x7f-\\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\\ud800-\\udfff\U000e0000-\U000e007f"
)
_HARMFUL_OR_BLANKS = re.compile(f"[{_HARMFUL}]|\\s{{2,}}|[^\\S ]")
_WORDS = re.compile(r"[^\s`]*`[^`]*`\S*|\S+")
HARMFUL_IN_BLOCK = re.compile(f"(?![\\n\\t])[{_HARMFUL}]")
_HARMFUL_OR_BREAK = re.compile(f"[{_HARMFUL}]")
_BREAKS = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BLANKS = re.compile(r"\s+")
_ROOM_PER_COLUMN = 8
"""Characters read for each column to show: escapes and combining marks take more than one."""


def escaped(character: str) -> str:
    """`\\x1b`, `\\u202e`, `\\U000e0041`: the character's number instead of its effect."""
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def clean_text(text: str, *, limit: int | None = None) -> str:
    """`text` as one clean line.

    Runs of blanks and line breaks become one space, control characters and terminal escapes are shown
    as `\\x1b`. If it is longer than `limit` terminal columns, it is cut and ends with `…`.
    """
    cut = False
    if limit is not None and len(text) > limit * _ROOM_PER_COLUMN:
        # a reason may be megabytes long; only its beginning is shown
        text, cut = text[: limit * _ROOM_PER_COLUMN], True
    if _HARMFUL_OR_BLANKS.search(text):
        text = _BLANKS.sub(" ", text)
        text = _HARMFUL_OR_BLANKS.sub(lambda match: escaped(match[0]), text)
    text = text.strip(" ")
    if limit is None:
        return text
    return shorten(f"{text} …".strip(" ") if cut else text, limit)


def clean_block(text: str) -> str:
    """`text` with its lines and tabs kept, everything else that could act on a terminal shown as `\\x1b`."""
    text = text.replace("\r\n", "\n")
    return HARMFUL_IN_BLOCK.sub(lambda match: escaped(match[0]), text)


def one_line(text: str) -> str:
    """`text` on one line with its blanks, as a path or a command needs them; line breaks are shown as `\\n`."""
    return _HARMFUL_OR_BREAK.sub(lambda match: _BREAKS.get(match[0]) or escaped(match[0]), text)


def display_width(text: str) -> int:
    """Terminal columns that a clean `text` takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def shorten(text: str, columns: int) -> str:
    """A clean `text` cut to `columns` terminal columns, `…` at its end where something was cut."""
    if len(text) <= columns and text.isascii():
        return text
    if display_width(text) <= columns:
        return text
    taken, width = [], 0
    for character in text:
        width += _character_width(character)
        if width > columns - 1:
            break
        taken.append(character)
    return ("".join(taken).rstrip(" ") + "…") if columns > 0 else ""


def clean_name(name: str, limit: int) -> str:
    """Return an id or a name as one clean line of at most `limit` terminal columns, `…` in its middle if it is cut.

    The names of one file often begin alike and differ at their end.
    """
    if limit <= 0:
        return ""
    room = limit * _ROOM_PER_COLUMN
    if len(name) > 2 * room:  # only its ends are shown
        name = f"{name[:room]}…{name[-room:]}"
    text = clean_text(name)
    if display_width(text) <= limit:
        return text
    head = shorten(text, limit - (limit - 1) // 2)
    tail, width = "", limit - display_width(head)
    for character in reversed(text):
        width -= _character_width(character)
        if width < 0:
            break
        tail = character + tail
    while tail and not _character_width(tail[0]):  # it belongs to a character that is cut off
        tail = tail[1:]
    return head + tail.lstrip(" ")


def wrap(text: str, columns: int) -> Iterator[str]:
    """Yield a clean `text` in lines of at most `columns` terminal columns, broken between words.

    A word that is longer (a path, a URL) is not cut but put on a separate line. So is a command between backticks,
    which can be copied as it is.
    """
    line = ""
    for word in _WORDS.findall(text):
        longer = f"{line} {word}" if line else word
        if line and display_width(longer) > columns:
            yield line
            longer = word
        line = longer
    if line:
        yield line


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """A clean `text` shortened and filled up to exactly `columns` terminal columns."""
    text = shorten(text, columns)
    blanks = " " * (columns - display_width(text))
    return blanks + text if right else text + blanks

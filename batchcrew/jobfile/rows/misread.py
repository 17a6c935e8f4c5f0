"""Find text that was decoded with a wrong encoding, now or before its file was written: `MÃ¼ller`, `â€™`."""

import codecs
import re
from dataclasses import dataclass

# Characters of cp1252 for the control characters of latin-1; five bytes are undefined and remain control characters.
_SHOWN = {byte: bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(0x80, 0xA0)}
_BYTES = {_SHOWN.get(byte, chr(byte)): byte for byte in range(0x80, 0x100)}
_CONTINUATIONS = "".join(character for character, byte in _BYTES.items() if byte < 0xC0)
# Characters that may follow the last letter of a word in correct text: „Spaß“, café…, AMANHÃ”, Nª, À®.
_AFTER_WORDS = (
    "\u201c\u201d\u2018\u2019\u203a\u2039«»\u2026\u2013\u2014™®"  # quotation marks, an ellipsis, dashes, signs
    "°·¹²³ªº\u00a0"
)
_STRONG = "".join(character for character in _CONTINUATIONS if character not in _AFTER_WORDS)
# Without letters that may follow others in a word (též“, íš…), and other characters that follow words.
_SYMBOLS = "".join(character for character in _STRONG if character not in "ŠšŽžŒœŸƒ†\u00b4\u00ad")
_UPPER = "A-ZÀ-ÖØ-Þ"

# UTF-8 that was decoded as cp1252 or latin-1: sequences of the length that their first character requires, with a
# character that does not follow words in correct text, or with a capital letter where correct text has none.
_MISREAD = re.compile(
    f"(?<![{_UPPER}])[ÂÃ][{re.escape(_CONTINUATIONS)}]"
    f"|(?<=[a-zß-öø-ÿ])[ÄÅ][{re.escape(_CONTINUATIONS)}]"
    f"|[ÂÃ][{re.escape(_STRONG)}]"
    f"|[ÄÅ][{re.escape(_SYMBOLS)}]"
    f"|(?:[Æ-ß][{re.escape(_CONTINUATIONS)}]){{2,}}"
    f"|[à-ï](?:[{re.escape(_SYMBOLS)}][{re.escape(_CONTINUATIONS)}]|[{re.escape(_CONTINUATIONS)}][{re.escape(_SYMBOLS)}])"
    f"|ð[{re.escape(_CONTINUATIONS)}]{{3}}"
)
_SEQUENCE = re.compile(
    f"[Â-ß][{re.escape(_CONTINUATIONS)}]|[à-ï][{re.escape(_CONTINUATIONS)}]{{2}}|ð[{re.escape(_CONTINUATIONS)}]{{3}}"
)
_CONTROL = re.compile("[\x80-\x84\x86-\x9f]")
_CONTROL_OF_LATIN = re.compile("[\x80-\x9f]")
# Letters of the code pages that Excel saves as "CSV (MS-DOS)" and "CSV (Macintosh)", as cp1252 shows them inside words.
_PAGES = {
    "cp850": re.compile("(?<=[A-Za-z])[\u201e\u2021](?=[a-z])"),
    "mac-roman": re.compile("(?<=[A-Za-z])[\u0160\u017d\u0178](?=[a-z])"),
}
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_LOST = re.compile("\ufffd")
_NEAR = 20
PAGES = tuple(_PAGES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlikely:
    """A part of a text that its author did not write."""

    start: int
    part: str
    """The part, with some characters around it."""
    meant: str | None
    """The likely correct text; None if it is unknown."""


def find_misread(text: str) -> Unlikely | None:
    """Return the first sequence of UTF-8 that was decoded as cp1252 or latin-1."""
    if text.isascii():
        return None
    for match in _MISREAD.finditer(text.translate(_SHOWN)):
        if _repaired(match[0]) != match[0]:
            part = _around(text, match)
            return Unlikely(start=match.start(), part=part, meant=_repaired(part))
    return None


def find_foreign(text: str, codec: str) -> Unlikely | None:
    """Return the first characters beyond ASCII, with their text if their bytes are UTF-8 instead of `codec`."""
    match = _FOREIGN.search(text)
    if match is None:
        return None
    part = _around(text, match)
    meant = part.encode(codec, "ignore").decode("utf-8", "ignore").removeprefix("\ufeff")
    return Unlikely(start=match.start(), part=part, meant=meant)


def find_page(text: str, page: str) -> Unlikely | None:
    """Return the first word of text decoded as cp1252 that is likely in the code page `page` of `PAGES`."""
    match = None if text.isascii() else _PAGES[page].search(text)
    if match is None:
        return None
    part = _around(text, match)
    return Unlikely(start=match.start(), part=part, meant=part.strip("…").encode("cp1252", "ignore").decode(page))


def find_control(text: str, *, latin: bool) -> Unlikely | None:
    """Return the first control character in the range in which cp1252 has letters and punctuation.

    Args:
        latin: whether the text was decoded as latin-1 or similar, which turns cp1252 into control characters.
    """
    match = None if text.isascii() else (_CONTROL_OF_LATIN if latin else _CONTROL).search(text)
    if match is None:
        return None
    part = _around(text, match)
    meant = part.translate(_SHOWN) if latin else None
    return Unlikely(start=match.start(), part=part, meant=meant)


def find_lost(text: str) -> Unlikely | None:
    """Return the first U+FFFD: a program wrote it in place of a character that it could not read."""
    match = None if text.isascii() else _LOST.search(text)
    return None if match is None else Unlikely(start=match.start(), part=_around(text, match), meant=None)


def _around(text: str, match: re.Match[str]) -> str:
    """Return the match with the text around it on its line, so that you find it in the file."""
    start, end = max(0, match.start() - _NEAR), min(len(text), match.start() + 2 * _NEAR)
    before, after = text[start : match.start()], text[match.start() : end]
    before = re.split(r"[\r\n]", before)[-1] if re.search(r"[\r\n]", before) else ("…" if start else "") + before
    line = re.split(r"[\r\n]", after)[0]
    return before + line + ("…" if line == after and end < len(text) else "")


def _repaired(text: str) -> str:
    """Return the text with each UTF-8 sequence replaced by its character."""

    def character(match: re.Match[str]) -> str:
        try:
            return bytes(_BYTES[letter] for letter in match[0]).decode()
        except UnicodeDecodeError:
            return match[0]

    return _SEQUENCE.sub(character, text.translate(_SHOWN))


def better_encoding(raw: bytes, *, codec: str, complete: bool) -> tuple[str, str] | None:
    """Return why bytes are not in the encoding `codec`, and the likely encoding; None if they may be.

    Args:
        raw: the beginning of a file.
        codec: what Python calls the encoding.
        complete: whether `raw` is the complete file; else its last character may be cut.
    """
    name = codecs.lookup(codec).name.replace("_", "-")
    wide = name.startswith(("utf-16", "utf-32"))
    if raw.startswith(codecs.BOM_UTF8):
        return None if name.startswith("utf-8") else ("the file begins with the byte order mark of UTF-8", "utf-8")
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None if wide else ("the file begins with the byte order mark of UTF-16", "utf-16")
    zeros = raw[0::2].count(0), raw[1::2].count(0)
    if sum(zeros) * 4 >= len(raw) > 1 and min(zeros) * 10 <= max(zeros) and not name.startswith("utf-32"):
        order = "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
        right = name in {order, "utf-16" if order == "utf-16-le" else order}
        return None if right else (f"the file looks like {order.upper()}", order)
    if name.startswith("utf-8") or (not wide and raw.isascii()) or 0 in raw:
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(raw, complete)
    except UnicodeDecodeError:
        return None
    # A few letters of another encoding can be valid UTF-8 by chance, but not UTF-16, whose commas contain a zero byte.
    if wide or find_misread(raw.decode("latin-1")) is not None:
        return "the file looks like UTF-8", "utf-8"
    return None

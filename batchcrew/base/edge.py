"""Clean the output: every byte for stdout and stderr passes `harmless`. Imports no large module.

Texts are cleaned where they are rendered (`clean_text`); this module is a safety net for the others, such as those of
libraries. It keeps the sequences that only change colours, because styles are added to clean texts.
"""

import io
import re
from typing import Any

from batchcrew.base.text import HARMFUL_IN_BLOCK, escaped

_STYLE = r"[0-4]|2[1-4]|3[0-79]|9[0-7]|38;5;\d{1,3}|38;2;\d{1,3};\d{1,3};\d{1,3}"
STYLES = rf"\x1b\[(?:(?:{_STYLE})(?:;(?:{_STYLE}))*)?m"
"""Colours, bold, dim, italic and underlined text. batchcrew does not use blinking, reversed and concealed text."""
FRAMES = rf"{STYLES}|\x1b\[\d*[A-DGHJK]|\x1b\[\?(?:25|1049)[lh]|\r"
"""Further sequences that a display needs which is redrawn in place: moving the cursor, erasing lines, hiding the
cursor, and the terminal's other screen."""
_SUSPICIOUS = re.compile(rb"[^\t\n\x20-\x7e]")


def harmless(text: str, *, kept: str | None = None) -> str:
    """Return `text` with its lines and tabs; whatever else could act on a terminal is shown as `\\x1b`, `\\u202e`.

    Args:
        kept: a regular expression of the sequences that pass, STYLES or FRAMES; None: none pass.
    """
    if not HARMFUL_IN_BLOCK.search(text):
        return text
    if kept is None or "\r" not in kept.split("|"):
        text = text.replace("\r\n", "\n")
    harmful = HARMFUL_IN_BLOCK.pattern if kept is None else f"(?P<kept>{kept})|{HARMFUL_IN_BLOCK.pattern}"
    return re.sub(harmful, lambda match: match[0] if match.lastgroup else escaped(match[0]), text)


class Edge(io.BufferedWriter):
    """The buffer below a text stream; it cleans everything that is written to it.

    Args:
        raw: the stream of a descriptor.
        encoding: the encoding of the texts that are written to it.
        kept: see `harmless`.
    """

    def __init__(self, raw: io.RawIOBase, encoding: str, *, kept: str | None) -> None:
        super().__init__(raw)
        self._encoding = encoding
        self._kept = kept

    def write(self, data: Any) -> int:
        if _SUSPICIOUS.search(data):
            text = bytes(data).decode(self._encoding, "backslashreplace")
            super().write(harmless(text, kept=self._kept).encode(self._encoding, "backslashreplace"))
        else:
            super().write(data)
        return len(data)

    def write_data(self, data: bytes) -> int:
        """Write data for programs, such as an export in a pipe, unaltered."""
        return super().write(data)

"""Colour the words for states and warnings in a text that is ready to be printed on a terminal."""

import os
import re
from collections.abc import Mapping
from typing import TextIO

_STYLES = {
    "succeeded": "32",
    "failed": "31",
    "held": "33",
    "on hold": "33",
    "stale": "33",
    "cancelled": "35",
    "in progress": "36",
    "running": "36",
    "waiting for human input": "33",
    "missing the input": "31",
    "possible duplicates": "33",
    "paused by": "33",
    "warning:": "33",
    "stopped:": "33",
}
_WORD = re.compile(rf"(?<![\w./\\-])(?:\d[\d,]* )?({'|'.join(map(re.escape, _STYLES))})(?![\w/\\-])")
"""A word for a state, with its number."""


def has_colour(stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a stream gets colours.

    `NO_COLOR` turns them off and `FORCE_COLOR` (not 0) on; else a terminal gets them unless `TERM` is `dumb`.
    """
    if stream is None or environ.get("NO_COLOR"):
        return False
    if forced := environ.get("FORCE_COLOR"):
        return forced != "0"
    return stream.isatty() and environ.get("TERM", "dumb") not in {"dumb", "unknown", ""}


def coloured(text: str, stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return `text`, which must already be clean, with colours if the stream gets them."""
    return _WORD.sub(_style, text) if has_colour(stream, environ) else text


def _style(match: re.Match[str]) -> str:
    if match[0].startswith("0 "):  # no word to colour
        return match[0]
    return f"\x1b[{_STYLES[match[1]]}m{match[0]}\x1b[0m"

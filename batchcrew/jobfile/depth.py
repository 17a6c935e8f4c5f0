"""Find where JSON is nested too deeply, without parsing it, because the parsers recurse."""

import re

MAX_ROW_DEPTH = 200
"""Maximum levels of nesting of a row; the ledger's JSON and the request bodies allow about 250."""
TOO_DEEP = f"nested deeper than {MAX_ROW_DEPTH} levels; flatten the value, or send it as text"

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|$)|[{}\[\]]', re.DOTALL)


def too_deep(text: str, begin: int = 0, end: int | None = None, limit: int = MAX_ROW_DEPTH) -> int | None:
    """Return the offset of the first bracket beyond the limit, or None."""
    end = len(text) if end is None else end
    if text.count("[", begin, end) + text.count("{", begin, end) <= limit:
        return None
    depth = 0
    for token in _TOKEN.finditer(text, begin, end):
        if token[0] in "[{":
            depth += 1
            if depth > limit:
                return token.start()
        elif token[0] in "]}":
            depth -= 1
    return None

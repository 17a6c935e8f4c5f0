"""Why attempts fail: a fingerprint groups the reasons that differ only in what varies from job to job."""

import hashlib
import re

LONGEST_READ = 2000
"""Characters of a reason that are compared; crews may answer with megabytes."""

# in this order: an address may hold numbers, and quoted text may hold an address
_VARYING = (
    (re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE), "<url>"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<address>"),
    (re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`|“[^”\n]*”|‘[^’\n]*’|«[^»\n]*»"), "<text>"),  # noqa: RUF001 - quotes of all kinds
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{6,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<number>"),
)


def reason_pattern(reason: str) -> str:
    """Return the part of a reason that stays the same from job to job, case-folded and on one line.

    Numbers, ids, quoted text and addresses become `<number>`, `<id>`, `<text>`, `<url>` and `<address>`.
    """
    text = reason[:LONGEST_READ]
    for varying, name in _VARYING:
        text = varying.sub(name, text)
    return " ".join(text.casefold().split())


def reason_fingerprint(reason: str | None) -> str | None:
    """Return 12 hexadecimal digits that are equal for reasons with one pattern; None without a reason."""
    if not reason:
        return None
    return hashlib.sha256(reason_pattern(reason).encode("utf-8", "replace")).hexdigest()[:12]

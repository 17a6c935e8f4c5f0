"""Group the reasons of failures by their fixed parts, and recognize permanent reasons.

Everything here takes linear time in the length of a reason: crews may answer with megabytes.
"""

import hashlib
import re
from collections.abc import Iterable

LONGEST_READ = 10_000
"""Characters of a reason that the fingerprint is made from."""
LONGEST_PATTERN = 1_000
"""Number of characters of the pattern that are compared. It is less than are read, so that the cut hardly matters."""
LONGEST_WORD = 200
"""Most characters that `*` stands for in a pattern of `retry.never`."""
_SEARCHED = 10_000
"""Characters at each end of a reason that `retry.never` searches; the message of a traceback is at its end."""

PERMANENT_REASONS = (
    "credit balance is too low",
    "insufficient credit",
    "insufficient_credit",
    "insufficient quota",
    "insufficient_quota",
    "insufficient funds",
    "insufficient balance",
    "insufficient_balance",
    "not enough credits",
    "out of credits",
    "exceeded your current quota",
    "billing hard limit",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing is not active",
    "payment required",
    "invalid api key",
    "invalid_api_key",
    "invalid x-api-key",
    "incorrect api key",
    "api key not valid",
    "authentication_error",
    "AuthenticationError",
    "authentication failed",
    "unknown model",
    "model not found",
    "model_not_found",
    "model * not found",
    "models/* is not found",
    "not_found_error",
    "not a valid model",
    "DeploymentNotFound",
    "has been decommissioned",
    "model * does not exist",
    "model * is not supported",
    "context length",
    "context_length_exceeded",
    "maximum context",
    "context window",
    "prompt is too long",
    # the execution was ended on purpose; see `dialect._failed`
    "cancelled (the crew gave no reason)",
    "canceled (the crew gave no reason)",
    "revoked (the crew gave no reason)",
    # a limit that passes: some vendors word it like a quota that is spent
    "!retry in",
    "!retry after",
    "!retryDelay",
    "!try again in",
    "!per minute",
)
"""Default of `retry.never`: a new attempt would cost as much and fail in the same way."""
OVERLOAD_REASONS = (
    "rate limit",
    "ratelimit",
    "rate_limit",
    "too many requests",
    "resource_exhausted",
    "resource exhausted",
    "overloaded",
    "over capacity",
    "error code: 429",
    "error code: 529",
    "status code 429",
    "throttl",
)
"""Reasons of executions that failed because too many requests were made at the same time, for `concurrency: auto`."""
# keys of an error object whose text says what went wrong; other quoted text is data of the job
_TOLD = r"error|message|msg|type|code|reason|detail|details|status|title|error_type|error_code"
_JSON_TEXT = re.compile(
    rf"(?:\"(?:{_TOLD})\"|'(?:{_TOLD})')\s?:\s?(?:\"((?:[^\"\\\n]|\\.)*+)\"|'((?:[^'\\\n]|\\.)*+)')",
    re.IGNORECASE,
)
# a quotation begins at the start of a word, which an apostrophe does not
_QUOTED = (
    r"(?<!\w)'[^'\n]*+'(?!\w)|(?<!\\)\"(?:[^\"\\\n]|\\.)*+\"|`[^`\n]*+`"
    r"|“[^”\n]*+”|\u2018[^\u2019\n]*+\u2019|«[^»\n]*+»|「[^」\n]*+」"
)
_TOP_LEVEL = r"com|org|net|edu|gov|io|ai|dev|app|cloud|co|eu|de|fr|uk|jp|cn|internal|local|example|invalid|test"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?"
_NUMBER = r"(?<!\d)(?<!\d[.,_:])[-+]?\d++(?:[.,_:]\d++)*+"
_UNIT = r"\s?(?:(?:[KMGT]i?)?B|[mµ]?s|m|h|min|sec|k)(?![\w-])"

# In this order: an address may hold numbers, and quoted text may hold an address. Each pattern can begin only where
# the character before cannot be part of it, so that a long word is read once and not once from each of its characters.
_VARYING: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}+://[^\s\"'<>()\[\]{},;]+", "<url>"),
        (r"(?<![\w.+%-])[\w.+%-]++@[\w-]++(?:\.[\w-]++)*", "<address>"),
        (_QUOTED, "<text>"),
        (
            rf"(?<!\d)\d{{4}}-\d{{2}}-\d{{2}}(?:(?:T|\s){_CLOCK}\s?(?:Z|UTC|GMT|[+-]\d{{2}}:?\d{{2}})?)?(?![\w-])",
            "<time>",
        ),
        (r"(?<![\w:.])\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|\s?[AP]M)?(?![\w:])", "<time>"),
        (r"(?<![\w\\])[a-z]:\\[^\s\"'<>|]+", "<path>"),
        (r"(?<![\w./~@-])(?:~|\.{1,2})?/[\w.@%+=~-]++(?:/[\w.@%+=~-]*+)*(?::\d+)*", "<path>"),
        (r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d+)?(?![\w.]*\w)", "<address>"),
        (
            r"(?<![\w:])\[?(?=[0-9a-f:]{0,45}\d)(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?:%\w+)?(?:\](?::\d+)?)?",
            "<address>",
        ),
        (r"(?<![\w.-])(?:[\w-]++\.)++(?:" + _TOP_LEVEL + r")(?::\d+)?(?![\w.-]*\w)", "<address>"),
        (r"(?<![\w.-])(?:localhost|[\w-]++(?:\.[\w-]++)+):\d{1,5}(?!\w)", "<address>"),
        (r"(?<![a-z0-9_-])0x[0-9a-f]+", "<id>"),
        (r"(?<![a-z0-9_-])(?:sk|pk|req|org|proj|msg|chatcmpl)[-_][a-z0-9_-]{8,}", "<id>"),
        (rf"(?<![\w-]){_NUMBER}{_UNIT}", "<number>"),
        # letters and digits in one word of ASCII; other scripts write words without blanks between them
        (r"(?<![a-z0-9_-])(?=[a-z_-]*\d)(?=[0-9_-]*[a-z])[a-z0-9_-]{2,}", "<id>"),
        (rf"[$€£¥₹]\s?{_NUMBER}|{_NUMBER}\s?(?:[$€£¥₹]|(?:USD|EUR|GBP|JPY|CNY|INR|CHF)(?!\w))", "<amount>"),
        (rf"{_NUMBER}(?:{_UNIT})?", "<number>"),
    )
)


def reason_pattern(reason: str) -> str:
    """Return the part of a reason that is the same from job to job, case-folded and on one line.

    Variable parts become `<number>`, `<amount>`, `<time>`, `<id>`, `<text>`, `<path>`, `<url>` or `<address>`. The text
    of an error object's `message`, `type`, `code` and the like is kept; other quoted text is not.
    """
    text = reason[:LONGEST_READ]
    text = _JSON_TEXT.sub(lambda match: f" {match[1] or match[2] or ''} ", text)
    for varying, name in _VARYING:
        text = varying.sub(name, text)
    return " ".join(text.casefold().split())[:LONGEST_PATTERN]


def reason_fingerprint(reason: str | None) -> str | None:
    """Return 12 hexadecimal digits that are equal for reasons with one pattern; None without a reason."""
    if not reason:
        return None
    return hashlib.sha256(reason_pattern(reason).encode("utf-8", "replace")).hexdigest()[:12]


def matches_reason(reason: str, pattern: str) -> bool:
    """Return whether a pattern describes all of a reason, whatever the case, on one line.

    `*` stands for any text, also for none; every other character stands for itself. The empty pattern describes an
    empty reason.
    """
    text = " ".join(reason.casefold().split())
    first, *others = " ".join(pattern.casefold().split()).split("*")
    if not others:
        return text == first
    if not text.startswith(first):
        return False
    start, last = len(first), others.pop()
    for part in others:  # the earliest place leaves the most text for the next part
        found = text.find(part, start)
        if found < 0:
            return False
        start = found + len(part)
    return len(text) - len(last) >= start and text.endswith(last)


def is_permanent(reason: str, never: Iterable[str]) -> bool:
    """Return whether a new attempt would fail for the same reason, by the patterns of `retry.never`.

    A pattern is found anywhere in the reason, whatever the case; `*` stands for a word or a part of one. A pattern
    that begins with `!` names reasons that are retried although another pattern is found in them.
    """
    parts = (reason,) if len(reason) <= 2 * _SEARCHED else (reason[:_SEARCHED], reason[-_SEARCHED:])
    text = " … ".join(" ".join(part.casefold().split()) for part in parts)
    patterns = [" ".join(pattern.casefold().split()) for pattern in never]
    if any(pattern.startswith("!") and _found(pattern[1:].lstrip(), text) for pattern in patterns):
        return False
    return any(not pattern.startswith("!") and _found(pattern, text) for pattern in patterns)


def is_overload(reason: str) -> bool:
    """Return whether an execution failed because too many requests were made at the same time."""
    text = " ".join(reason[:_SEARCHED].casefold().split())
    return any(pattern in text for pattern in OVERLOAD_REASONS)


def _found(pattern: str, text: str) -> bool:
    first, *rest = pattern.strip("*").split("*")
    start = text.find(first)
    while first and start >= 0:
        end: int | None = start + len(first)
        for part in rest:
            end = _end_of_next(part, text, end) if end is not None else None
        if end is not None:
            return True
        start = text.find(first, start + 1)
    return False


def _end_of_next(part: str, text: str, start: int) -> int | None:
    """Find `part` after the rest of the word at `start`; return where it ends."""
    blank = text.find(" ", start, start + LONGEST_WORD)
    found = text.find(part, start, (blank if blank >= 0 else start + LONGEST_WORD) + len(part))
    return None if found < 0 else found + len(part)

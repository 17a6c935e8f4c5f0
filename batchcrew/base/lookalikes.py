"""Recognize answers that may be useless: `null`, an apology, or the error text of a provider. They are only counted."""

LONGEST_HEAD = 300
"""Number of characters of an answer that are compared. A longer answer is not an error text."""
_ERROR_HEAD = 120
"""Characters in which the words of an error text are searched for."""
_LONGEST_EMPTY = 20

_APOSTROPHES = str.maketrans({"\u2019": "'", "\u02bc": "'"})
_EMPTY = frozenset(
    {
        "none", "null", "nil", "n/a", "na", "nan", "undefined", "unknown", "empty", "no answer", "no output",
        "no result",
        "no response", "tbd", "todo", "error", "failed", "{}", "[]", '""', "''", "-", "--", "—", "...", "…", "?",
    }
)  # fmt: skip
_APOLOGIES = (
    "i'm sorry",
    "i am sorry",
    "sorry,",
    "sorry, but",
    "sorry but",
    "i apologize",
    "i apologise",
    "my apologies",
    "unfortunately, i ",
    "unfortunately i ",
    "as an ai",
    "as a language model",
    "as a large language model",
    "i'm an ai",
    "i am an ai",
    "i cannot ",
    "i can't ",
    "i'm unable to",
    "i am unable to",
    "i'm not able to",
    "i am not able to",
    "agent stopped due to",
)
_ERRORS = (
    "error code: ",
    "rate limit",
    "rate_limit",
    "ratelimit",
    "too many requests",
    "insufficient_quota",
    "exceeded your current quota",
    "invalid api key",
    "api key not valid",
    "authentication_error",
    "overloaded_error",
    "bad gateway",
    "gateway timeout",
    "internal server error",
    "litellm.",
)


def lookalike(text: str) -> str | None:
    """Return why an answer may be useless: `no answer`, `an apology` or `an error text`; else None.

    An error text is searched for in short answers only, because a long one may be about errors.
    """
    head = text[: LONGEST_HEAD + 1].strip().casefold()
    if not head.isascii():
        head = head.translate(_APOSTROPHES)
    if len(head) <= _LONGEST_EMPTY and (head.strip(" .!*_`\"'()") in _EMPTY or head in _EMPTY):
        return "no answer"
    if head.lstrip("*_#>\"' ").startswith(_APOLOGIES):
        return "an apology"
    return "an error text" if len(head) <= LONGEST_HEAD and _is_error(head[:_ERROR_HEAD]) else None


def _is_error(head: str) -> bool:
    # each of `_ERRORS` contains one of these; this line is evaluated for every answer, and takes a microsecond
    if "error" in head or "limit" in head or "quota" in head or "gateway" in head or "many r" in head or "key" in head:
        return any(words in head for words in _ERRORS)
    return "service unavailable" in head or head.startswith("traceback (most recent call last)")

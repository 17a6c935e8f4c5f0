"""Validate job ids, batch names and crew names."""

import re
from datetime import date
from typing import Any

from batchcrew.jobfile.problems import shown

ID_COLUMNS = ("id", "job_id", "custom_id")
"""The first of these columns that a row has is the job's id, and not an input."""
MAX_ID = 500
MAX_BATCH = 200

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BRACES = re.compile(r"\{([^{}]*)\}")


class WrongName(Exception):
    """An id or a name that is not valid; its text is a message."""


def job_id(value: Any, source: str) -> str:
    """Return the id as text, without blanks around it.

    Args:
        value: text or a whole number.
        source: the name of the value in messages, as in "the column `id`".

    Raises:
        WrongName: the id is empty, too long, not text, or contains control characters.
    """
    if type(value) is not str:
        if type(value) is not int:
            raise WrongName(
                f"{source} is empty" if value is None else f"invalid value of {source}: {shown(value)} (expected text)"
            )
        value = str(value)
    text = value.strip()
    if not text:
        raise WrongName(f"{source} is empty; each job needs its own id")
    if len(text) > MAX_ID:
        raise WrongName(f"{source} has {len(text)} characters (at most {MAX_ID} are allowed)")
    if not text.isprintable() and _CONTROL.search(text):
        raise WrongName(f"{source} contains a line break or control character: {shown(text)}")
    return str(text)


def batch_name(text: str, today: date) -> str:
    """Return the batch's name with {date} replaced.

    Raises:
        WrongName: the name is not valid, or contains another placeholder.
    """
    for placeholder in _BRACES.findall(text):
        if placeholder != "date":
            raise WrongName(f"unknown placeholder {{{placeholder}}} in `batch` (only {{date}} is supported)")
    return plain_name(text.replace("{date}", today.isoformat()).strip(), "batch name", MAX_BATCH)


def plain_name(text: str, what: str, limit: int) -> str:
    """Return the name, if a command line and a file name can contain it.

    Args:
        what: the name's kind in messages: `batch name`.
        limit: maximum number of characters.

    Raises:
        WrongName: the name is empty, too long, `.` or `..`, or contains a slash or control characters.
    """
    if not text:
        raise WrongName(f"the {what} is empty")
    if len(text) > limit:
        raise WrongName(f"the {what} has {len(text)} characters (at most {limit} are allowed)")
    if "/" in text or "\\" in text or _CONTROL.search(text) or text in {".", ".."}:
        raise WrongName(f"invalid {what}: {shown(text)} (expected no slashes or control characters)")
    return text

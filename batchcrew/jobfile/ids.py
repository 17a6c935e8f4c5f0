"""What a job id and a batch name may be."""

import re
from datetime import date
from typing import Any

from batchcrew.jobfile.problems import named, shown

ID_COLUMNS = ("id", "job_id", "custom_id")
"""The first of these that a row has gives its id and is no input."""
MAX_ID = 500
MAX_BATCH = 200

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BRACES = re.compile(r"\{([^{}]*)\}")


class WrongName(Exception):
    """An id or a name that cannot be used; its text says why."""


def job_id(value: Any, source: str) -> str:
    """The id as text, blanks around it taken off.

    Args:
        value: text or a whole number.
        source: what messages call it, as in "the column `id`".

    Raises:
        WrongName: it is empty, too long, no text, or holds control characters.
    """
    if type(value) is not str:
        if type(value) is not int:
            found = "is empty" if value is None else f"must be text, {shown(value)} was found"
            raise WrongName(f"{source} {found}")
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
    """The batch's name with {date} put in.

    Raises:
        WrongName: another placeholder, or a name that no file or command line could hold.
    """
    for placeholder in _BRACES.findall(text):
        if placeholder != "date":
            raise WrongName(f"unknown placeholder {{{placeholder}}} in `batch` (only {{date}} is supported)")
    return plain_name(text.replace("{date}", today.isoformat()).strip(), "the batch's name", MAX_BATCH)


def plain_name(text: str, what: str, limit: int) -> str:
    """The name, when a command line and a file name can hold it.

    Raises:
        WrongName: it is empty, too long, `.` or `..`, or holds a slash or control characters.
    """
    if not text:
        raise WrongName(f"{what} is empty")
    if len(text) > limit:
        raise WrongName(f"{what} has {len(text)} characters (at most {limit} are allowed)")
    if "/" in text or "\\" in text or _CONTROL.search(text) or text in {".", ".."}:
        raise WrongName(f"{what} is {named(text)}; slashes and control characters are not allowed")
    return text

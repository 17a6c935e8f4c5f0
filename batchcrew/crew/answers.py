"""Interpret HTTP answers that are refusals: the meaning of a code for a kickoff, and when to send the request again."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TypeAlias

from batchcrew.model.crew_answers import BadInputs, Busy, Doubtful, Unusable

Refusal: TypeAlias = Busy | BadInputs | Unusable | Doubtful

MAX_RETRY_AFTER_SECONDS = 3600.0
"""A longer `Retry-After` of a server is shortened to this."""
STOPS_EVERYTHING = frozenset({401, 402, 403, 407})
"""Codes about the token, the account or the proxy; every request to this crew would get the same answer."""
REFUSED_FOR_NOW = frozenset({408, 425, 429, 503})
_WRONG_URL = frozenset({404, 405})
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


def kickoff_refusal(code: int, text: str, *, url: str, retry_after: float | None) -> Refusal:
    """Return the meaning of an answer to a kickoff other than 2xx.

    Args:
        code: HTTP status.
        text: the server's text, cleaned; may be empty.
        url: where the kickoff was sent.
        retry_after: seconds, as `retry_after_seconds` returns them.
    """
    common = common_refusal(code, text, url=url, retry_after=retry_after)
    if common is not None:
        return common
    status = described(code, text)
    if code in _WRONG_URL:
        return Unusable(f"{url} returned {status}; `url:` must be the crew's base URL, without /kickoff")
    if 400 <= code < 500:
        return BadInputs(f"the crew refused these inputs: {status}")
    return Doubtful(f"the kickoff was answered with {status}")


def common_refusal(code: int, text: str, *, url: str, retry_after: float | None) -> Busy | Unusable | None:
    """Return the meaning of codes that every POST has in common; None for other codes (see `kickoff_refusal`)."""
    if code in REFUSED_FOR_NOW:
        return Busy(f"refused for now: {described(code, text)}", retry_after, too_many=code == 429)
    return Unusable(stopping(code, text, url=url)) if code in STOPS_EVERYTHING else None


def stopping(code: int, text: str, *, url: str) -> str:
    """Return the message for a code of `STOPS_EVERYTHING`."""
    fix = {402: "check the crew's account", 407: "check the proxy's user and password"}.get(code, "check `token:`")
    return f"{url} returned {described(code, text)}; {fix}"


def described(code: int, text: str) -> str:
    """Return the code with its name and the server's text: `422 Unprocessable Entity: missing inputs: budget`."""
    try:
        name = f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        name = str(code)
    return f"{name}: {text}" if text else name


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds of `Retry-After`, 0 to 3600; None if it is missing or invalid.

    A date is relative to the server's own `Date`, if it sent one, because its clock may be wrong; else to `now`.
    """
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if _NUMBER.fullmatch(text):
        seconds = float(text)
    else:
        moment = http_date(text)
        if moment is None:
            return None
        seconds = (moment - (http_date(headers.get("Date", "")) or now)).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def http_date(text: str) -> datetime | None:
    """Return the moment of a header such as `Date`, aware; None if it is not a valid date."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

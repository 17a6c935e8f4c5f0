"""Verify the signature of a `humanInputWebhook`. A pure function that any receiver can use.

The crew sends `X-Timestamp` (seconds since the epoch, or ISO-8601) and `X-Signature: sha256=HEX`, the HMAC-SHA256 of
the timestamp, a dot and the body as it came.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

SIGNATURE = "X-Signature"
TIMESTAMP = "X-Timestamp"
TOLERATED_SECONDS = 300.0
"""Largest difference between the clocks of the crew and of this machine; an older webhook may be a replay."""
_SCHEME = "sha256="


def signature(body: bytes, timestamp: str, secret: str) -> str:
    """Return the value of `X-Signature`."""
    message = timestamp.encode() + b"." + body
    return _SCHEME + hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def wrong_signature(
    headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime, tolerated: float = TOLERATED_SECONDS
) -> str | None:
    """Return the reason not to trust a webhook; None if its signature is valid and recent.

    Args:
        headers: of the request; their names are compared as the mapping does.
        body: as it came.
        now: aware.
        tolerated: seconds.
    """
    given, timestamp = headers.get(SIGNATURE, "").strip(), headers.get(TIMESTAMP, "").strip()
    if not given or not timestamp:
        return f"{SIGNATURE} or {TIMESTAMP} is missing"
    moment = _moment(timestamp)
    if moment is None:
        return f"{TIMESTAMP} is not a moment"
    expected = signature(body, timestamp, secret)
    # compared as bytes: text with other characters than ASCII is refused by compare_digest with an exception
    if not hmac.compare_digest(given.casefold().encode(errors="surrogateescape"), expected.encode()):
        return f"{SIGNATURE} is wrong"
    if abs((now - moment).total_seconds()) > tolerated:
        return f"{TIMESTAMP} differs from this machine's clock by more than {tolerated:g} s"
    return None


def _moment(text: str) -> datetime | None:
    """Return the moment that a timestamp names; milliseconds are recognized by their size."""
    try:
        if text.isascii() and text.replace(".", "", 1).isdigit():
            number = float(text)
            return datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

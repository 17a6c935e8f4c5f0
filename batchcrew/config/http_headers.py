"""Check which headers of a request a job file may set."""

import re

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# headers that batchcrew or aiohttp sets itself, and headers of the connection
_RESERVED = frozenset(
    {
        "accept-encoding",
        "connection",
        "expect",
        "host",
        "idempotency-key",
        "keep-alive",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_RESERVED_PREFIXES = ("content-", "proxy-", "if-")
_CREDENTIAL = re.compile(r"key|token|secret|auth|passw|cookie|session|signature|credential", re.IGNORECASE)


def name_mistake(name: str) -> str | None:
    """Return why a header of this name cannot be set, as the end of a sentence; None if it can."""
    if not _NAME.fullmatch(name):
        return "is not a valid name of a header (expected letters, digits and hyphens)"
    if name.casefold() in _RESERVED or name.casefold().startswith(_RESERVED_PREFIXES):
        return "cannot be set: it belongs to the connection or to the body, which batchcrew writes"
    return None


def value_mistake(value: str) -> str | None:
    """Return why a header cannot have this value, without the value; None if it can."""
    if not value.strip():
        return "is empty; set its variable, or omit the header"
    if not all(" " <= character <= "~" for character in value):
        return "contains a line break or another character that is not allowed in an HTTP header"
    return None


def is_credential(name: str) -> bool:
    """Return whether the value of a header with this name is a credential."""
    return bool(_CREDENTIAL.search(name))

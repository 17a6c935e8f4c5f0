"""The receivers of webhooks that need authentication: `{"url", "authentication"}` in the body of a kickoff."""

import base64
from dataclasses import dataclass
from typing import Any

from batchcrew.server.api.kickoff import BadBody, read_url

MAX_SECRET = 8000
"""Characters of a token, or of a user and password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A URL and its authentication."""

    url: str
    authorization: str | None = None


def read_receiver(name: str, value: Any) -> Receiver | None:
    """Return the receiver that a kickoff names; None if it names none.

    Args:
        name: its key in the body.

    Raises:
        BadBody: it is not valid.
    """
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadBody(f"{name} must be a JSON object with a url")
    url = read_url(f"{name}.url", value.get("url"))
    return Receiver(url=url, authorization=_authorization(name, value.get("authentication")))


def _authorization(name: str, value: Any) -> str | None:
    """Return the Authorization header for an `authentication`."""
    if value is None:
        return None
    strategy = value.get("strategy") if isinstance(value, dict) else None
    if strategy == "bearer":
        token = _secret(value.get("token"))
        if token is not None and all("!" <= character <= "~" for character in token):
            return f"Bearer {token}"
        raise BadBody(f"{name}.authentication has no token that is valid in a header")
    if strategy == "basic":
        user, password = _secret(value.get("username")), _secret(value.get("password"))
        if user is None or password is None or ":" in user:
            raise BadBody(f"{name}.authentication has no username and password")
        try:
            return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        except UnicodeEncodeError:
            raise BadBody(f"{name}.authentication has no username and password") from None
    raise BadBody(f"{name}.authentication has no strategy bearer or basic")


def _secret(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_SECRET else None

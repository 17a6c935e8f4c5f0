"""The secrets of a crew: its token and the values of its headers, which must not reach a message or the ledger."""

import json
from collections.abc import Iterator, Mapping

from batchcrew.config.http_headers import is_credential
from batchcrew.crew.server_text import MAX_WORDS, clean

REDACTED = "[token]"
REDACTED_HEADER = "[secret]"
MIN_SECRET = 8
"""A shorter secret is not removed from a crew's results, because ordinary text may contain it."""
MIN_IN_MESSAGES = 4
"""A shorter secret is not removed from messages either, because `1` is in most of them."""

_OPEN = frozenset({"accept", "accept-language", "cache-control", "user-agent"})
"""Headers whose values are not secret: `application/json` may be in any result."""


class Secrets:
    """Removes the secrets of one crew from texts.

    Args:
        token: empty if there is none.
        headers: the headers of the job file.
    """

    def __init__(self, token: str, headers: Mapping[str, str]) -> None:
        secret = [value for name, value in headers.items() if name.casefold() not in _OPEN]
        found = {form: REDACTED_HEADER for value in secret for form in _header_forms(value)}
        found |= {form: REDACTED for form in _forms(token) if len(token) >= MIN_IN_MESSAGES}
        # the longest first: one secret may contain another
        self._all = sorted(found.items(), key=lambda item: -len(item[0]))
        self._in_answers = [(form.encode(), name.encode()) for form, name in self._all if len(form) >= MIN_SECRET]
        credentials = [value for name, value in headers.items() if is_credential(name)]
        self._never_in_ids = [secret for secret in (token, *credentials) if len(secret) >= MIN_SECRET]

    def clean(self, text: str, limit: int = MAX_WORDS) -> str:
        """Return one printable line of at most `limit` characters without secrets (see `server_text.clean`)."""
        if self._all:
            # before the cut, so that no part of a secret remains at its end; and after, when no escapes divide it
            text = self._redact(clean(self._redact(text), limit * 8))
        return clean(text, limit)

    def _redact(self, text: str) -> str:
        for secret, name in self._all:
            text = text.replace(secret, name)
        return text

    def redacted(self, body: bytes) -> bytes:
        """Return an answer without secrets, because a crew may repeat the headers of its request."""
        for secret, name in self._in_answers:
            if secret in body:
                body = body.replace(secret, name)
        return body

    def are_in(self, text: str) -> bool:
        """Return whether a kickoff id, or the name of an input, contains the token or a credential.

        It may contain a tenant's name, which a header has as well.
        """
        return any(secret in text for secret in self._never_in_ids)


def _header_forms(value: str) -> Iterator[str]:
    """Yield the value, and the part after its scheme, such as `dXNlcjpwYXNz` of `Basic dXNlcjpwYXNz`."""
    for part in (value, *(word for word in value.split() if len(word) >= MIN_SECRET)):
        if len(part) >= MIN_IN_MESSAGES:
            yield from _forms(part)


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as JSON may have it."""
    quoted = json.dumps(secret)[1:-1]
    yield from {secret, quoted, quoted.replace("/", "\\/")}

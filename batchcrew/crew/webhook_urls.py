"""The URLs that kickoffs name for webhooks: `BASE/ATTEMPT/TOKEN/KIND`.

The token is the HMAC of the attempt's id with the secret of its batch. The secret is durable before the first kickoff,
so the token of every attempt is known again after a kill, without a commit for each kickoff and without a table of
tokens; a forged token costs one hash and no query.
"""

import base64
import hashlib
import hmac
import re
from typing import Any, Literal, TypeAlias, get_args

from batchcrew.model.webhook import WebhookUrls

Kind: TypeAlias = Literal["crew", "task", "step", "events", "human"]
_KINDS = frozenset(get_args(Kind))
_TOKEN_BYTES = 18
_PATH = re.compile(r"(?:^|/)([0-9A-Za-z-]{1,100})/([0-9A-Za-z_-]{1,100})/([a-z]{1,10})/?$", re.ASCII)


def webhook_fields(urls: WebhookUrls, attempt_id: str) -> dict[str, Any]:
    """Return the webhook fields of an attempt's kickoff; a request to `/resume` must repeat them."""
    fields: dict[str, Any] = {"crewWebhookUrl": webhook_url(urls, attempt_id, "crew")}
    if urls.tasks:
        fields["taskWebhookUrl"] = webhook_url(urls, attempt_id, "task")
    if urls.steps:
        fields["stepWebhookUrl"] = webhook_url(urls, attempt_id, "step")
    if urls.events:
        url = webhook_url(urls, attempt_id, "events")
        fields["webhooks"] = {"events": list(urls.events), "url": url, "realtime": True}
    if urls.human is not None:
        fields["humanInputWebhook"] = {"url": webhook_url(urls, attempt_id, "human"), **urls.human}
    return fields


def webhook_url(urls: WebhookUrls, attempt_id: str, kind: Kind) -> str:
    """Return the URL for one kind of webhooks of an attempt."""
    return f"{urls.base}/{attempt_id}/{token(urls.secret, attempt_id)}/{kind}"


def token(secret: bytes, attempt_id: str) -> str:
    """Return the token of an attempt."""
    digest = hmac.new(secret, attempt_id.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:_TOKEN_BYTES]).decode()


def addressee(secret: bytes, path: str) -> tuple[str, Kind] | None:
    """Return the attempt and the kind that a path names; None if its token is not valid.

    A proxy may keep or remove the path of `public_url`, so only the end of the path is read. Tokens are compared in
    constant time.
    """
    match = _PATH.search(path)
    attempt_id, given, kind = match.groups() if match else ("", "", "")
    valid = hmac.compare_digest(token(secret, attempt_id).encode(), given.encode())
    return (attempt_id, kind) if valid and kind in _KINDS else None  # type: ignore[return-value] # kind is one of them

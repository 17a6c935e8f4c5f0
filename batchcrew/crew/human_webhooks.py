"""Name the `humanInputWebhook` that batchcrew itself receives in kickoffs, and verify it."""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from batchcrew.config.human import WebhookAuthentication
from batchcrew.config.webhooks import HumanInputWebhook
from batchcrew.crew.webhook_signature import wrong_signature


@dataclass(frozen=True, slots=True)
class HumanWebhookCheck:
    """Decides whether a request comes from the crew, in addition to the token in its path."""

    authorization: str | None = field(default=None, repr=False)
    """The `Authorization` header that it must have; None: any."""
    secret: str | None = field(default=None, repr=False)
    """The secret of its signature; None: it needs no signature."""

    def refusal(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
        """Return why the request is refused; None if it comes from the crew.

        Args:
            headers: of the request; their names are compared as the mapping does.
            now: aware.
        """
        if self.authorization is not None:
            given = headers.get("Authorization", "").encode(errors="surrogateescape")
            if not hmac.compare_digest(given, self.authorization.encode()):
                return "Authorization is wrong"
        return None if self.secret is None else wrong_signature(headers, body, secret=self.secret, now=now)


def check_of(webhook: HumanInputWebhook) -> HumanWebhookCheck:
    """Return the check for these settings."""
    secret = None if webhook.secret is None else webhook.secret.get_secret_value()
    return HumanWebhookCheck(_authorization(webhook.authentication), secret)


def authentication_field(given: WebhookAuthentication | None) -> dict[str, Any]:
    """Return `{"authentication": ...}` as a kickoff has it; empty without one."""
    if given is None:
        return {}
    secrets = {"token": given.token, "password": given.password}
    known = {name: secret.get_secret_value() for name, secret in secrets.items() if secret is not None}
    names = {} if given.username is None else {"username": given.username}
    return {"authentication": {"strategy": given.strategy, **names, **known}}


def _authorization(given: WebhookAuthentication | None) -> str | None:
    if given is None:
        return None
    if given.token is not None:
        return f"Bearer {given.token.get_secret_value()}"
    password = "" if given.password is None else given.password.get_secret_value()
    return f"Basic {base64.b64encode(f'{given.username}:{password}'.encode()).decode()}"

"""The webhooks that the kickoffs of a run name: further sources of them are combined here."""

from typing import Any

from batchcrew.config.human import HumanWebhook
from batchcrew.config.settings import RunSettings
from batchcrew.crew.extras import KickoffExtras, no_extras


def kickoff_extras(settings: RunSettings) -> KickoffExtras:
    """Return the further fields of a kickoff's body, which `/resume` repeats as far as it takes them."""
    if settings.human.webhook is None:
        return no_extras
    fields = {"humanInputWebhook": _receiver(settings.human.webhook)}
    return lambda attempt_id: fields


def _receiver(webhook: HumanWebhook) -> dict[str, Any]:
    body: dict[str, Any] = {"url": webhook.url}
    given = webhook.authentication
    if given is not None:
        secrets = {"token": given.token, "password": given.password}
        known = {name: secret.get_secret_value() for name, secret in secrets.items() if secret is not None}
        names = {} if given.username is None else {"username": given.username}
        body["authentication"] = {"strategy": given.strategy, **names, **known}
    return body

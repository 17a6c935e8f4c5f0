"""Decide which webhooks the kickoffs of a run name, for each crew."""

from batchcrew.config.crews import CrewSettings, RemoteCrew
from batchcrew.config.settings import RunSettings
from batchcrew.crew.extras import KickoffExtras, combined, no_extras
from batchcrew.crew.human_webhooks import authentication_field


def kickoff_extras(crew: CrewSettings | None, settings: RunSettings, received: KickoffExtras) -> KickoffExtras:
    """Return the further fields of a crew's kickoffs; `/resume` repeats those that it accepts.

    Args:
        crew: None: it is not in the job file any more.
        received: the fields of the webhooks that batchcrew receives itself.
    """
    if crew is not None and not crew.webhooks:
        return no_extras
    if isinstance(crew, RemoteCrew) and crew.sync:  # its kickoffs are answered with the result
        received = no_extras
    return combined(received, _human_webhook(settings))


def _human_webhook(settings: RunSettings) -> KickoffExtras:
    webhook = settings.human.webhook
    if webhook is None:
        return no_extras
    fields = {"humanInputWebhook": {"url": webhook.url, **authentication_field(webhook.authentication)}}
    return lambda attempt_id: fields

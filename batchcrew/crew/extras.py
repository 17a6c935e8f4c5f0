"""Further fields of the bodies that start and resume an execution: the webhooks.

They come only from `CrewClient.extras`, which `app/webhook_extras.py` chooses. The guide's API forgets the URLs of a
kickoff when an execution is resumed, so that `/resume` repeats them.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

KickoffExtras: TypeAlias = Callable[[str], Mapping[str, Any]]
"""Returns the further fields of a kickoff's body, by the id of its attempt."""
WEBHOOK_URLS = ("taskWebhookUrl", "stepWebhookUrl", "crewWebhookUrl")
"""The fields that `/resume` takes too."""


def no_extras(attempt_id: str) -> Mapping[str, Any]:
    """Return no further fields."""
    del attempt_id
    return {}


def combined(*sources: KickoffExtras) -> KickoffExtras:
    """Return what all these sources return together."""

    def extras(attempt_id: str) -> Mapping[str, Any]:
        return {name: value for source in sources for name, value in source(attempt_id).items()}

    return extras


def refused_extras_hint(extras: Mapping[str, Any], answer: bytes) -> str:
    """Return what to set if a server refuses a kickoff because of these fields; empty if its answer names none."""
    named = [name for name in extras if name.encode() in answer]
    if not named:
        return ""
    return f" (the server seems to refuse {' and '.join(named)}; with `webhooks: false`, the crew is polled instead)"

"""The kickoff of the demo crew."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchcrew.server.api.kickoff import BadBody, Body, parse, read_url, refuse_missing
from batchcrew.server.api.receivers import read_receiver
from batchcrew.server.demo import crew


@dataclass(frozen=True, slots=True, kw_only=True)
class Kickoff:
    """A kickoff of the demo crew."""

    trip: Mapping[str, str]
    work: bytes
    """Digest of the inputs."""
    meta: Mapping[str, Any] | None
    urls: Mapping[str, str]
    events: tuple[str, ...]
    """Names of the events that are sent to `urls["webhooks"]`."""
    authorization: str | None
    """`Authorization` of the webhook about human input."""
    job: str | None


def read(raw: bytes) -> Kickoff:
    """Read the demo crew's kickoff in a request's body.

    Raises:
        BadBody: it is not a valid kickoff.
    """
    return demand(parse(raw))


def demand(body: Body) -> Kickoff:
    """Return the parts of a kickoff that the demo crew uses.

    Raises:
        BadBody: inputs are missing.
    """
    refuse_missing(crew.missing_inputs(body.inputs))
    urls, events = dict(body.urls), _events(body.whole.get("webhooks"))
    if events:
        urls["webhooks"] = read_url("webhooks.url", body.whole["webhooks"].get("url"))
    human = read_receiver("humanInputWebhook", body.whole.get("humanInputWebhook"))
    if human is not None:
        urls["humanInputWebhook"] = human.url
    return Kickoff(
        trip=crew.trip(body.inputs),
        work=digest(body.inputs),
        meta=body.meta,
        urls=urls,
        events=events,
        authorization=None if human is None else human.authorization,
        job=body.job,
    )


def digest(inputs: Mapping[str, Any]) -> bytes:
    """Return the digest of inputs: 16 bytes, the same for the same inputs in any order."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).digest()[:16]


def _events(value: Any) -> tuple[str, ...]:
    """Return the names of the events that a kickoff requests.

    Raises:
        BadBody: `webhooks` is not an object with a list of names.
    """
    if value is None:
        return ()
    names = value.get("events") if isinstance(value, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise BadBody("webhooks.events must be a list of names")
    return tuple(dict.fromkeys(names))

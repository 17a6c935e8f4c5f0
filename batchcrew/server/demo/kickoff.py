"""The kickoff of the demo crew."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchcrew.server.api.kickoff import Body, parse, refuse_missing
from batchcrew.server.demo import crew


@dataclass(frozen=True, slots=True, kw_only=True)
class Kickoff:
    """A kickoff of the demo crew."""

    trip: Mapping[str, str]
    work: bytes
    """Digest of the inputs."""
    meta: Mapping[str, Any] | None
    urls: Mapping[str, str]
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
    work = hashlib.sha256(json.dumps(body.inputs, sort_keys=True).encode()).digest()[:16]
    return Kickoff(trip=crew.trip(body.inputs), work=work, meta=body.meta, urls=body.urls, job=body.job)

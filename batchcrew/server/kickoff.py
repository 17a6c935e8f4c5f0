"""The body of a kickoff, held against the contract. Whatever a client sends is understood or refused."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, NoReturn

from yarl import URL

from batchcrew.server import crew

URL_KEYS = ("taskWebhookUrl", "stepWebhookUrl", "crewWebhookUrl")
SPARE_DEPTH = 100
"""Levels that can be put around `meta` and still be written: it is kept and echoed inside other JSON."""
MAX_JOB = 500
"""Longest names of batch and job together that are counted, in characters."""


class BadBody(Exception):
    """The body is refused; the text says why. `missing` are the inputs that it lacks, if that is all."""

    def __init__(self, message: str, *, missing: list[str] | None = None) -> None:
        super().__init__(message)
        self.missing = missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Kickoff:
    """What a client asks for."""

    trip: Mapping[str, str]
    work: bytes
    """Digest of the inputs."""
    meta: Mapping[str, Any] | None
    urls: Mapping[str, str]
    """The webhooks asked for, by their key in the body."""
    job: str | None
    """`[batch, job]`, as batchcrew says it in `meta`, so that `/stats` can count kickoffs per job."""


def read(raw: bytes) -> Kickoff:
    """The kickoff in a request's body. Keys that are not known are ignored, as deployed crews do.

    Raises:
        BadBody: it is no kickoff.
    """
    body = _object(raw)
    inputs = body.get("inputs", {})
    if not isinstance(inputs, dict):
        raise BadBody("inputs is no JSON object")
    meta = body.get("meta")
    if not isinstance(meta, dict | None):
        raise BadBody("meta is no JSON object")
    urls = {name: _url(name, body[name]) for name in URL_KEYS if body.get(name) is not None}
    missing = crew.missing_inputs(inputs)
    if missing:
        raise BadBody(f"Missing required inputs: {', '.join(missing)}", missing=missing)
    try:
        work = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).digest()[:16]
        json.dumps(reduce(_around, range(SPARE_DEPTH), meta))
        return Kickoff(trip=crew.trip(inputs), work=work, meta=meta, urls=urls, job=_job(meta))
    except RecursionError:
        raise BadBody("the body is nested too deep") from None


def _around(value: Any, _: int) -> Any:
    return [value]


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise BadBody("the body is no UTF-8") from None
    except RecursionError:
        raise BadBody("the body is nested too deep") from None
    except ValueError:
        raise BadBody("the body is no JSON") from None
    if not isinstance(body, dict):
        raise BadBody("the body is JSON but no object")
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _url(name: str, value: Any) -> str:
    try:
        url = URL(value) if isinstance(value, str) and value.isprintable() else None
        usable = url is not None and url.scheme in {"http", "https"} and bool(url.host) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise BadBody(f"{name} is no http or https URL")
    return str(value)


def _job(meta: Mapping[str, Any] | None) -> str | None:
    said = (meta or {}).get("batchcrew")
    if not isinstance(said, dict):
        return None
    batch, job = said.get("batch"), said.get("job")
    if not isinstance(job, str) or not isinstance(batch, str | None) or len(job) + len(batch or "") > MAX_JOB:
        return None
    return json.dumps([batch, job])

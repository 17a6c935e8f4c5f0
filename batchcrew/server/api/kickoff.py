"""The body of a kickoff, held against the contract. Whatever a client sends is understood or refused."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, NoReturn

from yarl import URL

URL_KEYS = ("taskWebhookUrl", "stepWebhookUrl", "crewWebhookUrl")
SPARE_DEPTH = 100
"""Levels that can be put around `meta` and still be written: it is kept and echoed inside other JSON."""
TOO_DEEP = "the body is nested too deep"
MAX_JOB = 500
"""Longest names of batch and job together that are counted, in characters."""


class BadBody(Exception):
    """The body is refused; the text says why. `missing` are the inputs that it lacks, if that is all."""

    def __init__(self, message: str, *, missing: list[str] | None = None) -> None:
        super().__init__(message)
        self.missing = missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a client asks of any crew."""

    inputs: Mapping[str, Any]
    meta: Mapping[str, Any] | None
    urls: Mapping[str, str]
    """The webhooks asked for, by their key in the body."""
    job: str | None
    """`[batch, job]`, as batchcrew says it in `meta`, so that `/stats` can count kickoffs per job."""
    whole: Mapping[str, Any]
    """The body as it came, for what only real crews understand."""


def parse(raw: bytes) -> Body:
    """The kickoff in a request's body. Keys that are not known are ignored, as deployed crews do.

    Raises:
        BadBody: it is none.
    """
    body = read_object(raw)
    inputs = body.get("inputs", {})
    if not isinstance(inputs, dict):
        raise BadBody("inputs is no JSON object")
    meta = body.get("meta")
    if not isinstance(meta, dict | None):
        raise BadBody("meta is no JSON object")
    urls = read_urls(body)
    try:
        json.dumps(reduce(_around, range(SPARE_DEPTH), body))
    except RecursionError:
        raise BadBody(TOO_DEEP) from None
    return Body(inputs=inputs, meta=meta, urls=urls, job=_job(meta), whole=body)


def read_urls(body: Mapping[str, Any]) -> dict[str, str]:
    """The webhooks that a body names.

    Raises:
        BadBody: one is no http or https URL.
    """
    return {name: read_url(name, body[name]) for name in URL_KEYS if body.get(name) is not None}


def refuse_missing(missing: list[str]) -> None:
    """Raises BadBody: these inputs are missing."""
    if missing:
        raise BadBody(f"Missing required inputs: {', '.join(missing)}", missing=missing)


def _around(value: Any, _: int) -> Any:
    return [value]


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises:
        BadBody: there is none.
    """
    try:
        body = json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise BadBody("the body is no UTF-8") from None
    except RecursionError:
        raise BadBody(TOO_DEEP) from None
    except ValueError:
        raise BadBody("the body is no JSON") from None
    if not isinstance(body, dict):
        raise BadBody("the body is JSON but no object")
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_url(name: str, value: Any) -> str:
    """The http or https URL under `name`.

    Raises:
        BadBody: it is none.
    """
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

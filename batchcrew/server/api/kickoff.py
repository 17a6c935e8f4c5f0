"""Reads and checks the body of a kickoff."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, NoReturn

from yarl import URL

URL_KEYS = ("taskWebhookUrl", "stepWebhookUrl", "crewWebhookUrl")
SPARE_DEPTH = 100
"""Levels of nesting that can be put around `meta`: it is stored and repeated inside other JSON."""
TOO_DEEP = "the body is nested too deeply"
MAX_JOB = 500
"""Longest names of batch and job together, in characters; kickoffs with longer ones are not counted per job."""


class BadBody(Exception):
    """The body is refused; the text says why. `missing` lists missing inputs, if nothing else is wrong."""

    def __init__(self, message: str, *, missing: list[str] | None = None) -> None:
        super().__init__(message)
        self.missing = missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A kickoff for any crew."""

    inputs: Mapping[str, Any]
    meta: Mapping[str, Any] | None
    urls: Mapping[str, str]
    """The URLs of webhooks, by their key in the body."""
    job: str | None
    """`[batch, job]` from `meta.batchcrew`, so that `/stats` can count kickoffs per job."""
    whole: Mapping[str, Any]
    """The body as it was sent, for fields that only real crews use."""


def parse(raw: bytes) -> Body:
    """Read the kickoff in a request's body. Unknown keys are ignored, as deployed crews do.

    Raises:
        BadBody: it is not a valid kickoff.
    """
    body = read_object(raw)
    inputs = body.get("inputs", {})
    if not isinstance(inputs, dict):
        raise BadBody("inputs must be a JSON object")
    meta = body.get("meta")
    if not isinstance(meta, dict | None):
        raise BadBody("meta must be a JSON object")
    urls = read_urls(body)
    try:
        json.dumps(reduce(_around, range(SPARE_DEPTH), body))
    except RecursionError:
        raise BadBody(TOO_DEEP) from None
    return Body(inputs=inputs, meta=meta, urls=urls, job=_job(meta), whole=body)


def read_urls(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the URLs of webhooks in a body, by their key.

    Raises:
        BadBody: one is not an http or https URL.
    """
    return {name: read_url(name, body[name]) for name in URL_KEYS if body.get(name) is not None}


def webhook_urls(body: Mapping[str, Any]) -> dict[str, str]:
    """Return every URL in a body to which webhooks may be sent, by its place. Malformed ones are omitted."""
    found = {name: body.get(name) for name in URL_KEYS}
    for name in ("humanInputWebhook", "webhooks"):
        receiver = body.get(name)
        found[f"{name}.url"] = receiver.get("url") if isinstance(receiver, dict) else None
    urls: dict[str, str] = {}
    for name, url in found.items():
        with contextlib.suppress(BadBody):  # the executor reports it, if it uses it
            urls[name] = read_url(name, url)
    return urls


def refuse_missing(missing: list[str]) -> None:
    """Raise BadBody if inputs are missing."""
    if missing:
        raise BadBody(f"Missing required inputs: {', '.join(missing)}", missing=missing)


def _around(value: Any, _: int) -> Any:
    return [value]


def read_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in a request's body.

    Raises:
        BadBody: the body is something else.
    """
    try:
        body = json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise BadBody("the body is not UTF-8") from None
    except RecursionError:
        raise BadBody(TOO_DEEP) from None
    except ValueError:
        raise BadBody("the body is not valid JSON") from None
    if not isinstance(body, dict):
        raise BadBody("the body is JSON, but not an object")
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def read_url(name: str, value: Any) -> str:
    """Return the URL `value`.

    Args:
        name: the URL's key in the body.

    Raises:
        BadBody: it is not an http or https URL.
    """
    try:
        url = URL(value) if isinstance(value, str) and value.isprintable() else None
        usable = url is not None and url.scheme in {"http", "https"} and bool(url.host) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise BadBody(f"{name} must be an http or https URL")
    return str(value)


def _job(meta: Mapping[str, Any] | None) -> str | None:
    origin = (meta or {}).get("batchcrew")
    if not isinstance(origin, dict):
        return None
    batch, job = origin.get("batch"), origin.get("job")
    if not isinstance(job, str) or not isinstance(batch, str | None) or len(job) + len(batch or "") > MAX_JOB:
        return None
    return json.dumps([batch, job])

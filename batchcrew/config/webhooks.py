"""The `webhooks:` section of a job file: how crews report to batchcrew that an execution has ended."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from batchcrew.config.declarations import DefaultText, Example, Settings
from batchcrew.config.human import WebhookAuthentication
from batchcrew.config.values import PositiveDuration

_ADDRESS = re.compile(r"(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):)?(\d{1,5})")
_EVENT = r"^[a-z0-9_]{1,100}$"
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Address:
    """An address to listen on; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address in `127.0.0.1:8787`, `[::1]:8787` or `8787`.

    Raises:
        ValueError: it is not an address.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or int(match[2]) > 65535:
        raise ValueError(f"invalid address: {text!r} (expected e.g. 127.0.0.1:8787)")
    return Address((match[1] or LOOPBACK).strip("[]"), int(match[2]))


def _address_text(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(f"invalid address: {str(value)[:60]!r} (expected e.g. 127.0.0.1:8787)")
    return str(parse_address(value))


def _public_url(value: Any) -> Any:
    url = None
    try:
        url = urlsplit(value) if isinstance(value, str) and value.isprintable() else None
        usable = url is not None and url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or url is None or url.query or url.fragment or " " in value:
        raise ValueError(f"invalid URL: {str(value)[:200]!r} (expected e.g. https://hooks.example.com/batchcrew)")
    return str(value).rstrip("/")


class HumanInputWebhook(Settings):
    """The webhook of an execution that begins to wait for human input (`humanInputWebhook`)."""

    secret: SecretStr | None = None
    """Secret with which the crew signs it (`X-Signature`); webhooks without a valid signature are ignored.

    Write ${CREW_WEBHOOK_SECRET}, never the secret itself. Default: no signature is needed."""
    authentication: WebhookAuthentication | None = None
    """Authentication of the crew at batchcrew. Default: only the token in the URL."""


class WebhookSettings(Settings):
    """How crews report to batchcrew that an execution has ended, so that it need not be polled."""

    listen: Annotated[
        str | None, BeforeValidator(lambda value: value if value is None else _address_text(value)), DefaultText("none")
    ] = None
    """Address on which a run, or `batchcrew listen`, receives webhooks: `127.0.0.1:8787`; port 0 is any free one."""
    public_url: Annotated[
        str | None, BeforeValidator(lambda value: value if value is None else _public_url(value)), DefaultText("none")
    ] = None
    """URL at which crews reach that address: `https://hooks.example.com/batchcrew`. Default: the address itself.

    Without `listen`, a run receives only what `batchcrew listen` has received for it."""
    trust: bool = False
    """Use the result in a webhook and never poll, for crews whose status cannot be requested. Default: a webhook only
    brings the next poll forward."""
    wait: Annotated[PositiveDuration | None, DefaultText("by the crew")] = None
    """How long a kickoff in doubt waits for a webhook of its execution before `delivery` decides. Default: the time
    within which 99 % of the crew's executions end, or `run.timeout` until ten have ended."""
    tasks: bool = False
    """Also request a webhook at the end of each task, to show progress between polls."""
    steps: bool = False
    """Also request a webhook for each step of an agent."""
    human: Annotated[HumanInputWebhook | None, DefaultText("none"), Example("{secret: '${CREW_WEBHOOK_SECRET}'}")] = (
        None
    )
    """Also request a webhook when an execution begins to wait for human input, and poll it then; `{}` is enough.

    `run.human.webhook` names another receiver instead."""
    events: Annotated[
        tuple[Annotated[str, Field(pattern=_EVENT)], ...], Field(max_length=100), DefaultText("none")
    ] = ()
    """Names of events for which the crew's event stream is requested, such as `[task_started, task_completed]`."""

    @property
    def named(self) -> bool:
        """Whether kickoffs name a URL for webhooks."""
        return self.listen is not None or self.public_url is not None

    @property
    def address(self) -> Address | None:
        """The address to listen on."""
        return None if self.listen is None else parse_address(self.listen)

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        address = self.address
        if address is not None and self.public_url is None and address.host in EVERYWHERE:
            raise ValueError("webhooks.public_url is missing: no crew can send to every address of this machine")
        if not self.named and (
            self.trust or self.tasks or self.steps or self.events or self.wait is not None or self.human
        ):
            raise ValueError("webhooks.listen or webhooks.public_url is missing (expected e.g. listen: 127.0.0.1:8787)")
        return self

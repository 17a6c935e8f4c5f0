"""Receive webhooks during a run: listen, and read what `batchcrew listen` has received."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

from pydantic import ValidationError

from batchcrew.base.errors import LedgerError, UsageError
from batchcrew.config.crews import CrewSettings, RemoteCrew
from batchcrew.config.webhooks import WebhookSettings
from batchcrew.crew.extras import KickoffExtras, no_extras
from batchcrew.crew.human_webhooks import HumanWebhookCheck, authentication_field, check_of
from batchcrew.crew.webhook_urls import webhook_fields
from batchcrew.engine import RunEnvironment, Webhooks
from batchcrew.ledger import BatchKey, Ledger
from batchcrew.model.webhook import Webhook, WebhookUrls

SECRET_BYTES = 32
INBOX_SECONDS = 1.0
"""How often a run reads the webhooks that `batchcrew listen` has received meanwhile."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def with_options(settings: WebhookSettings, *, listen: str | None, url: str | None) -> WebhookSettings:
    """Return the job file's settings, overridden by `--webhook-listen` and `--webhook-url`.

    Raises:
        UsageError: an option is not valid.
    """
    if listen is None and url is None:
        return settings
    given = {name: value for name, value in (("listen", listen), ("public_url", url)) if value is not None}
    try:
        return WebhookSettings.model_validate({**settings.model_dump(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        option = {"listen": "--webhook-listen: ", "public_url": "--webhook-url: "}
        name = option.get(str(first["loc"][0]) if first["loc"] else "", "")
        raise UsageError(f"{name}{first['msg'].removeprefix('Value error, ')}") from None


@asynccontextmanager
async def open_webhooks(
    settings: WebhookSettings,
    ledger: Ledger,
    batch: BatchKey,
    environment: RunEnvironment,
    *,
    crews: Mapping[str, CrewSettings],
    single_pass: bool,
    new_secret: Callable[[int], bytes] = secrets.token_bytes,
) -> AsyncIterator[Webhooks | None]:
    """Listen for webhooks, if the job file or an option says so. A tick does not listen; `batchcrew listen` does.

    Args:
        new_secret: returns this many random bytes.

    Raises:
        UsageError: the address is in use, or cannot be known by a tick.
    """
    if not settings.named:
        yield None
        return
    secret = await ledger.webhook_secret(batch, new_secret(SECRET_BYTES))

    def store(webhook: Webhook) -> None:
        ledger.store_webhook(webhook, with_body=settings.trust)

    webhooks = Webhooks(settings, clock=environment.clock, store=store, observe=environment.observe)
    inbox = _Inbox(webhooks, ledger, batch)
    async with AsyncExitStack() as stack:
        if single_pass:
            webhooks.base = _base_of_ticks(settings)
        elif settings.address is not None:
            from batchcrew.crew.webhook_listener import WebhookListener  # noqa: PLC0415 - it imports aiohttp

            listener = WebhookListener(
                settings.address,
                secret,
                webhooks.counts,
                webhooks.receive,
                clock=environment.clock,
                human=human_check(settings),
            )
            await stack.enter_async_context(listener)
            webhooks.base = settings.public_url or listener.url
        else:
            webhooks.base = settings.public_url or ""
        webhooks.fields = _named_by(settings, webhooks.base, secret)
        for name in _out_of_reach(settings, crews):
            environment.warn(
                f"crew {name} cannot send webhooks to {webhooks.base}, which only this machine can reach;"
                " give `webhooks.public_url` (docs/webhooks.md)"
            )
        await inbox.read()
        if not single_pass:
            task = asyncio.create_task(inbox.read_often(environment), name="webhook inbox")
            stack.push_async_callback(_end, task)
        yield webhooks


async def resume_urls(settings: WebhookSettings, ledger: Ledger, batch: BatchKey) -> KickoffExtras:
    """Return the URLs of webhooks that `/resume` repeats, by attempt: crews forget them when an execution is resumed.

    A port that only a run knows (`listen: …:0` without `public_url`) cannot be named.
    """
    if not settings.named or (settings.public_url is None and (settings.address is None or settings.address.port == 0)):
        return no_extras
    secret = await ledger.webhook_secret(batch, secrets.token_bytes(SECRET_BYTES))
    return _named_by(settings, _base_of_ticks(settings), secret)


def human_check(settings: WebhookSettings) -> HumanWebhookCheck | None:
    """Return the requirements for a webhook about human input; None if such webhooks are not received."""
    return None if settings.human is None else check_of(settings.human)


def _named_by(settings: WebhookSettings, base: str, secret: bytes) -> KickoffExtras:
    """Return the webhook fields of a kickoff, by the id of its attempt."""
    human = settings.human
    urls = WebhookUrls(
        base=base,
        secret=secret,
        tasks=settings.tasks,
        steps=settings.steps,
        events=settings.events,
        human=None if human is None else authentication_field(human.authentication),
    )
    return lambda attempt_id: webhook_fields(urls, attempt_id)


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class _Inbox:
    """Passes on each stored webhook of a batch once."""

    def __init__(self, webhooks: Webhooks, ledger: Ledger, batch: BatchKey) -> None:
        self._webhooks = webhooks
        self._ledger = ledger
        self._batch = batch
        self._seen: set[tuple[str, str]] = set()

    async def read(self) -> None:
        stored = await self._ledger.stored_webhooks(self._batch)
        keys = {(at, webhook.attempt_id) for at, webhook in stored}
        for at, webhook in stored:
            if (at, webhook.attempt_id) not in self._seen:
                self._webhooks.restore(webhook)
        self._seen = keys

    async def read_often(self, environment: RunEnvironment) -> None:
        with suppress(LedgerError):  # the run itself reports that it cannot use its ledger
            while True:
                await environment.clock.sleep(INBOX_SECONDS)
                await self.read()
                self._webhooks.record_counts()


def _base_of_ticks(settings: WebhookSettings) -> str:
    """Return the URL that a tick's kickoffs name.

    Raises:
        UsageError: it depends on the port that `batchcrew listen` will get.
    """
    if settings.public_url is not None:
        return settings.public_url
    address = settings.address
    if address is None or address.port == 0:
        raise UsageError("webhooks: a tick cannot know the port of `listen: …:0`; give a port, or `public_url`")
    return f"http://{address}"


def _out_of_reach(settings: WebhookSettings, crews: Mapping[str, CrewSettings]) -> list[str]:
    """Return the crews elsewhere that cannot reach an address of this machine."""
    address = settings.address
    if settings.public_url is not None or address is None or address.host not in _LOOPBACK:
        return []
    remote = {name: urlsplit(crew.url).hostname for name, crew in crews.items() if isinstance(crew, RemoteCrew)}
    return [name for name, host in remote.items() if host not in _LOOPBACK]

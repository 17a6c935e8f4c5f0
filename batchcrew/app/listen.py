"""Receive webhooks between runs or ticks, into the ledger (`batchcrew listen`)."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from batchcrew.app.batches import known_batch
from batchcrew.app.webhooks import human_check
from batchcrew.base.clock import Clock
from batchcrew.base.errors import UsageError
from batchcrew.config.webhooks import WebhookSettings
from batchcrew.ledger import Ledger
from batchcrew.model.webhook import Webhook, WebhookCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenRequest:
    """One call of `batchcrew listen`."""

    ledger: Path
    batch: str
    settings: WebhookSettings


async def listen(
    request: ListenRequest,
    stopped: asyncio.Event,
    *,
    clock: Clock,
    started: Callable[[str], None],
    new_secret: Callable[[int], bytes] = secrets.token_bytes,
) -> WebhookCounts:
    """Store webhooks of the batch until `stopped` is set, and return their counts.

    The batch is not locked, so runs and ticks work as usual, and read the stored webhooks.

    Args:
        started: receives the URL on this machine.
        new_secret: returns this many random bytes.

    Raises:
        UsageError: no address is given, or it is in use.
        NotInLedger: the ledger does not have the batch.
    """
    from batchcrew.crew.webhook_listener import WebhookListener  # noqa: PLC0415 - it imports aiohttp

    address = request.settings.address
    if address is None:
        raise UsageError("no address to listen on; give `webhooks.listen` in the job file, or --webhook-listen")
    counts = WebhookCounts()
    async with Ledger(request.ledger, clock=clock) as ledger:
        batch = await known_batch(ledger, request.batch)
        secret = await ledger.webhook_secret(batch, new_secret(32))

        async def store(webhook: Webhook) -> None:
            if webhook.contradicts_itself:
                counts.mismatched += 1
            elif webhook.ended or webhook.paused or webhook.kickoff_id is not None:
                counts.used += 1
                ledger.store_webhook(webhook, with_body=request.settings.trust)

        check = human_check(request.settings)
        async with WebhookListener(address, secret, counts, store, clock=clock, human=check) as listener:
            started(listener.url)
            await stopped.wait()
    return counts

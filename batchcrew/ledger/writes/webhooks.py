"""Webhooks: the secret of a batch, and the webhooks that wait for the next run."""

import aiosqlite

from batchcrew.ledger import webhook_inbox
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import value
from batchcrew.ledger.writes.base import Writes
from batchcrew.model.webhook import Webhook


class WebhookWrites(Writes):
    """Write what webhooks need to the ledger."""

    async def webhook_secret(self, key: BatchKey, new: bytes) -> bytes:
        """Return the batch's secret, from which the tokens of webhooks are derived; it is durable.

        Args:
            new: the secret of a batch that has none yet.
        """

        async def work(connection: aiosqlite.Connection) -> bytes:
            await connection.execute_fetchall(
                "UPDATE batches SET webhook_secret = ? WHERE id = ? AND webhook_secret IS NULL", (new.hex(), key.id)
            )
            return bytes.fromhex(await value(connection, "SELECT webhook_secret FROM batches WHERE id = ?", (key.id,)))

        return await self._writing.call(work)

    def store_webhook(self, webhook: Webhook, *, with_body: bool) -> None:
        """Keep a webhook for the next run, with the next commit, if its attempt is open or in doubt.

        Args:
            with_body: the result in it counts.
        """
        self._writing.change_soon(webhook_inbox.store(webhook, with_body=with_body, now=self._now()))

    async def recover_by_webhooks(self, key: BatchKey) -> int:
        """Resume the kickoffs in doubt that stored webhooks have found again; return their number.

        Call it before jobs are counted: a job on hold becomes open again.
        """
        return await self._writing.call(lambda connection: webhook_inbox.recover(connection, key.id))

    async def stored_webhooks(self, key: BatchKey) -> list[tuple[str, Webhook]]:
        """Return the webhooks that were kept for a run, each with the moment at which it was received."""
        return await self._query(lambda connection: webhook_inbox.read(connection, key.id))

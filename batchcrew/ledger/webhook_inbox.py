"""Webhooks that no run has received: `batchcrew listen` and late webhooks write them, the next run or tick reads them.

There is at most one row for each attempt, and only for attempts that are open or in doubt, so the table remains small.
"""

import aiosqlite

from batchcrew.ledger import transitions
from batchcrew.ledger.fetch import rows
from batchcrew.ledger.spill import SpilledKickoff
from batchcrew.ledger.writer import Change, Statement
from batchcrew.model.webhook import Webhook

# the first webhook counts; a later one of the same attempt only adds missing fields
_STORE = Statement(
    "INSERT INTO webhook_inbox (attempt_id, kickoff_id, ended, paused, body, received_at)"
    " SELECT id, ?, ?, ?, ?, ? FROM attempts WHERE id = ? AND state IN ('intended', 'kicked_off', 'in_doubt')"
    " ON CONFLICT (attempt_id) DO UPDATE SET kickoff_id = coalesce(kickoff_id, excluded.kickoff_id),"
    " ended = max(ended, excluded.ended), paused = max(paused, excluded.paused),"
    " body = coalesce(body, excluded.body), received_at = excluded.received_at"
    " WHERE (kickoff_id IS NULL AND excluded.kickoff_id IS NOT NULL) OR ended < excluded.ended"
    " OR paused < excluded.paused",
    strict=False,
)
_OF_BATCH = (
    "FROM webhook_inbox AS w CROSS JOIN attempts AS a ON a.id = w.attempt_id CROSS JOIN jobs AS j ON j.id = a.job"
    " WHERE j.batch_id = ?"
)
_DELETE_READ = (
    f"DELETE FROM webhook_inbox WHERE attempt_id IN (SELECT w.attempt_id {_OF_BATCH}"
    " AND a.state NOT IN ('intended', 'kicked_off'))"
)


def store(webhook: Webhook, *, with_body: bool, now: str) -> Change:
    """Return the change that keeps a webhook for the next run.

    Args:
        with_body: the result in it counts.
    """
    body = transitions.plain_text(webhook.body) if with_body and webhook.ended else None
    return (
        _STORE,
        [
            (
                transitions.plain_text(webhook.kickoff_id),
                int(webhook.ended),
                int(webhook.paused),
                body,
                now,
                webhook.attempt_id,
            )
        ],
    )


async def read(connection: aiosqlite.Connection, batch_id: int) -> list[tuple[str, Webhook]]:
    """Return the stored webhooks of a batch, each with the moment at which it was received."""
    return [
        (
            row[0],
            Webhook(attempt_id=row[1], kickoff_id=row[2], ended=bool(row[3]), paused=bool(row[4]), body=row[5] or ""),
        )
        for row in await rows(
            connection,
            f"SELECT w.received_at, w.attempt_id, w.kickoff_id, w.ended, w.paused, w.body {_OF_BATCH}",
            (batch_id,),
        )
    ]


async def recover(connection: aiosqlite.Connection, batch_id: int) -> int:
    """Record the kickoff ids that webhooks named for kickoffs in doubt: (intended | in_doubt) -> kicked_off.

    Then delete what is no longer needed. A job with a later attempt keeps that one. Return how many were found again.
    """
    found = await rows(
        connection,
        f"SELECT w.attempt_id, w.kickoff_id, w.received_at {_OF_BATCH}"
        " AND w.kickoff_id IS NOT NULL AND a.state IN ('intended', 'in_doubt')",
        (batch_id,),
    )
    kickoffs = [SpilledKickoff(attempt=row[0], kickoff_id=row[1], at=row[2]) for row in found]
    recovered = sum([await transitions.recover(connection, kickoff) for kickoff in kickoffs])
    await connection.execute_fetchall(_DELETE_READ, (batch_id,))
    return recovered

"""Fail pending jobs that do not have an input which their crew requires: they are not kicked off."""

from collections.abc import Callable, Sequence

import aiosqlite

from batchcrew.base.reasons import reason_fingerprint
from batchcrew.ledger.fetch import rows, value
from batchcrew.ledger.json_text import decode_json, encode_json
from batchcrew.ledger.reads.jobs import PENDING

_PAGE = 1000
MakeReason = Callable[[Sequence[str], Sequence[str]], str]
"""Makes a job's reason from its missing inputs and its row's columns."""


async def fail(
    connection: aiosqlite.Connection,
    batch_id: int,
    crew: str,
    required: Sequence[str],
    make_reason: MakeReason,
    now: str,
) -> int:
    """Fail each job that misses a required input: pending -> failed. Return how many; record that it was checked."""
    failed = 0
    while page := await rows(
        connection,
        "SELECT id, missing_inputs(inputs, ?) AS missing, row FROM jobs"
        f" WHERE {PENDING} AND missing IS NOT NULL LIMIT ?",
        (encode_json(list(required)), batch_id, crew, _PAGE),
    ):
        reasons = [(make_reason(decode_json(missing), list(decode_json(row))), key) for key, missing, row in page]
        await connection.executemany(
            "UPDATE jobs SET state = 'failed', reason = ?, reason_fingerprint = ?, before_retry = NULL, updated_at = ?"
            " WHERE id = ?",
            [(reason, reason_fingerprint(reason), now, key) for reason, key in reasons],
        )
        failed += len(page)
    text = await value(connection, "SELECT inputs_checked FROM batches WHERE id = ?", (batch_id,))
    checked = decode_json(text) if text else {}
    await connection.execute_fetchall(
        "UPDATE batches SET inputs_checked = ? WHERE id = ?",
        (encode_json({**checked, crew: list(required)}), batch_id),
    )
    return failed

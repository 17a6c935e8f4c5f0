"""Reset ended jobs to pending, and undo that: `before_retry` of a job holds its former state.

It is cleared in the transaction that opens an attempt of the job, gives it another state or an answer, or changes its
inputs. So a job that has it was not changed since.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiosqlite

from batchcrew.base.errors import NotInLedger, UsageError
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows, value
from batchcrew.ledger.json_text import encode_json
from batchcrew.ledger.reads.attempts import STARTED_AT
from batchcrew.ledger.reads.similar import did_you_mean_job
from batchcrew.model.job import JobState

_PUT_BACK = """
UPDATE jobs SET state = 'pending', not_before = '', charged = 0, reason = NULL, reason_fingerprint = NULL,
    before_retry = json_object('state', state, 'reason', reason, 'fingerprint', reason_fingerprint,
        'charged', charged, 'updated_at', updated_at),
    updated_at = :now
"""
# `former` reads what json_extract would cut at a NUL
_UNDO = """
UPDATE jobs SET state = json_extract(before_retry, '$.state'), reason = former(before_retry, 'reason'),
    reason_fingerprint = json_extract(before_retry, '$.fingerprint'),
    charged = json_extract(before_retry, '$.charged'), updated_at = json_extract(before_retry, '$.updated_at'),
    before_retry = NULL
WHERE batch_id = :batch AND state = 'pending' AND before_retry IS NOT NULL
"""
_NAMED = " AND job_id IN (SELECT value FROM json_each(:jobs))"
# a job that ended before its run read the request must not be cancelled later
_FORGET_CANCELS = (
    "DELETE FROM cancel_requests WHERE job IN (SELECT id FROM jobs WHERE batch_id = ? AND state <> 'open')"
)
_UNKNOWN = """
SELECT value FROM json_each(:jobs)
WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE batch_id = :batch AND job_id = value) LIMIT 1
"""
_PRICES = """
SELECT c.crew, c.price FROM runs AS r JOIN run_crews AS c ON c.run_id = r.id
WHERE r.batch_id = ? AND c.price IS NOT NULL ORDER BY r.rowid
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySelection:
    """Selects the ended jobs of a batch to reset: those that meet every condition."""

    states: tuple[JobState, ...]
    job_ids: tuple[str, ...] = ()
    """Empty: any job."""
    from_url: str | None = None
    """The address at which a job's latest attempt was started; None: any."""
    reason: str | None = None
    """A pattern for a job's reason, see `matches_reason`; None: any. The empty pattern: no reason."""
    fingerprint: str | None = None
    """Fingerprint of a job's reason; None: any."""


async def require_jobs(connection: aiosqlite.Connection, key: BatchKey, job_ids: Sequence[str], undone: str) -> None:
    """Require that the batch has all these jobs.

    Args:
        undone: the end of the error's message: `nothing was reset`.

    Raises:
        NotInLedger: the batch does not have one of them.
    """
    unknown = await value(connection, _UNKNOWN, {"batch": key.id, "jobs": encode_json(list(job_ids))})
    if unknown is not None:
        hint = await did_you_mean_job(connection, key.id, unknown)
        raise NotInLedger(f"job {unknown!r} not found in batch {key.batch}{hint}; {undone}")


async def selected(connection: aiosqlite.Connection, key: BatchKey, selection: RetrySelection) -> dict[str, int]:
    """Return the number of jobs that the selection matches, by crew.

    Raises:
        NotInLedger: the batch does not have one of the jobs that it names.
    """
    await require_jobs(connection, key, selection.job_ids, "nothing was reset")
    where, parameters = _where(key, selection)
    return dict(await rows(connection, f"SELECT crew, count(*) FROM jobs {where} GROUP BY crew", parameters))


async def put_back(
    connection: aiosqlite.Connection, key: BatchKey, selection: RetrySelection, now: str, *, most: int | None
) -> int:
    """Reset the selected jobs to pending, with no attempts used. Return how many.

    Args:
        most: the jobs that you have agreed to; None: any number.

    Raises:
        NotInLedger: the batch does not have one of the jobs that the selection names.
        UsageError: the selection matches more than `most` jobs by now.
    """
    await require_jobs(connection, key, selection.job_ids, "nothing was reset")
    where, parameters = _where(key, selection)
    await connection.execute(_FORGET_CANCELS, (key.id,))
    changed = (await connection.execute(f"{_PUT_BACK} {where}", {**parameters, "now": now})).rowcount
    if most is not None and changed > most:
        raise UsageError(f"{changed} jobs match by now, not {most}; nothing was reset: run the same command again")
    await connection.execute("UPDATE batches SET inputs_checked = NULL WHERE id = ?", (key.id,))
    return changed


async def undo(connection: aiosqlite.Connection, key: BatchKey, job_ids: Sequence[str]) -> int:
    """Give jobs that were reset, and not kicked off since, their former state. Return how many.

    Args:
        job_ids: only these jobs; empty: all of the batch.

    Raises:
        NotInLedger: the batch does not have one of the jobs.
    """
    await require_jobs(connection, key, job_ids, "nothing was changed")
    parameters = {"batch": key.id, "jobs": encode_json(list(job_ids))}
    return (await connection.execute(f"{_UNDO}{_NAMED if job_ids else ''}", parameters)).rowcount


async def latest_prices(connection: aiosqlite.Connection, key: BatchKey) -> Mapping[str, str]:
    """Return the latest known price of a kickoff of each crew."""
    return dict(await rows(connection, _PRICES, (key.id,)))


def _where(key: BatchKey, selection: RetrySelection) -> tuple[str, dict[str, Any]]:
    states = ", ".join(f"'{state.value}'" for state in selection.states)
    where = f"WHERE batch_id = :batch AND present = 1 AND state IN ({states})"
    parameters: dict[str, Any] = {"batch": key.id, "jobs": encode_json(list(selection.job_ids))}
    if selection.job_ids:
        where += _NAMED
    if selection.from_url is not None:
        where += f" AND id IN (SELECT j.id {STARTED_AT})"
        parameters["url"] = selection.from_url
    if selection.fingerprint is not None:
        where += " AND reason_fingerprint = :fingerprint"
        parameters["fingerprint"] = selection.fingerprint
    if selection.reason is not None:
        matches = "reason IS NOT NULL AND matches_reason(reason, :reason)"
        where += f" AND {matches}" if selection.reason.strip() else " AND coalesce(reason, '') = ''"
        parameters["reason"] = selection.reason
    return where, parameters

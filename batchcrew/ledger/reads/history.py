"""Read a crew's latest executions: the history from which costs, failures and ends are forecast."""

from datetime import datetime

import aiosqlite

from batchcrew.base.clock import from_text
from batchcrew.base.local_months import month_of
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows, value
from batchcrew.ledger.reads.base import Reads
from batchcrew.ledger.reads.money import deleted_costs, merged, month_tallies, tallies
from batchcrew.model.attempt import AttemptState
from batchcrew.model.forecast import PastJob
from batchcrew.model.money import CostSoFar, Money, PastExecution, Tokens

MOST_EXECUTIONS = 1000
"""The latest executions of a crew that are read."""
_READ = 4
"""Times as many attempts of a run are looked at: there are retries, and other crews."""
_RUNS = """
SELECT c.run_id, c.crew FROM run_crews AS c JOIN runs AS r ON r.id = c.run_id WHERE c.url = ? ORDER BY r.rowid DESC
"""
# kickoffs that were refused, or are in doubt, have no execution to learn from
_OF_RUN = """
SELECT a.state, a.kicked_off_at, a.ended_at, a.prompt_tokens, a.completion_tokens,
       coalesce(a.total_tokens, a.prompt_tokens + a.completion_tokens),
       (SELECT coalesce(sum((julianday(coalesce(w.ended_at, a.ended_at)) - julianday(w.since)) * 86400.0), 0.0)
           FROM waits AS w WHERE w.attempt_id = a.id)
FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job
WHERE a.id >= :run || '-' AND a.id < :run || '.' AND a.state IN ('succeeded', 'failed', 'timed_out', 'lost')
    AND coalesce(a.sent_crew, j.crew) = :crew
ORDER BY a.id DESC LIMIT :most
"""
# ended jobs whose latest attempt is of the run, each with all its attempts
_JOBS_OF_RUN = """
SELECT j.state = 'failed', count(*), sum(CASE WHEN x.kicked_off_at IS NOT NULL AND x.ended_at IS NOT NULL
        THEN (julianday(x.ended_at) - julianday(x.kicked_off_at)) * 86400.0 - (
            SELECT coalesce(sum((julianday(coalesce(w.ended_at, x.ended_at)) - julianday(w.since)) * 86400.0), 0.0)
            FROM waits AS w WHERE w.attempt_id = x.id) END),
    coalesce(sum(x.prompt_tokens), 0), coalesce(sum(x.completion_tokens), 0),
    coalesce(sum(CASE WHEN x.prompt_tokens IS NULL AND x.completion_tokens IS NULL THEN x.total_tokens END), 0),
    count(coalesce(x.prompt_tokens, x.completion_tokens, x.total_tokens)) = count(*)
FROM (
    SELECT DISTINCT job AS id FROM (
        SELECT a.job FROM attempts AS a WHERE a.id >= :run || '-' AND a.id < :run || '.' ORDER BY a.id DESC LIMIT :read)
) AS wanted CROSS JOIN jobs AS j ON j.id = wanted.id
CROSS JOIN attempts AS latest ON latest.job = j.id AND latest.number = j.attempts
CROSS JOIN attempts AS x ON x.job = j.id AND x.state <> 'rejected'
WHERE j.state IN ('succeeded', 'stale', 'failed') AND latest.run_id = :run AND j.crew = :crew
GROUP BY j.id ORDER BY latest.id DESC LIMIT :most
"""


async def past_jobs(connection: aiosqlite.Connection, url: str, most: int) -> list[PastJob]:
    """Return the latest jobs of the crew at an address that have ended, over all batches."""
    found: list[PastJob] = []
    for run, crew in await rows(connection, _RUNS, (url,)):
        for failed, kickoffs, seconds, prompt, completion, unsplit, known in await rows(
            connection, _JOBS_OF_RUN, {"run": run, "crew": crew, "most": most - len(found), "read": _READ * most}
        ):
            found.append(
                PastJob(
                    failed=bool(failed),
                    kickoffs=kickoffs,
                    seconds=None if seconds is None else max(0.0, seconds),
                    prompt=prompt,
                    completion=completion,
                    unsplit=unsplit,
                    tokens_known=bool(known),
                )
            )
        if len(found) >= most:
            break
    return found


async def past_executions(connection: aiosqlite.Connection, url: str, most: int) -> list[PastExecution]:
    """Return the latest executions of the crew at an address that have ended, over all batches, the latest first."""
    found: list[PastExecution] = []
    for run, crew in await rows(connection, _RUNS, (url,)):
        for state, start, end, prompt, completion, total, waited in await rows(
            connection, _OF_RUN, {"run": run, "crew": crew, "most": most - len(found)}
        ):
            seconds = None
            if start is not None and end is not None:  # waiting for human input is not time of the crew
                seconds = max(0.0, (from_text(end) - from_text(start)).total_seconds() - waited)
            found.append(
                PastExecution(
                    succeeded=state == AttemptState.SUCCEEDED,
                    seconds=seconds,
                    tokens=Tokens(prompt=prompt, completion=completion, total=total),
                )
            )
        if len(found) >= most:
            break
    return found


class HistoryReads(Reads):
    """Read what was spent, and the durations and tokens of executions."""

    async def past_executions(self, url: str, most: int = MOST_EXECUTIONS) -> list[PastExecution]:
        """Return the latest executions of the crew at an address that have ended, over all batches, the latest first.

        Args:
            url: as `crew_address` writes it.
        """
        return await self._query(lambda connection: past_executions(connection, url, most))

    async def past_jobs(self, url: str, most: int = MOST_EXECUTIONS) -> list[PastJob]:
        """Return the latest jobs of the crew at an address that have ended, over all batches, the latest first.

        Args:
            url: as `crew_address` writes it.
        """
        return await self._query(lambda connection: past_jobs(connection, url, most))

    async def cost_so_far(self, key: BatchKey, since: datetime, *, without_run: str | None = None) -> CostSoFar:
        """Return what the batch has cost, and the kickoffs of all batches since a month's beginning.

        Args:
            since: the beginning of the month, aware.
            without_run: do not count the kickoffs of this run.
        """

        async def query(connection: aiosqlite.Connection) -> CostSoFar:
            batch = await tallies(connection, batch_id=key.id)
            month = (await month_tallies(connection, since=since)).get(month_of(since), {})
            deleted = (await deleted_costs(connection)).get(month_of(since), Money())
            its, others = {run for run in month if run in batch}, {run for run in month if run not in batch}
            kept = [tally for run, tally in batch.items() if run != without_run]
            return CostSoFar(
                batch=merged(kept).expected_from(),
                month=merged(month[run] for run in its if run != without_run).expected_from(),
                others=merged(month[run] for run in others).expected_from().plus(deleted),
            )

        return await self._query(query)

    async def others_run(self, key: BatchKey) -> bool:
        """Return whether a run of another batch has not recorded its end."""
        query = "SELECT EXISTS (SELECT 1 FROM runs WHERE batch_id <> ? AND ended_at IS NULL)"
        return bool(await self._query(lambda connection: value(connection, query, (key.id,))))

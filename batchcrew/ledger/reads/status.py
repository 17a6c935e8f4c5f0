"""Read the facts that `status` and `list` show: batches with the state of their jobs, as of one moment."""

from collections.abc import Mapping

import aiosqlite

from batchcrew.base.clock import to_text
from batchcrew.ledger import controlling
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows, value
from batchcrew.ledger.json_text import decode_json
from batchcrew.ledger.reads.attempts import in_progress
from batchcrew.ledger.reads.base import Reads
from batchcrew.ledger.reads.batches import batch_rows
from batchcrew.ledger.reads.failures import failure_groups
from batchcrew.ledger.reads.jobs import (
    first_duplicates,
    first_failing,
    first_without_output,
    job_counts,
    without_output_counts,
)
from batchcrew.ledger.reads.totals import batch_totals
from batchcrew.ledger.reads.waits import first_waiting
from batchcrew.model.run import Counts
from batchcrew.model.views import BatchLine, BatchStatus, BatchTotals, CrewSlots, DueRetries
from batchcrew.model.webhook import WebhookCounts

EARLIER_BATCHES = 7
"""Other batches of a job file that are searched for jobs that are left."""
SHOWN_DUPLICATES = 1000
"""Possible duplicates that a status names; it counts all, and every export marks them."""
SHOWN_GROUPS = 5
"""Failure groups in the summary and in a status; `failures` has all."""
_SHOWN_JOBS = 5


class StatusReads(Reads):
    """Read batches together with the state of their jobs."""

    async def status(self, key: BatchKey) -> BatchStatus:
        """Return everything that `status` shows, as of one moment."""

        async def query(connection: aiosqlite.Connection) -> BatchStatus:
            line = (await self._lines(connection, key.id))[0]
            control = await controlling.in_force(connection, key)
            adaptive = control.overrides.get("concurrency", "auto") == "auto"
            return BatchStatus(
                line=line,
                in_flight=await in_progress(connection, key.id),
                waiting=await first_waiting(connection, key.id, _SHOWN_JOBS),
                slots=await _crew_slots(connection, key.id) if adaptive else (),
                due_retries=await _due_retries(connection, key.id, to_text(self._clock.now())) if line.running else (),
                control=control,
                webhooks=await _webhook_counts(connection, key.id),
                failing=await first_failing(connection, key.id, _SHOWN_JOBS),
                failures=await failure_groups(connection, key.id, SHOWN_GROUPS),
                duplicates=await first_duplicates(connection, key.id, SHOWN_DUPLICATES),
                without_output_jobs=await first_without_output(connection, key.id, _SHOWN_JOBS)
                if line.without_output
                else (),
            )

        return await self._query(query)

    async def batches(self) -> list[BatchLine]:
        """Return every batch, the one that ran last first."""
        return await self._query(self._lines)

    async def left_behind(self, key: BatchKey) -> Mapping[str, Counts]:
        """Return the latest other batches of the same job file (yesterday's, by `{date}`) that have jobs left."""

        async def query(connection: aiosqlite.Connection) -> dict[str, Counts]:
            others = await rows(
                connection,
                "SELECT o.id, o.batch FROM batches AS b JOIN batches AS o ON o.id <> b.id"
                " AND (o.jobfile_path = b.jobfile_path OR o.jobfile_from_ledger = b.jobfile_from_ledger"
                " OR (o.jobfile_path IS NULL AND o.jobfile = b.jobfile)) WHERE b.id = ? ORDER BY o.id DESC LIMIT ?",
                (key.id, EARLIER_BATCHES),
            )
            return {batch: await job_counts(connection, batch_id) for batch_id, batch in others}

        return {batch: counts for batch, counts in (await self._query(query)).items() if counts.left}

    async def _lines(self, connection: aiosqlite.Connection, batch_id: int | None = None) -> list[BatchLine]:
        found = [(row, await self._is_held(row[1])) for row in await batch_rows(connection, batch_id)]
        running = frozenset(row[0] for row, held in found if held)
        totals = await batch_totals(connection, self._clock.now(), batch_id, running=running)
        without_output = await without_output_counts(connection, batch_id)
        return [
            BatchLine(
                batch=row[1],
                counts=await job_counts(connection, row[0]),
                jobfile=row[2],
                created_at=row[3],
                last_run_at=row[4],
                running=held,
                totals=totals.get(row[0], BatchTotals()),
                without_output=without_output.get(row[0], 0),
            )
            for row, held in found
        ]


async def _crew_slots(connection: aiosqlite.Connection, batch_id: int) -> tuple[CrewSlots, ...]:
    """Return the latest number of slots of each crew in the latest run."""
    found = await rows(
        connection,
        "SELECT crew, slots, at, reason FROM concurrency_changes WHERE rowid IN (SELECT max(c.rowid)"
        " FROM concurrency_changes AS c WHERE c.run_id ="
        " (SELECT id FROM runs WHERE batch_id = ? ORDER BY started_at DESC, rowid DESC LIMIT 1) GROUP BY c.crew)"
        " ORDER BY crew",
        (batch_id,),
    )
    return tuple(CrewSlots(crew=crew, slots=slots, since=at, reason=reason) for crew, slots, at, reason in found)


async def _due_retries(connection: aiosqlite.Connection, batch_id: int, now: str) -> tuple[DueRetries, ...]:
    """Return the crews that have both retries that are due and new jobs, from the index alone."""
    found = await rows(
        connection,
        "SELECT crew, sum(not_before > '' AND not_before <= :now) AS due, sum(not_before = '') AS new FROM jobs"
        " WHERE batch_id = :batch AND present = 1 AND state = 'pending' GROUP BY crew HAVING due > 0 AND new > 0",
        {"batch": batch_id, "now": now},
    )
    return tuple(DueRetries(crew=crew, retries=due, new_jobs=new) for crew, due, new in found)


async def _webhook_counts(connection: aiosqlite.Connection, batch_id: int) -> WebhookCounts | None:
    """Return the counts of the latest run's webhooks."""
    text = await value(
        connection,
        "SELECT webhooks FROM runs WHERE batch_id = ? ORDER BY started_at DESC, rowid DESC LIMIT 1",
        (batch_id,),
    )
    return None if text is None else WebhookCounts.of(decode_json(text))
